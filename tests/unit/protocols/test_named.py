# SPDX-License-Identifier: Apache-2.0
"""Protocols that are recognised and not parsed: right names for their records, none for others', and giving way."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plaintap.events import READ, WRITE
from plaintap.messages import ConnectionEnded, Lost, Message, Raw
from plaintap.parsing import Outlet, Parser
from plaintap.protocols.base import Fit
from plaintap.protocols.named import NAMED, candidates
from plaintap.protocols.options import ParserOptions
from plaintap.streams.connections import Connections

BY_NAME = {entry.name: entry for entry in NAMED}
OPTIONS = ParserOptions()


def name_of(head: bytes) -> str:
    """As the registry asks: the first that fits."""
    return next((entry.name for entry in candidates(head) if entry.fit(READ, head) is Fit.YES), "") if head else ""


def startup(*words: bytes) -> bytes:
    body = b"\0\3\0\0" + b"\0".join(words) + b"\0\0"
    return (len(body) + 4).to_bytes(4, "big") + body


def typed(kind: bytes, body: bytes) -> bytes:
    return kind + (len(body) + 4).to_bytes(4, "big") + body


def mysql(number: int, body: bytes) -> bytes:
    return len(body).to_bytes(3, "little") + bytes([number]) + body


def mqtt(kind: int, body: bytes) -> bytes:
    return bytes([kind, len(body)]) + body


def amqp(kind: int, body: bytes) -> bytes:
    return bytes([kind, 0, 1]) + len(body).to_bytes(4, "big") + body + b"\xce"


READY = typed(b"Z", b"I")
HANDSHAKE_RESPONSE = bytes.fromhex("8da2ffff") + b"\0\0\0\1" + b"\xff" + bytes(23) + b"root\0" + b"\x14" + bytes(20)

RECORDS = [
    ("redis", b"*1\r\n$4\r\nPING\r\n"),
    ("redis", b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$9\r\nsome"),
    ("redis", b"$5\r\nhello\r\n"),
    ("redis", b"$-1\r\n"),
    ("redis", b":1000\r\n"),
    ("redis", b"+PONG\r\n"),
    ("redis", b"-ERR unknown command 'FOO'\r\n"),
    ("redis", b"-NOAUTH Authentication required.\r\n"),
    ("redis", b"%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n"),
    ("redis", b"*2\r\n:1\r\n:2\r\n"),
    ("redis", b">3\r\n$7\r\nmessage\r\n"),
    ("postgres", startup(b"user", b"me", b"database", b"shop")),
    ("postgres", bytes.fromhex("0000001004d2162e0000123400005678")),
    ("postgres", typed(b"Q", b"select 1\0")),
    ("postgres", typed(b"R", bytes(4)) + typed(b"S", b"server_version\x0015.1\0") + READY),
    (
        "postgres",
        typed(b"T", b"\0\1a\0" + bytes(18)) + typed(b"D", b"\0\1\0\0\0\x011") + typed(b"C", b"SELECT 1\0") + READY,
    ),
    ("postgres", typed(b"P", b"\0select $1\0\0\0") + typed(b"B", bytes(8)) + typed(b"E", bytes(5)) + typed(b"S", b"")),
    ("mysql", mysql(0, b"\n8.0.36\0" + bytes(60))),
    ("mysql", mysql(2, HANDSHAKE_RESPONSE)),
    ("mysql", mysql(1, HANDSHAKE_RESPONSE)),
    ("mysql", mysql(0, b"\x03SELECT * FROM shop")),
    ("mysql", mysql(0, b"\x03/* hi */ select 1")),
    ("smtp", b"220 mail.example.com ESMTP Postfix (Debian)\r\n"),
    ("smtp", b"220-mx.example.com ESMTP Exim 4.96\r\n220 hi\r\n"),
    ("smtp", b"EHLO client.example.com\r\n"),
    ("smtp", b"helo x\r\n"),
    ("smtp", b"250-mail.example.com\r\n250-PIPELINING\r\n250 SMTPUTF8\r\n"),
    ("smtp", b"MAIL FROM:<me@example.com> SIZE=100\r\nRCPT TO:<you@example.com>\r\nDATA\r\n"),
    ("smtp", b"354 End data with <CR><LF>.<CR><LF>\r\n"),
    ("imap", b"* OK [CAPABILITY IMAP4rev1 SASL-IR LOGIN-REFERRALS] Dovecot ready.\r\n"),
    ("imap", b"* OK IMAP4rev1 Service Ready\r\n"),
    ("imap", b"a1 LOGIN me secret\r\n"),
    ("imap", b"1 capability\r\n"),
    ("imap", b"A0001 UID FETCH 1:* (FLAGS)\r\n"),
    ("imap", b"* 23 EXISTS\r\n* 1 RECENT\r\n"),
    ("imap", b"a001 OK LOGIN completed\r\n"),
    ("pop3", b"+OK POP3 server ready <1896.697170952@example.com>\r\n"),
    ("pop3", b"+OK Dovecot ready.\r\n"),
    ("pop3", b"CAPA\r\n"),
    ("pop3", b"+OK 2 messages (320 octets)\r\n"),
    ("mqtt", mqtt(0x10, b"\0\x04MQTT\x04\x02\0\x3c\0\x02me")),
    ("mqtt", mqtt(0x10, b"\0\x06MQIsdp\x03\x02\0\x3c\0\x02me")),
    ("mqtt", b"\x20\x02\0\0"),
    ("mqtt", mqtt(0x30, b"\0\x0bhome/light1on")),
    ("mqtt", mqtt(0x82, b"\0\x01\0\x06home/#\0")),
    ("ldap", bytes.fromhex("300c020101600702010304008000")),
    ("ldap", bytes.fromhex("300c02010161070a010004000400")),
    ("ldap", bytes.fromhex("30840000000c") + bytes.fromhex("020101600702010304008000")),
    ("amqp", b"AMQP\0\0\x09\1"),
    ("amqp", b"AMQP\3\1\0\0"),
    ("amqp", amqp(1, b"\0\x0a\0\x0a" + bytes(20))),
    ("amqp", b"\x08\0\0\0\0\0\0\xce"),
    ("ftp", b"220 (vsFTPd 3.0.5)\r\n"),
    ("ftp", b"220 ProFTPD Server ready.\r\n"),
    ("ftp", b"PBSZ 0\r\n"),
    ("ftp", b"331 Please specify the password.\r\n"),
    ("ftp", b"227 Entering Passive Mode (127,0,0,1,200,1).\r\n"),
    ("memcached", b"get a b c\r\n"),
    ("memcached", b"set key 0 900 5\r\nhello\r\n"),
    ("memcached", b"VALUE key 0 5\r\nhello\r\nEND\r\n"),
    ("memcached", b"STORED\r\n"),
    ("nats", b'INFO {"server_id":"x","version":"2.10.1"}\r\n'),
    ("nats", b'CONNECT {"verbose":false,"pedantic":false,"tls_required":true}\r\n'),
    ("nats", b"PUB foo.bar 5\r\nhello\r\n"),
    ("nats", b"SUB foo.* 1\r\n"),
    ("nats", b"MSG foo.bar 1 5\r\nhello\r\n"),
]
NOBODY_S = [
    b"",
    b"\0",
    b"+OK\r\n",
    b"PING\r\n",
    b"USER me\r\n",
    b"QUIT\r\n",
    b"200 OK\r\n",
    b"220 ready\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.2\r\n",
    b"hello world\r\n",
    b"* item\r\n* item\r\n",
    b"$100 is the price\r\n",
    b'{"a": 1}\n',
    b"<stream:stream>",
    b":server 001 me :Welcome\r\n",
    b"Query: what\r\n",
    bytes.fromhex("16030100"),
    bytes.fromhex("000012040000000000000300000080"),
    bytes.fromhex("3003020101"),
    bytes.fromhex("302602010104067075626c6963a019020101020100020100300e300c06082b060102010101000500"),
    bytes(100),
    b"\xff" * 100,
    b"get up and go\n",
    b"get / HTTP/1.1\r\n",
    typed(b"D", b"\0\1\0\0\0\x011"),
]


@pytest.mark.parametrize(("name", "record"), RECORDS, ids=lambda value: repr(value[:16]))
def test_records_are_named(name: str, record: bytes) -> None:
    assert name_of(record) == name
    assert BY_NAME[name].fit(WRITE, record) is Fit.YES


@pytest.mark.parametrize(("name", "record"), RECORDS, ids=lambda value: repr(value[:16]))
def test_each_record_has_one_name(name: str, record: bytes) -> None:
    assert [entry.name for entry in NAMED if entry.fit(READ, record) is not Fit.NO] == [name]


@pytest.mark.parametrize("record", NOBODY_S, ids=range(len(NOBODY_S)))
def test_others_are_not(record: bytes) -> None:
    assert name_of(record) == ""


@given(st.binary(max_size=300))
def test_any_bytes_can_be_asked(head: bytes) -> None:
    assert all(entry.fit(READ, head) is not Fit.MAYBE for entry in NAMED)
    fits = {entry.name for entry in NAMED if entry.fit(READ, head) is Fit.YES}
    assert fits == ({entry.name for entry in candidates(head) if entry.fit(READ, head) is Fit.YES} if head else set())


@given(st.sampled_from(RECORDS), st.data())
def test_cut_records_can_be_asked(row: tuple[str, bytes], data: st.DataObject) -> None:
    cut = row[1][: data.draw(st.integers(0, len(row[1])))]
    assert name_of(cut) in ("", row[0])


def test_chance_is_seldom_named() -> None:
    chance = random.Random(1)  # noqa: S311 - the same each time
    assert sum(name_of(chance.randbytes(chance.randint(1, 300))) != "" for _ in range(50_000)) <= 2


@pytest.mark.parametrize(
    "head",
    [
        b"*1\r\n$" + b"1" * 9 + b"\r\n" + b"x" * (1 << 20),
        b"220 " + b"S" * (1 << 20),
        b"get" + b" a" * (1 << 19),
        b"A" * (1 << 20),
        b"a1 OK " + b"comp" * (1 << 18),
        b"250-a\r\n" * (1 << 17),
        typed(b"S", b"") * (1 << 17),
        amqp(8, b"") * (1 << 16),
        b'INFO {"' + b'"server' * (1 << 17),
    ],
    ids=lambda head: repr(head[:8]),
)
def test_a_hostile_megabyte_is_asked_in_no_time(head: bytes) -> None:
    started = time.process_time()
    name_of(head)
    assert time.process_time() - started < 0.05


# On a connection.


class Player:
    def __init__(self, *, forced: str = "") -> None:
        self.messages: list[Message] = []
        self.forced = forced
        self.recognised: list[str] = []
        self.offset = [0, 0]
        self.connections = Connections(self.messages.extend, self._recognise)

    def _recognise(self, direction: int, head: bytes, outlet: Outlet) -> Parser | None:
        name = self.forced or name_of(head)
        self.recognised.append(name)
        return BY_NAME[name].create(direction, head, outlet, OPTIONS) if name else None

    def say(self, direction: int, data: bytes) -> None:
        self.connections.feed([(1, direction, self.offset[direction], 1, data, 1)])
        self.offset[direction] += len(data)

    def close(self) -> list[Message]:
        self.connections.close(9)
        assert self.connections.parser_failures == 0
        assert isinstance(self.messages[-1], ConnectionEnded)
        return self.messages[:-1]


def shown(messages: list[Message]) -> list[tuple[str, int, int, bytes]]:
    return [(m.protocol, m.direction, m.offset, m.data) for m in messages if isinstance(m, Raw)]


def test_all_records_of_the_connection_have_the_name() -> None:
    player = Player()
    player.say(WRITE, b"*1\r\n$4\r\nPING\r\n")
    player.say(READ, b"+OK\r\n")
    player.say(READ, b"anything")
    assert shown(player.close()) == [
        ("redis", WRITE, 0, b"*1\r\n$4\r\nPING\r\n"),
        ("redis", READ, 0, b"+OK\r\n"),
        ("redis", READ, 5, b"anything"),
    ]
    assert player.recognised == ["redis"]


def test_a_gap_changes_nothing() -> None:
    player = Player()
    player.say(WRITE, b"EHLO me\r\n")
    player.offset[WRITE] += 100
    player.say(WRITE, b"QUIT\r\n")
    messages = player.close()
    assert [type(message) for message in messages] == [Raw, Lost, Raw]
    assert shown(messages)[-1] == ("smtp", WRITE, 109, b"QUIT\r\n")


HTTP = [b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]


@pytest.mark.parametrize("http", HTTP, ids=["http1", "http2"])
def test_it_gives_way_to_http(http: bytes) -> None:
    player = Player()
    player.say(WRITE, b"PBSZ 0\r\n")
    player.say(WRITE, http)
    assert player.recognised == ["ftp", ""]
    assert shown(player.close())[-1] == ("", WRITE, 8, http)


@pytest.mark.parametrize("http", HTTP, ids=["http1", "http2"])
@pytest.mark.parametrize("start", [b"EHLO me\r\n", b"a1 NOOP\r\n", b"CAPA\r\n"], ids=["smtp", "imap", "pop3"])
def test_mail_may_quote_anything(start: bytes, http: bytes) -> None:
    player = Player()
    player.say(WRITE, start)
    player.say(WRITE, http)
    assert len(player.recognised) == 1
    assert shown(player.close())[-1][0] == player.recognised[0]


@pytest.mark.parametrize("name", BY_NAME)
def test_forced_it_stays(name: str) -> None:
    player = Player(forced=name)
    for data in (b"x", *HTTP, b"y"):
        player.say(WRITE, data)
    assert [protocol for protocol, *_ in shown(player.close())] == [name] * 4
