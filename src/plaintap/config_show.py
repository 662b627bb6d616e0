# SPDX-License-Identifier: Apache-2.0
"""The options that say what is made of a capture and how it looks; of use without a kernel too.

Owns their names, types, defaults, limits and help texts, and what they come to together. Part of `CommonConfig` of
config.py; asks for no privilege and opens nothing.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from plaintap import values
from plaintap.options import Group, Model, flag
from plaintap.values import Text

KEYLOG_FILE = "plaintap_key.log"
TLS_KEYLOG_FILE = "plaintap_openssl_key.log"
GOTLS_KEYLOG_FILE = "plaintap_gotls_key.log"
"""Where keys go when nobody says: from everything, and from one module alone. The names are those of eCapture."""
STANDARD_OUTPUT = "-"
FORMS = ("text", "json", "har:", "hex", "ecapture", "protobuf", "none")
PROTOCOLS = tuple("http1 http2 websocket redis postgres mysql smtp imap pop3 mqtt ldap amqp ftp memcached nats".split())


class ShowConfig(Model, frozen=True, kw_only=True):
    """Everything under `what to show` that means the same to every module."""

    model: Annotated[
        tuple[Literal["text", "keylog", "pcap"], ...],
        flag(
            "-m",
            "--model",
            help="what to make of the capture: keylog (or key) writes keys, pcap packets with keys; also text,pcap",
            group=Group.SHOW,
            hint="-m text shows the traffic, and so does leaving -m out; -m keylog writes the keys, -m pcap packets",
            parse=values.model,
            replay=True,
        ),
    ] = ("text",)
    keylogfile: Annotated[
        Text | None,
        flag(
            "-k",
            "--keylogfile",
            "--keylog-file",
            help="where -m keylog appends the keys; - is standard output",
            group=Group.SHOW,
            metavar="FILE",
            expects="a file name, or - for standard output",
            hint="for example -m keylog -k keys.log",
            default_text=f"{KEYLOG_FILE}; of `tls` {TLS_KEYLOG_FILE}, of `gotls` {GOTLS_KEYLOG_FILE}",
            replay=True,
        ),
    ] = None
    format: Annotated[
        Text,
        flag(
            "--format",
            help="the forms of messages and their files: text, json, har:FILE, hex, ecapture, protobuf, none",
            group=Group.SHOW,
            metavar="FORM[:FILE],…",
            words=FORMS,
            expects="forms, one of them without a file",
            hint="for example --format text,json:day.jsonl,har:day.har",
            replay=True,
        ),
    ] = "text"
    filter: Annotated[
        Text | None,
        flag(
            "--filter",
            help="only messages of which this is true: host method path status process type size …",
            group=Group.SHOW,
            metavar="EXPR",
            expects="an expression",
            hint="for example --filter 'host=*.example.com and status>=400'",
            default_text="all",
            replay=True,
        ),
    ] = None
    once: Annotated[
        bool,
        flag(
            "--once",
            help="what both ends of a connection on this host say, only as the client said it",
            group=Group.SHOW,
            replay=True,
        ),
    ] = False
    protocol: Annotated[
        Text | None,
        flag(
            "--protocol",
            help="take every connection for this protocol, whatever it looks like: http1, http2, …",
            group=Group.SHOW,
            metavar="NAME",
            words=PROTOCOLS,
            expects="a protocol",
            hint="without --protocol it is recognised",
            default_text="recognised",
            replay=True,
        ),
    ] = None
    proto: Annotated[
        tuple[Text, ...],
        flag(
            "--proto",
            help="name the fields of gRPC messages by these .proto files; may be given again",
            group=Group.SHOW,
            metavar="FILE[,FILE]",
            expects="file names",
            default_text="by number",
            replay=True,
        ),
    ] = ()
    verbose: Annotated[
        Annotated[int, Meta(ge=0)],
        flag(
            "-v",
            "--verbose",
            help="headers and bodies too; -vv also raw records",
            group=Group.SHOW,
            expects="a whole number from 0",
            replay=True,
        ),
    ] = 0
    hex: Annotated[bool, flag("--hex", help="payload as a hex dump", group=Group.SHOW, replay=True)] = False
    body_limit: Annotated[
        Annotated[int, Meta(ge=0, le=2**40)],
        flag(
            "-t",
            "--body-limit",
            "--tsize",
            help="bytes of a body to show, such as 500 or 64k; 0 shows all",
            group=Group.SHOW,
            metavar="BYTES",
            expects="a number of bytes from 0",
            hint="such as 500, 64k or 10MB",
            parse=values.size_bytes,
            replay=True,
        ),
    ] = 65536
    color: Annotated[
        Literal["auto", "always", "never"],
        flag("--color", help="auto colours a terminal unless NO_COLOR is set", group=Group.SHOW, replay=True),
    ] = "auto"

    @property
    def wants_text(self) -> bool:
        """Plaintext is wanted."""
        return "text" in self.model

    @property
    def wants_keylog(self) -> bool:
        """Keys are wanted."""
        return "keylog" in self.model

    @property
    def wants_packets(self) -> bool:
        """Packets are wanted, and the keys that decrypt them."""
        return "pcap" in self.model

    @property
    def wants_secrets(self) -> bool:
        """Keys are wanted, wherever they go."""
        return self.wants_keylog or self.wants_packets

    @property
    def keylog_path(self) -> str:
        """Where they go; `-` is standard output."""
        return self.keylogfile or KEYLOG_FILE
