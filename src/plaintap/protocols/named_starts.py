# SPDX-License-Identifier: Apache-2.0
"""How the records of protocols begin that nobody here parses: one test each, strict, since a wrong name misleads.

Here are the binary ones: a record fits where whole messages lead up to its end. Lines are named_lines.py's.
"""

from __future__ import annotations

import re

from plaintap.protocols.named_lines import FTP, IMAP, MEMCACHED, NATS, POP3, SMTP, Start

_CHAIN_LIMIT = 1000

# Redis: RESP2 and RESP3. A lone "+OK" is POP3's too.

_REDIS_LINES = re.compile(
    rb"[*>~%]\d{1,7}\r\n(?:[*$:+\-%~_#,(][^\r\n]{0,512}\r\n)"
    rb"|\$-1\r\n\Z|:-?\d{1,19}\r\n\Z|\+PONG\r\n\Z|\+QUEUED\r\n\Z"
    rb"|-(?:ERR|NOAUTH|WRONGPASS|WRONGTYPE|MOVED|ASK|LOADING|READONLY|NOSCRIPT|EXECABORT) [^'\r\n][^\r\n]{0,512}\r\n\Z"
)
_BULK = re.compile(rb"\$(\d{1,9})\r\n")


def _is_redis(head: bytes) -> bool:
    if bulk := _BULK.match(head):
        end = bulk.end() + int(bulk[1])
        return head[end : end + 2] == b"\r\n"
    return _REDIS_LINES.match(head) is not None


# PostgreSQL: a letter and a length that counts itself; the first message has no letter.

_QUERY = ord("Q")
_STARTUP = b"\0\3\0\0"
_CANCEL = b"\x04\xd2\x16\x2e"
_STARTUP_LIMIT_BYTES = 10000
_ENDS = (b"S\0\0\0\4", b"H\0\0\0\4")
_READY = re.compile(rb"Z\0\0\0\x05[ITE]\Z")
_POSTGRES_TYPES = frozenset(b"ABCDEFGHIKNPQRSTVWXZcdfnpst123")


def _is_postgres(head: bytes) -> bool:
    if len(head) < 5 or head[1]:  # whole messages fit into a record
        return False
    return _is_postgres_startup(head) if not head[0] else _are_postgres_messages(head)


def _is_postgres_startup(head: bytes) -> bool:
    size, kind = len(head), head[4:8]
    if int.from_bytes(head[:4], "big") != size:
        return False
    if kind == _CANCEL:
        return size == 16
    return kind == _STARTUP and size <= _STARTUP_LIMIT_BYTES and head.endswith(b"\0\0") and b"user\0" in head


def _are_postgres_messages(head: bytes) -> bool:
    at, last, size = 0, 0, len(head)
    for _ in range(_CHAIN_LIMIT):
        if size - at < 5 or head[at] not in _POSTGRES_TYPES:
            return False
        length = int.from_bytes(head[at + 1 : at + 5], "big")
        last, at = at, at + 1 + length
        if length < 4 or at >= size:
            break
    if at != size:
        return False
    if last == 0 and head[0] == _QUERY:
        return head[-1] == 0 and size > 6 and head.find(b"\0", 5) == size - 1
    # A batch ends in Sync or Flush, an answer in ReadyForQuery; nothing else is told from other formats by so little.
    return (last > 0 and head[last:] in _ENDS) or _READY.match(head, last) is not None


# MySQL: a length of three bytes, a number, then by kind.

_GREETING = re.compile(rb"...\0\n[ -~]{1,64}\0", re.DOTALL)
_MYSQL_QUERY = re.compile(
    rb"...\0\x03\s{0,8}(?:ALTER|BEGIN|CALL|COMMIT|CREATE|DELETE|DROP|EXPLAIN|INSERT|REPLACE|ROLLBACK|SELECT|SET|SHOW|START|"
    rb"TRUNCATE|UPDATE|USE|WITH|/\*)",
    re.DOTALL | re.IGNORECASE,
)


def _is_mysql(head: bytes) -> bool:
    size = len(head)
    if head[0] != (size - 4) & 0xFF or size < 6 or head[1] | head[2] << 8 != (size - 4) >> 8:
        return False
    number = head[3]
    if number == 0:
        return (_GREETING.match(head) or _MYSQL_QUERY.match(head)) is not None
    # The response to the handshake: flags, a size, a character set, 23 zeros, the user. Behind TLS it is the second.
    return number in (1, 2) and size > 36 and head[13:36] == bytes(23) and bool(head[5] & 0x02)


# MQTT: a type, a length of 7-bit digits.

_MQTT_CONNECT = re.compile(rb"\x00\x04MQTT[\x04\x05]|\x00\x06MQIsdp\x03")
_MQTT_CONNACK = re.compile(rb"\x20\x02[\x00\x01][\x00-\x05]\Z")
_MQTT_TOPIC = re.compile(rb"[!-~]{1,200}/[ -~]{0,200}\Z")


def _is_mqtt(head: bytes) -> bool:
    kind, size = head[0] >> 4, len(head)
    length, at = 0, 1
    while at < 5 and at < size:
        byte = head[at]
        length |= (byte & 0x7F) << 7 * (at - 1)
        at += 1
        if byte < 0x80:
            break
    if kind == 1:
        return head[0] == 0x10 and at + length >= size and _MQTT_CONNECT.match(head, at) is not None
    if kind == 2:
        return _MQTT_CONNACK.match(head) is not None
    if at + length != size or size < at + 5:
        return False
    if kind == 8:
        at += 2
    elif kind != 3 or head[0] & 0x06 == 0x06:
        return False
    end = at + 2 + (head[at] << 8 | head[at + 1])
    return end <= size and _MQTT_TOPIC.match(head[at + 2 : end]) is not None


# LDAP: a BER sequence of a message's number and an operation of the application class.

_LDAP_OPERATIONS = frozenset([0x42, 0x4A, 0x50, *range(0x60, 0x70), 0x73, 0x77, 0x78, 0x79])


def _is_ldap(head: bytes) -> bool:
    size = len(head)
    if size < 7:
        return False
    length, at = head[1], 2
    if length >= 0x80:
        digits = length & 0x7F
        if not 1 <= digits <= 4:
            return False
        at += digits
        length = int.from_bytes(head[2:at], "big")
    end = at + length
    if size < at + 4 or head[at] != 2 or not 1 <= head[at + 1] <= 4 or (end != size and head[end : end + 1] != b"0"):
        return False
    at += 2 + head[at + 1]
    return at < size and head[at] in _LDAP_OPERATIONS


# AMQP: a header; in 0-9-1 frames that end in a fixed byte.

_AMQP_HEADER = re.compile(rb"AMQP(?:\x00\x00\x09[\x00\x01]|[\x00\x02\x03]\x01\x00\x00)")


def _is_amqp(head: bytes) -> bool:
    if head[0] == ord("A"):
        return _AMQP_HEADER.match(head) is not None
    at, size = 0, len(head)
    for _ in range(_CHAIN_LIMIT):
        if size - at < 8 or head[at] not in (1, 2, 3, 8):
            return False
        end = at + 7 + int.from_bytes(head[at + 3 : at + 7], "big")
        if end >= size or head[end] != 0xCE:
            return False
        at = end + 1
        if at == size:
            return True
    return True


STARTS: dict[str, Start] = {
    "redis": Start(frozenset(b"*$:+->~%"), _is_redis),
    "postgres": Start(_POSTGRES_TYPES | {0}, _is_postgres),
    "mysql": Start(frozenset(range(256)), _is_mysql),
    "smtp": SMTP,
    "imap": IMAP,
    "pop3": POP3,
    "mqtt": Start(frozenset([0x10, 0x20, *range(0x30, 0x40), 0x82]), _is_mqtt),
    "ldap": Start(frozenset([0x30]), _is_ldap),
    "amqp": Start(frozenset(b"A\1\2\3\x08"), _is_amqp),
    "ftp": FTP,
    "memcached": MEMCACHED,
    "nats": NATS,
}
"""By name; the first that matches is taken."""
