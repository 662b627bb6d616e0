# SPDX-License-Identifier: Apache-2.0
"""Fields are found where they are, and nowhere when that cannot be told: by libraries made up for the purpose."""

from __future__ import annotations

import pytest
from library_model import OPENSSL, LibraryModel
from msgspec import structs

from plaintap.errors import TargetError
from plaintap.targets.calibration.observation import Object, Observation, Pointed
from plaintap.targets.calibration.search import find_layout
from plaintap.targets.layouts.model import Family, Layout

SECRETS = (
    *("early_secret", "handshake_secret", "master_secret", "server_finished_hash", "handshake_traffic_hash"),
    *("client_traffic_secret", "server_traffic_secret", "exporter_secret"),
)
OLD = structs.replace(OPENSSL, has_type=False, version=0, s3=128, client_random=196, alpn=400, **dict.fromkeys(SECRETS))
"""Like OpenSSL 1.1.0: a struct of its own for the state, no TLS 1.3."""
BORINGSSL = Layout(
    family=Family.BORINGSSL, version=16, s3=48, client_random=48, alpn=480, rbio=24, wbio=32, bio_method=0, bio_num=24
)


def edited(seen: Observation, **fields: object) -> Observation:
    return structs.replace(seen, ends=[structs.replace(end, **fields) for end in seen.ends])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("layout", [OPENSSL, OLD, BORINGSSL], ids=["openssl", "old", "boringssl"])
def test_every_field_is_found(layout: Layout, seed: int) -> None:
    assert find_layout(LibraryModel(layout, seed).observation(), layout.family) == layout


def test_field_that_is_nowhere_is_named() -> None:
    def wipe(ssl: bytearray, _: int) -> None:
        ssl[88:96] = bytes(8)

    with pytest.raises(TargetError, match="^wbio is at no place that all handshakes agree on$"):
        find_layout(LibraryModel(change=wipe).observation(), Family.OPENSSL)


@pytest.mark.parametrize("name", SECRETS)
def test_secret_that_is_nowhere_is_named(name: str) -> None:
    at = getattr(OPENSSL, name)

    def wipe(ssl: bytearray, _: int) -> None:
        ssl[at : at + 48] = bytes(48)

    with pytest.raises(TargetError, match="at no place"):
        find_layout(LibraryModel(change=wipe).observation(), Family.OPENSSL)


def test_field_at_two_places_is_named_with_both() -> None:
    def repeat(ssl: bytearray, _: int) -> None:
        ssl[256:264] = ssl[80:88]

    with pytest.raises(TargetError, match="^rbio is at several places, cannot tell which: 0x50, 0x100$"):
        find_layout(LibraryModel(change=repeat).observation(), Family.OPENSSL)


def test_a_second_place_in_one_handshake_only_does_not_confuse() -> None:
    def repeat(ssl: bytearray, number: int) -> None:
        if number != 5:
            ssl[256:264] = ssl[80:88]
            ssl[1800:1848] = ssl[1516:1564]

    assert find_layout(LibraryModel(change=repeat).observation(), Family.OPENSSL) == OPENSSL


def test_versions_of_records_are_not_taken_for_the_version() -> None:
    def repeat(ssl: bytearray, _: int) -> None:
        ssl[1984:1988] = ssl[72:76]

    assert find_layout(LibraryModel(change=repeat).observation(), Family.OPENSSL) == OPENSSL


def test_protocol_that_is_nowhere_is_not_known() -> None:
    """Nothing else depends on it, so the rest is good."""
    seen = LibraryModel().observation()
    assert find_layout(edited(seen, alpn=None), Family.OPENSSL) == structs.replace(OPENSSL, alpn=None)


def test_protocol_without_its_length_is_not_taken() -> None:
    def wipe(ssl: bytearray, _: int) -> None:
        ssl[904 + 8 : 904 + 16] = bytes(8)

    assert find_layout(LibraryModel(change=wipe).observation(), Family.OPENSSL).alpn is None


def test_protocol_at_two_places_is_not_known() -> None:
    def repeat(ssl: bytearray, _: int) -> None:
        ssl[256:272] = ssl[904:920]

    assert find_layout(LibraryModel(change=repeat).observation(), Family.OPENSSL).alpn is None


REPEATED = "^a value is at more than 64 places at once$"


def test_struct_that_is_all_one_value() -> None:
    wires = [b"\1" * 43] * 2
    for image in (b"\1" * 8192, bytes(8192)):  # in SSL itself, and in what it points to
        ssl = Object(address=1, data=image)
        pointed = [Pointed(offset=8 * index, data=b"\1" * 33) for index in range(128)]
        seen = edited(LibraryModel().observation(), wires=wires, ssl=ssl, pointed=pointed)
        with pytest.raises(TargetError, match=REPEATED):
            find_layout(seen, Family.OPENSSL)


def test_secret_of_one_byte() -> None:
    model = LibraryModel(log={"EXPORTER_SECRET": "07"}, change=lambda ssl, _: ssl.extend(b"\7" * 65))
    with pytest.raises(TargetError, match=REPEATED):
        find_layout(model.observation(), Family.OPENSSL)


def test_secret_to_be_tried_that_is_everywhere() -> None:
    secret_at = OPENSSL.handshake_secret
    assert secret_at is not None

    def repeat(ssl: bytearray, _: int) -> None:
        ssl.extend(ssl[secret_at : secret_at + 48].ljust(48) * 65)

    with pytest.raises(TargetError, match=REPEATED):
        find_layout(LibraryModel(change=repeat).observation(), Family.OPENSSL)


def test_library_without_a_key_log() -> None:
    seen = edited(LibraryModel().observation(), keylog={})
    with pytest.raises(TargetError, match="^it logs no CLIENT_TRAFFIC_SECRET_0$"):
        find_layout(seen, Family.OPENSSL)


def test_key_log_that_is_no_hexadecimal() -> None:
    model = LibraryModel(log={"EXPORTER_SECRET": "not one"})
    with pytest.raises(TargetError, match="^it logs no EXPORTER_SECRET$"):
        find_layout(model.observation(), Family.OPENSSL)


def test_secrets_of_zeros_are_nowhere() -> None:
    model = LibraryModel(log={"EXPORTER_SECRET": "00" * 32})
    with pytest.raises(TargetError, match="at no place"):
        find_layout(model.observation(), Family.OPENSSL)


def test_suite_that_is_none_of_tls_1_3() -> None:
    seen = edited(LibraryModel().observation(), cipher_id=0x0300C02F)
    with pytest.raises(TargetError, match="cipher_id|0x300c02f"):
        find_layout(seen, Family.OPENSSL)


def test_quic_object_must_be_told_apart() -> None:
    seen = structs.replace(LibraryModel().observation(), quic_type=0)
    with pytest.raises(TargetError, match="type of a QUIC object is that of a connection"):
        find_layout(seen, Family.OPENSSL)


def test_library_that_cannot_count_references() -> None:
    layout = structs.replace(OLD, references=None)
    assert find_layout(LibraryModel(layout).observation(), Family.OPENSSL) == layout


def test_master_secret_out_of_a_session_in_der() -> None:
    seen = LibraryModel(OLD).observation()
    ends = [
        structs.replace(end, master_key=b"", session_der=session_der(end.master_key, session_id=b"\x04\x30" * 16))
        for end in seen.ends
    ]
    assert find_layout(structs.replace(seen, ends=ends), Family.OPENSSL) == OLD


@pytest.mark.parametrize("cut", [0, 1, 5, 10, 14, 20, 60])
def test_session_in_der_that_is_cut_off(cut: int) -> None:
    seen = LibraryModel(OLD).observation()
    ends = [
        structs.replace(end, master_key=b"", session_der=session_der(end.master_key, b"id")[:cut]) for end in seen.ends
    ]
    with pytest.raises(TargetError, match="^its master secret has [0-9]+ bytes, expected 48$"):
        find_layout(structs.replace(seen, ends=ends), Family.OPENSSL)


def session_der(master_key: bytes, session_id: bytes) -> bytes:
    body = b"\x02\x01\x01" + b"\x02\x02\x03\x03"
    for value in (b"\x00\x8c", session_id, master_key):
        body += bytes((4, len(value))) + value
    body += b"\xa1\x06\x02\x04\x5f\x00\x00\x00" + b"\xa4\x02\x04\x00" + b"\xa3\x2a" + bytes(42)
    return b"\x30\x81" + bytes((len(body),)) + body
