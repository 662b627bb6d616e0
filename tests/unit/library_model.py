# SPDX-License-Identifier: Apache-2.0
"""A library that never was, for tests of the search: its layout is chosen, and what a child would see of it is made.

Everything between the fields is noise, other in each handshake.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from plaintap.targets.calibration import keyschedule
from plaintap.targets.calibration.observation import Alpn, Bio, End, Object, Observation, Pointed
from plaintap.targets.layouts.model import Family, Layout

PSK = b"\7" * 32
SSL_BYTES = 2048
HEAD_BYTES = 256

OPENSSL = Layout(
    has_type=True,
    version=72,
    server=120,
    references=32,
    session=1904,
    client_random=392,
    alpn=904,
    rbio=80,
    wbio=88,
    bio_method=8,
    bio_num=56,
    master_key=80,
    session_cipher=160,
    cipher_id=24,
    early_secret=1004,
    handshake_secret=1068,
    master_secret=1132,
    server_finished_hash=1388,
    handshake_traffic_hash=1452,
    client_traffic_secret=1516,
    server_traffic_secret=1580,
    exporter_secret=1644,
)
"""Like OpenSSL 3.5."""

Change = Callable[[bytearray, int], None]
"""Alters the SSL of an end, told by its number."""


@dataclass
class LibraryModel:
    """`observation` is what a child would have seen."""

    layout: Layout = OPENSSL
    seed: int = 1
    change: Change | None = None
    log: dict[str, str] = field(default_factory=dict)
    """Replaces lines of the key log."""

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - noise

    def observation(self) -> Observation:
        """Two handshakes of TLS 1.2, and two of 1.3 where the layout has its secrets; client and server of each."""
        modern = self.layout.handshake_secret is not None
        versions = [(0x303, 0x0300008C), (0x303, 0x0300008D)]
        versions += [(0x304, 0x03001301), (0x304, 0x03001302)] if modern else [(0x302, 0x0300008C)]
        ends = [
            end for number, (version, cipher) in enumerate(versions) for end in self._handshake(number, version, cipher)
        ]
        return Observation(
            ends=ends,
            bios=[self._bio(None), self._bio(0x5A17), self._bio(0x3C2B)],
            fresh_version=0x10000,
            roles=[self._ssl(server=server, version=0x10000) for server in (0, 1, 0)],
            references=self._references(),
            quic_type=1 if self.layout.has_type else None,
        )

    def _handshake(self, number: int, version: int, cipher_id: int) -> list[End]:
        client_random = self._noise(32)
        hello, answer = b"\x03\x03" + client_random + self._noise(40), self._noise(70)
        wires = [_flight(1, hello), _flight(2, answer)]
        secrets = self._secrets(wires, cipher_id) if version == 0x304 else {}
        cipher = self._object(128, {"cipher_id": cipher_id.to_bytes(4, "little")})
        return [self._end(2 * number + server, version, cipher, cipher_id, wires, secrets) for server in (0, 1)]

    def _end(
        self, number: int, version: int, cipher: Object, cipher_id: int, wires: list[bytes], secrets: dict[str, bytes]
    ) -> End:
        master_key = self._noise(48)
        session = self._object(512, {"session_cipher": _pointer(cipher.address), "master_key": master_key})
        rbio, wbio = self._address(), self._address()
        fields = {"session": _pointer(session.address), "rbio": _pointer(rbio), "wbio": _pointer(wbio), **secrets}
        alpn = Alpn(address=self._address(), size=20 + number // 2 % 2)
        state_fields = {
            "client_random": wires[0][11:43],
            "alpn": _pointer(alpn.address) + alpn.size.to_bytes(8, "little"),
        }
        pointed = []
        if self.layout.s3 is not None:
            state = self._object(512, state_fields)
            fields["s3"] = _pointer(state.address)
            pointed = [Pointed(offset=self.layout.s3, data=state.data)]
            # As a buffer that happens to hold the client's hello.
            pointed.append(Pointed(offset=self.layout.s3 + 8 * (number + 1), data=self._noise(16) + wires[0]))
        else:
            fields |= state_fields
        image = self._ssl(server=number % 2, version=version, fields=fields, number=number)
        labels = {
            "CLIENT_HANDSHAKE_TRAFFIC_SECRET": "logged",
            "CLIENT_TRAFFIC_SECRET_0": "client_traffic_secret",
            "SERVER_TRAFFIC_SECRET_0": "server_traffic_secret",
            "EXPORTER_SECRET": "exporter_secret",
        }
        return End(
            server=bool(number % 2),
            version=version,
            cipher_id=cipher_id,
            psk=PSK,
            wires=wires,
            keylog={label: secrets[name].hex() for label, name in labels.items() if secrets} | self.log,
            master_key=master_key,
            session_der=b"",
            alpn=alpn,
            rbio=rbio,
            wbio=wbio,
            ssl=Object(address=self._address(), data=image),
            session=session,
            cipher=cipher,
            pointed=pointed,
        )

    def _secrets(self, wires: list[bytes], cipher_id: int) -> dict[str, bytes]:
        digest = "sha384" if cipher_id & 0xFFFF == 0x1302 else "sha256"
        size = keyschedule.digest_bytes(digest)
        hello_hash, finished_hash = keyschedule.hello_hash(wires[0], wires[1], digest), self._noise(size)
        handshake = self._noise(size)
        master = keyschedule.master_secret(handshake, digest)
        return {
            "early_secret": keyschedule.extract(b"", PSK, digest),
            "handshake_secret": handshake,
            "master_secret": master,
            "server_finished_hash": finished_hash,
            "handshake_traffic_hash": hello_hash,
            "client_traffic_secret": keyschedule.expand_label(master, "c ap traffic", finished_hash, digest),
            "server_traffic_secret": keyschedule.expand_label(master, "s ap traffic", finished_hash, digest),
            "exporter_secret": self._noise(size),
            "logged": keyschedule.expand_label(handshake, "c hs traffic", hello_hash, digest),
        }

    def _ssl(
        self,
        *,
        server: int,
        version: int,
        fields: dict[str, bytes] | None = None,
        references: int = 1,
        number: int | None = None,
    ) -> bytes:
        small = 2 if self.layout.family is Family.BORINGSSL else 4
        values = {
            "server": server.to_bytes(4, "little"),
            "references": references.to_bytes(4, "little"),
            "version": (version % (1 << 8 * small)).to_bytes(small, "little"),
        }
        image = bytearray(self._object(SSL_BYTES, values | (fields or {})).data)
        if self.layout.has_type:
            image[:4] = bytes(4)
        if self.change is not None and number is not None:
            self.change(image, number)
        return bytes(image)

    def _references(self) -> list[bytes]:
        if self.layout.references is None:
            return []
        return [self._ssl(server=0, version=0x303, references=count) for count in (1, 2, 3, 2, 1)]

    def _bio(self, number: int | None) -> Bio:
        method = self._address()
        fields = {"bio_method": _pointer(method)}
        if number is not None:
            fields["bio_num"] = number.to_bytes(4, "little")
        return Bio(method=method, number=number, data=self._object(128, fields).data)

    def _object(self, size: int, fields: dict[str, bytes]) -> Object:
        """Noise with the fields of the layout in it."""
        data = bytearray(self._noise(size))
        for name, value in fields.items():
            at = getattr(self.layout, name, None)
            if at is not None:
                data[at : at + len(value)] = value
        return Object(address=self._address(), data=bytes(data))

    def _noise(self, size: int) -> bytes:
        return self._random.randbytes(size)

    def _address(self) -> int:
        return self._random.randrange(0x7F0000000000, 0x7FFFFFFFF000, 16)


def _pointer(address: int) -> bytes:
    return address.to_bytes(8, "little")


def _flight(kind: int, body: bytes) -> bytes:
    message = bytes((kind,)) + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x03" + len(message).to_bytes(2, "big") + message
