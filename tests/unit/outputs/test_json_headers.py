# SPDX-License-Identifier: Apache-2.0
"""Header lists of the json form: what is remembered of them is right, and bounded."""

from __future__ import annotations

import json

from plaintap.outputs.json_headers import LISTS, LONGEST_LIST_BYTES, HeaderLists


def texts(field: tuple[bytes, bytes]) -> tuple[str | None, str | None]:
    return field[0].decode(), field[1].decode()


def test_what_the_line_needs_is_found_once_and_again() -> None:
    lists = HeaderLists(texts)
    headers = ((b"HOST", b"a.example"), (b"Host", b"b"), (b"Content-Type", b"text/plain"), (b"Content-Encoding", b"br"))
    for _ in range(2):
        seen = lists[headers]
        assert json.loads(bytes(seen.encoded)) == [[name.decode(), value.decode()] for name, value in headers]
        assert (seen.host, seen.content_type, seen.coded) == ("a.example", b"text/plain", True)
    assert len(lists) == 1
    seen = lists[((b"transfer-encoding", b"chunked"),)]
    assert (seen.host, seen.content_type, seen.coded) == ("", b"", False)


def test_what_strangers_choose_is_bounded() -> None:
    lists = HeaderLists(texts)
    assert lists[((b"a", b"x" * LONGEST_LIST_BYTES),)].host == ""
    assert not lists
    for number in range(LISTS + 1):
        assert lists[((b"host", b"%d" % number),)].host == str(number)
    assert len(lists) == 1
