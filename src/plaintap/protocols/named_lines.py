# SPDX-License-Identifier: Apache-2.0
"""How the lines of text protocols look that nobody here parses; binary ones are named_starts.py's.

A pattern takes a whole line, to the record's end where another could follow by chance. What two protocols share
("+OK", "PING", "USER x", "STAT") is in none of them: another line will tell.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

MAIL = frozenset(["smtp", "imap", "pop3"])
"""Those that carry documents which may quote any protocol at a record's beginning."""


class Start(NamedTuple):
    """`matches` is asked only for what begins with one of `first_bytes`."""

    first_bytes: frozenset[int]
    matches: Callable[[bytes], object]
    """True, or a match."""


def _lines(first_bytes: bytes, *patterns: bytes, flags: int = 0) -> Start:
    return Start(frozenset(first_bytes), re.compile(b"|".join(patterns), flags).match)


_CAPITALS = bytes(range(ord("A"), ord("Z") + 1))
_LETTERS_AND_DIGITS = _CAPITALS + _CAPITALS.lower() + b"0123456789"
_REST = rb"[^\r\n]{0,500}\r\n"
_TEXT = rb"[^\r\n]{0,200}"
_WORD = rb"[!-~]{1,250}"
_NUMBER = rb"\d{1,10}"

SMTP = _lines(
    b"23EHLMRehlmr",
    rb"220[ -]" + _TEXT + rb"\bE?SMTP\b" + _REST,
    rb"250-[^\r\n]{1,400}\r\n(?:250[ -][^\r\n]{0,400}\r\n){1,50}\Z",
    rb"354 " + _TEXT + rb"<CR><LF>\.<CR><LF>",
    rb"(?i:EHLO|HELO|LHLO) " + _WORD + rb"\r\n\Z",
    rb"(?i:MAIL FROM|RCPT TO): ?<[^\r\n>]{0,320}>" + _REST,
)

IMAP = _lines(
    b"*" + _LETTERS_AND_DIGITS,
    rb"\* (?:OK|PREAUTH|BYE) (?:\[[A-Z]|" + _TEXT + rb"\bIMAP)",
    rb"\* CAPABILITY IMAP4",
    rb"\* " + _NUMBER + rb" (?:EXISTS|RECENT|EXPUNGE|FETCH \()",
    rb"\* (?:FLAGS|LIST|LSUB) \(",
    rb"[A-Z]{0,8}\d{1,8} (?:(?:CAPABILITY|NOOP|LOGOUT|IDLE|NAMESPACE|STARTTLS|CLOSE|EXPUNGE)\r\n\Z"
    rb"|(?:LOGIN|AUTHENTICATE|SELECT|EXAMINE|LIST|LSUB|ENABLE|STATUS|APPEND|FETCH|STORE) "
    + _REST
    + rb"|UID (?:FETCH|STORE|SEARCH|COPY) "
    + _REST
    + rb"|ID (?:NIL\r|\()|OK \[|OK "
    + _TEXT
    + rb" completed)",
    flags=re.IGNORECASE,
)

POP3 = _lines(
    b"+ACURcur",
    rb"\+OK " + _TEXT + rb"(?:\bPOP3?\b|\bready\b|\b(?:octets|messages)\b)" + _REST,
    rb"(?i:CAPA|UIDL)\r\n\Z",
    rb"(?i:APOP) [!-~]{1,100} [0-9a-f]{32}\r\n\Z",
    rb"(?i:RETR) \d{1,6}\r\n\Z",
)

FTP = _lines(
    b"2345PETCMSA",
    rb"220[ -]" + _TEXT + rb"(?i:\bFTP|FTPd\b|FileZilla)" + _REST,
    rb"227 Entering Passive Mode|229 Entering Extended Passive",
    rb"331 [^\r\n]{0,100}\bpassword" + _REST,
    rb"230 [^\r\n]{0,100}\b(?i:logged in|login)" + _REST,
    rb"(?:PBSZ 0|PROT [PC]|PASV|EPSV|TYPE [AIL]|CWD [^\r\n]{1,400}|MLSD[^\r\n]{0,400}|SYST|ABOR)\r\n\Z",
)

MEMCACHED = _lines(
    b"gsarpcdiVSN",
    rb"(?!get [!-~]{1,250} HTTP/)(?:gets?|gats? " + _NUMBER + rb")(?: " + _WORD + rb"){1,100}\r\n\Z",
    rb"(?:set|add|replace|append|prepend) " + _WORD + rb" \d{1,10} -?\d{1,10} \d{1,10}(?: noreply)?\r\n",
    rb"cas " + _WORD + rb" \d{1,10} -?\d{1,10} \d{1,10} \d{1,20}(?: noreply)?\r\n",
    rb"(?:incr|decr) " + _WORD + rb" \d{1,20}(?: noreply)?\r\n\Z",
    rb"VALUE " + _WORD + rb" \d{1,10} \d{1,10}(?: \d{1,20})?\r\n",
    rb"(?:NOT_)?STORED\r\n\Z|VERSION 1\.[0-9.]{1,20}\r\n\Z",
)

NATS = _lines(
    b"ICPSMHU-",
    rb"INFO \{" + _TEXT + rb'"(?:server_id|version)"',
    rb"CONNECT \{" + _TEXT + rb'"(?:verbose|pedantic|lang|protocol)"',
    rb"H?PUB " + _WORD + rb"(?: " + _WORD + rb")?(?: \d{1,8}){1,2}\r\n",
    rb"SUB " + _WORD + rb" (?:" + _WORD + rb" )?[!-~]{1,20}\r\n",
    rb"H?MSG " + _WORD + rb" [!-~]{1,20} (?:" + _WORD + rb" )?(?:\d{1,8} )?\d{1,8}\r\n",
    rb"UNSUB [!-~]{1,20}(?: \d{1,9})?\r\n\Z",
    rb"-ERR '[^\r\n]{1,100}'\r\n\Z",
)
