# SPDX-License-Identifier: Apache-2.0
"""What the .proto files that come with protoc declare, as far as messages of others use it: nobody has to have them."""

from __future__ import annotations

_WRAPPERS = "".join(
    f"message {name}Value {{ {kind} value = 1; }}\n"
    for name, kind in (
        ("Double", "double"),
        ("Float", "float"),
        ("Int64", "int64"),
        ("UInt64", "uint64"),
        ("Int32", "int32"),
        ("UInt32", "uint32"),
        ("Bool", "bool"),
        ("String", "string"),
        ("Bytes", "bytes"),
    )
)

_CONTENTS = {
    "any": "message Any { string type_url = 1; bytes value = 2; }",
    "duration": "message Duration { int64 seconds = 1; int32 nanos = 2; }",
    "empty": "message Empty {}",
    "field_mask": "message FieldMask { repeated string paths = 1; }",
    "source_context": "message SourceContext { string file_name = 1; }",
    "struct": """
        message Struct { map<string, Value> fields = 1; }
        message Value {
          oneof kind {
            NullValue null_value = 1;
            double number_value = 2;
            string string_value = 3;
            bool bool_value = 4;
            Struct struct_value = 5;
            ListValue list_value = 6;
          }
        }
        enum NullValue { NULL_VALUE = 0; }
        message ListValue { repeated Value values = 1; }
    """,
    "timestamp": "message Timestamp { int64 seconds = 1; int32 nanos = 2; }",
    "wrappers": _WRAPPERS,
    # Imported for options and extensions, which are read over.
    "descriptor": "",
}

WELL_KNOWN = {
    f"google/protobuf/{name}.proto": f'syntax = "proto3"; package google.protobuf; {text}'
    for name, text in _CONTENTS.items()
}
"""By the name that an import has."""
