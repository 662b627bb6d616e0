# SPDX-License-Identifier: Apache-2.0
"""TLS 1.3 handshakes with every secret known, and the block in which OpenSSL keeps them, for tests of keys."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

OFFSETS = {
    "early_secret": 0,
    "handshake_secret": 64,
    "master_secret": 128,
    # The resumption master secret and the keys of both Finished are at 192, 256 and 320.
    "server_finished_hash": 384,
    "handshake_traffic_hash": 448,
    "client_traffic_secret": 512,
    "server_traffic_secret": 576,
    "exporter_secret": 640,
}
"""As in OpenSSL from 1.1.1 on: fields of EVP_MAX_MD_SIZE, one behind the other."""
BLOCK_SIZE = 704
WHOLE = (
    "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
    "SERVER_HANDSHAKE_TRAFFIC_SECRET",
    "CLIENT_TRAFFIC_SECRET_0",
    "SERVER_TRAFFIC_SECRET_0",
    "EXPORTER_SECRET",
)


@dataclass(frozen=True)
class Vector:
    """What a library keeps, by the names of `OFFSETS`, and the lines that come of it."""

    cipher: int
    client_random: bytes
    kept: Mapping[str, bytes]
    lines: tuple[tuple[str, bytes], ...]

    def block(self, **changes: bytes) -> bytes:
        """The block, with other contents where given."""
        block = bytearray(BLOCK_SIZE)
        for name, value in {**self.kept, **changes}.items():
            block[OFFSETS[name] : OFFSETS[name] + 64] = value.ljust(64, b"\0")
        return bytes(block)


def _vector(cipher: int, client_random: str, kept: list[str], lines: list[str]) -> Vector:
    secrets = [bytes.fromhex(line) for line in lines]
    values = [*map(bytes.fromhex, kept), *secrets[2:]]
    return Vector(
        cipher,
        bytes.fromhex(client_random),
        dict(zip(OFFSETS, values, strict=True)),
        tuple(zip(WHOLE, secrets, strict=True)),
    )


RFC8448 = _vector(
    0x1301,
    "cb34ecb1e78163ba1c38c6dacb196a6dffa21a8d9912ec18a2ef6283024dece7",
    [
        "33ad0a1c607ec03b09e6cd9893680ce210adf300aa1f2660e1b22e10f170f92a",
        "1dc826e93606aa6fdc0aadc12f741b01046aa6b99f691ed221a9f0ca043fbeac",
        "18df06843d13a08bf2a449844c5f8a478001bc4d4c627984d5a41da8d0402919",
        "9608102a0f1ccc6db6250b7b7e417b1a000eaada3daae4777a7686c9ff83df13",
        "860c06edc07858ee8e78f0e7428c58edd6b43f2ca3e6e95f02ed063cf0e1cad8",
    ],
    [
        "b3eddb126e067f35a780b3abf45e2d8f3b1a950738f52e9600746a0e27a55a21",
        "b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38",
        "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5",
        "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643",
        "fe22f881176eda18eb8f44529e6792c50c9a3f89452f68d8ae311b4309d3cf50",
    ],
)
"""RFC 8448 section 3, the simple handshake; its suite is TLS_AES_128_GCM_SHA256."""

RESUMED_EARLY_SECRET = bytes.fromhex("9b2188e9b2fc6d64d71dc329900e20bb41915000f678aa839cbb797cb7d8332c")
"""RFC 8448 section 4, which resumes it."""


def _sha384(text: str) -> str:
    return hashlib.sha384(text.encode()).hexdigest()


SHA384 = _vector(
    0x1302,
    _sha384("client random")[:64],
    [
        "7ee8206f5570023e6dc7519eb1073bc4e791ad37b5c382aa10ba18e2357e716971f9362f2c2fe2a76bfd78dfec4ea9b5",
        _sha384("handshake secret"),
        _sha384("master secret"),
        _sha384("finished hash"),
        _sha384("handshake hash"),
    ],
    [
        "24061622b56ccc1a6988c94355c6e9ea8d1f687144e105878c429617b89539d4d9d495d8be5cf682a8ed39b6b8e0ea5a",
        "401e89f734c5ebdf28632c2a020054fd97cae05852785b6cbc081dfbc7d598f6c6da1f3d4d8872235e0c7f846cd4b4e4",
        "93b71b142574a322506cc9c3b7bc9e5d66fd3dc0766b68faa1f761c61c2c075fc8ab50623172b6e926d144215f17199c",
        "bdce3bd7b8d7505a1ef04121d309ccbc9b3888a834ea6c4cb525cbe979e580eddd699f5b847732c158e2d3c5cd6b6ecf",
        "c6d3b1e66bab16a3d66cf2e71da8765ed4e921d95827fd2b362875955eb77d628b2efd5cc1434d4869f0ef3926165bb3",
    ],
)
"""Made-up secrets and hashes; what is derived of them was made by OpenSSL 3.0: `openssl kdf … TLS13-KDF` with mode
EXPAND_ONLY, the early secret with mode EXTRACT_ONLY and no PSK."""

VECTORS = (RFC8448, SHA384)
