# SPDX-License-Identifier: Apache-2.0
"""Schemas from .proto files: found, read, joined to types, asked by a call's path.

The language is protobuf_grammar.py's, decoding by type protobuf_typed.py's. Files are read by `load_schemas`, which a
session calls once, and by nothing else here.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path, PurePosixPath

from plaintap.errors import UsageError, reason
from plaintap.protocols.protobuf_grammar import FieldDeclared, FileDeclared, Place, parse
from plaintap.protocols.protobuf_typed import SCALARS, FieldType, MessageType, decode
from plaintap.protocols.protobuf_wellknown import WELL_KNOWN

FILE_LIMIT_BYTES = 8 << 20
"""Of one .proto file."""
FILES_LIMIT = 2000
"""Those given and those they import."""

_HINT = "--proto takes the .proto file that declares the service; what it imports is looked for from its folder upwards"


class ProtoSchemas:
    """Types of requests and responses by a call's path, `/package.Service/Method`."""

    def __init__(self, methods: dict[str, tuple[MessageType, MessageType]]) -> None:
        self.methods = methods

    def fields(self, path: str, *, from_client: bool, data: bytes) -> object:
        """By name; None for a path that is not declared; ProtobufError for data that is not of its type."""
        types = self.methods.get(path)
        return decode(data, types[0 if from_client else 1]) if types is not None else None


def load_schemas(paths: Sequence[Path]) -> ProtoSchemas:
    """Reads files and what they import; UsageError names file, line and column of what is wrong."""
    loading = _Loading()
    for path in paths:
        loading.load(path, None)
    schemas = link(loading.files, missing=loading.missing)
    if not schemas.methods:
        names = ", ".join(map(str, paths))
        raise UsageError(f"--proto {names}: expected a service, got none", hint=_HINT)
    return schemas


def link(files: Sequence[FileDeclared], *, missing: Sequence[str] = ()) -> ProtoSchemas:
    """`missing` are the imports that were not found: no error by themselves, as most are for options only."""
    linking = _Linking(missing)
    for file in files:
        linking.declare(file)
    return linking.link(files)


class _Loading:
    """Files by where they are: each is read once, however often it is imported."""

    def __init__(self) -> None:
        self.files: list[FileDeclared] = []
        self.missing: list[str] = []
        self._seen: set[Path | str] = set()
        self._given: list[Path] = []

    def load(self, path: Path, place: Place | None) -> None:
        """With what it imports; `place` is the import, None for a file that was given."""
        at = path.resolve()
        if place is None:
            self._given.append(at)
        # Not by recursion: a chain of imports may be long.
        waiting = [(path, at)]
        while waiting:
            shown, at = waiting.pop()
            if at in self._seen:
                continue
            self._seen.add(at)
            if len(self._seen) > FILES_LIMIT:
                raise UsageError(f"--proto {path}: expected at most {FILES_LIMIT} files, got more", hint=_HINT)
            # A copy of what is here already would declare it twice.
            if known := next((name for name in WELL_KNOWN if at.as_posix().endswith(f"/{name}")), None):
                self._add_well_known(known)
                continue
            file = parse(str(shown), _text_of(shown))
            self.files.append(file)
            for name, import_place in file.imports:
                found = self._imported(name, at, import_place)
                if found is not None:
                    waiting.append((found, found.resolve()))

    def _add_well_known(self, name: str) -> None:
        if name not in self._seen:
            self._seen.add(name)
            self.files.append(parse(name, WELL_KNOWN[name]))

    def _imported(self, name: str, importing: Path, place: Place) -> Path | None:
        parts = PurePosixPath(name)
        if not name or parts.is_absolute() or ".." in parts.parts:
            raise place.error(f"expected a file's name from a root down, got {name!r}")
        if name in WELL_KNOWN:
            self._add_well_known(name)
            return None
        # From a tree's root down, and where that is nobody says: any folder above will do.
        folders = chain(importing.parents, *(given.parents for given in self._given))
        found = next((folder / name for folder in folders if (folder / name).is_file()), None)
        if found is None:
            self.missing.append(name)
        return found


def _text_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(FILE_LIMIT_BYTES + 1)
    except OSError as error:
        raise UsageError(f"--proto {path}: {reason(error)}", hint=_HINT) from None
    if len(data) > FILE_LIMIT_BYTES:
        raise UsageError(f"--proto {path}: expected at most {FILE_LIMIT_BYTES} bytes, got more", hint=_HINT)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        raise Place(str(path), line, column).error("expected UTF-8 text, got other bytes") from None


class _Linking:
    """Types by full name, and who is meant by a name in a scope."""

    def __init__(self, missing: Sequence[str]) -> None:
        self._missing = missing
        self._messages: dict[str, MessageType] = {}
        self._enums: dict[str, dict[int, str]] = {}
        self._places: dict[str, Place] = {}

    def declare(self, file: FileDeclared) -> None:
        for message in file.messages:
            self._occupy(message.name, message.place)
            self._messages[message.name] = MessageType(message.name)
        for enum in file.enums:
            self._occupy(enum.name, enum.place)
            self._enums[enum.name] = enum.values

    def link(self, files: Sequence[FileDeclared]) -> ProtoSchemas:
        methods = {}
        for file in files:
            for message in file.messages:
                fields = self._messages[message.name].fields
                for field in message.fields:
                    if field.number in fields:
                        other = fields[field.number].name
                        raise field.place.error(f"{field.name} has number {field.number}, as has {other}")
                    fields[field.number] = self._field(field, message.name)
            for method in file.methods:
                methods[f"/{method.service}/{method.name}"] = (
                    self._message(method.request, method.service, method.place),
                    self._message(method.response, method.service, method.place),
                )
        return ProtoSchemas(methods)

    def _occupy(self, name: str, place: Place) -> None:
        other = self._places.setdefault(name, place)
        if other is not place:
            raise place.error(f"{name} is declared twice, also at {other.file}:{other.line}:{other.column}")

    def _field(self, declared: FieldDeclared, scope: str) -> FieldType:
        field = FieldType(declared.name, repeated=declared.repeated)
        if declared.key_type:
            if declared.key_type not in SCALARS:
                raise declared.place.error(f"expected a scalar type for a map's key, got {declared.key_type}")
            entry = MessageType(f"{scope}.{declared.name}")
            key, value = FieldType("key"), FieldType("value")
            key.be_scalar(declared.key_type)
            self._give_type(value, declared, scope)
            entry.fields = {1: key, 2: value}
            field.be_message(entry, is_map=True)
        else:
            self._give_type(field, declared, scope)
        return field

    def _give_type(self, field: FieldType, declared: FieldDeclared, scope: str) -> None:
        if declared.type_name in SCALARS:
            field.be_scalar(declared.type_name)
            return
        for name in _candidates(declared.type_name, scope):
            if name in self._messages:
                field.be_message(self._messages[name])
                return
            if name in self._enums:
                field.be_enum(self._enums[name])
                return
        raise self._unknown(declared.type_name, declared.place)

    def _message(self, type_name: str, scope: str, place: Place) -> MessageType:
        for name in _candidates(type_name, scope):
            if name in self._messages:
                return self._messages[name]
        raise self._unknown(type_name, place)

    def _unknown(self, type_name: str, place: Place) -> UsageError:
        hint = _HINT
        if self._missing:
            hint = f"not found: {', '.join(dict.fromkeys(self._missing))}; name what declares it with --proto too"
        return place.error(f"unknown type {type_name}", hint=hint)


def _candidates(type_name: str, scope: str) -> list[str]:
    """Full names that a name may mean, the innermost first."""
    if type_name.startswith("."):
        return [type_name[1:]]
    parts = scope.split(".")
    return [".".join([*parts[:length], type_name]) for length in range(len(parts), -1, -1)]
