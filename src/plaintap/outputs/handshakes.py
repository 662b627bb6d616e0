# SPDX-License-Identifier: Apache-2.0
"""What is shown of a handshake whose keys went to the key log: whose it is and how many, never a secret."""

from __future__ import annotations

from plaintap.messages import Connection, Secrets
from plaintap.outputs import who
from plaintap.outputs.escape import escape
from plaintap.outputs.sizes import count
from plaintap.outputs.suites import suite_name, version_name

_EARLY = "CLIENT_EARLY_TRAFFIC_SECRET"


def connection_of(secrets: Secrets) -> Connection:
    """Whose keys they are."""
    owner = secrets.owner
    return Connection(
        owner.session, owner.pid, owner.tid, owner.uid, owner.comm, owner.ssl, secrets.library, owner.socket
    )


def handshake_words(secrets: Secrets) -> str:
    """`93.184.216.34:443  TLS 1.3 TLS_AES_256_GCM_SHA384  5 secrets`, what is missing of them, the library."""
    peer = who.peer(secrets.owner.socket) or who.UNKNOWN
    agreed = f"{version_name(secrets.version)} {suite_name(secrets.cipher)}".strip()
    lacks = [label for label in secrets.missing if label != _EARLY]
    without = f"without {', '.join(lacks)}" if lacks else ""
    early = "resumed: no key for early data, if it had any" if _EARLY in secrets.missing else ""
    parts = [peer, agreed, count(secrets.gathered, "secret"), without, early, escape(secrets.library)]
    return "  ".join(filter(None, parts))
