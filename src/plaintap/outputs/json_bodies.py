# SPDX-License-Identifier: Apache-2.0
"""Bodies and payloads as the json form has them: text or base64, cut at the limit, and what is known to be left out."""

from __future__ import annotations

from plaintap.messages import HttpHead
from plaintap.outputs.base import DecodeBody
from plaintap.outputs.wiretext import BASE64, LONGEST_CHARACTER, TEXT, base64, body_text

Body = tuple[str, str, bool, int, str]
"""Text, its encoding, whether it is truncated, by how many bytes where that is known, a note."""
NO_BODY: Body = ("", TEXT, False, 0, "")


class Bodies:
    """`limit` bytes are shown; 0 is all of them."""

    def __init__(self, *, limit: int, decode_body: DecodeBody) -> None:
        self._limit = limit
        self._decode_body = decode_body

    def of(self, head: HttpHead, content_type: bytes, *, coded: bool) -> Body:
        """The body of a request or a response, its codings undone where it is `coded`."""
        pieces, limit = head.body, self._limit
        if len(pieces) == 1 and not coded:
            (content,) = pieces
            if len(content) == head.body_bytes and not 0 < limit < len(content):
                text = body_text(content, content_type)
                return (base64(content), BASE64, False, 0, "") if text is None else (text, TEXT, False, 0, "")
        note = ""
        if coded:
            content, note = self._decode_body(head.headers, pieces)
        else:
            content = b"".join(pieces)
        more = max(0, head.body_bytes - head.missing_bytes - sum(map(len, pieces)))
        # A decoder stops at the limit too, and then nobody knows how much more there is.
        stopped = bool(coded and (more or (note and limit and len(content) >= limit)))
        text, encoding, truncated, left_out = self.payload(content, content_type, more)
        return text, encoding, truncated or stopped, 0 if stopped else left_out, note

    def payload(self, data: bytes, content_type: bytes, more_bytes: int = 0) -> tuple[str, str, bool, int]:
        """Text, its encoding, whether anything is left out, how many bytes that is."""
        limit = self._limit
        shown = data[:limit] if limit and len(data) > limit else data
        more_bytes += len(data) - len(shown)
        text = body_text(shown, content_type, whole=not more_bytes)
        if text is None:
            return base64(shown), BASE64, bool(more_bytes), more_bytes
        if more_bytes and 0 < (half := len(shown) - len(text.encode())) < LONGEST_CHARACTER:
            more_bytes += half  # of a character, at the end
        return text, TEXT, bool(more_bytes), more_bytes

    def words(self, text: str, size_bytes: int) -> tuple[str, str, bool, int]:
        """The same of what is text by definition; `size_bytes` are all there were."""
        raw = text.encode("utf-8", "surrogatepass")
        limit = self._limit
        if limit and len(raw) > limit:
            text = raw[:limit].decode("utf-8", "ignore")
            raw = text.encode()
        left_out = max(0, size_bytes - len(raw))
        return text, TEXT, bool(left_out), left_out
