# SPDX-License-Identifier: Apache-2.0
"""The whole way from a file to its layout and back from the cache; a script that says an answer is the child."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from elf_image import RET, ElfImage
from fake_child import fake_child
from library_model import OPENSSL, LibraryModel

from plaintap.errors import TargetError
from plaintap.targets.calibration.cache import LayoutCache
from plaintap.targets.calibration.calibrator import calibrate, calibrated
from plaintap.targets.layouts.model import Origin

Answer = Callable[[bytes], None]
GOOD = msgspec.json.encode(LibraryModel().observation())


@pytest.fixture
def answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Answer:
    child = fake_child(tmp_path, monkeypatch)

    def give(data: bytes) -> None:
        child(f"say({data!r})")

    return give


@pytest.fixture
def cache(tmp_path: Path) -> LayoutCache:
    return LayoutCache(tmp_path / "cache")


@pytest.fixture
def libssl(tmp_path: Path) -> Path:
    elf = ElfImage(needed=("libcrypto-1.so",))
    elf.add("SSL_new", [RET])
    crypto = ElfImage()
    crypto.add("BIO_new", [RET])
    crypto.write(tmp_path / "libcrypto-1.so")
    return Path(elf.write(tmp_path / "libssl-1.so"))


def test_layout_of_what_was_seen(answer: Answer, libssl: Path) -> None:
    answer(GOOD)
    assert calibrate(str(libssl)) == OPENSSL


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"garbage", "its answer makes no sense"),
        (b'{"error": "it does not shake hands with itself"}', "it does not shake hands with itself"),
    ],
)
def test_error_names_the_library_and_the_way_out(answer: Answer, libssl: Path, data: bytes, why: str) -> None:
    answer(data)
    with pytest.raises(TargetError) as raised:
        calibrate(str(libssl))
    assert raised.value.message == f"{libssl} cannot be calibrated: {why}"
    assert raised.value.hint


def test_error_names_it_as_the_caller_does(libssl: Path) -> None:
    libssl.write_bytes(b"text")
    with (
        libssl.open("rb") as file,
        pytest.raises(TargetError, match="^/its/name cannot be calibrated: .* is no ELF file"),
    ):
        calibrate(file.fileno(), name="/its/name")


def test_second_time_no_child_is_started(answer: Answer, libssl: Path, cache: LayoutCache) -> None:
    answer(GOOD)
    first = calibrated(str(libssl), cache=cache)
    assert (first.layout, first.origin) == (OPENSSL, Origin.CALIBRATION)
    answer(b"garbage")
    assert calibrated(str(libssl), cache=cache) == first


@pytest.mark.parametrize("name", ["libssl-1.so", "libcrypto-1.so"])
def test_other_content_under_the_same_build_id_is_another_library(
    answer: Answer, libssl: Path, cache: LayoutCache, name: str
) -> None:
    answer(GOOD)
    calibrated(str(libssl), cache=cache)
    answer(b"garbage")
    with libssl.with_name(name).open("ab") as file:
        file.write(b"\0")
    with pytest.raises(TargetError, match="makes no sense"):
        calibrated(str(libssl), cache=cache)


def test_failures_are_not_remembered(answer: Answer, libssl: Path, cache: LayoutCache) -> None:
    answer(b"garbage")
    with pytest.raises(TargetError):
        calibrated(str(libssl), cache=cache)
    answer(GOOD)
    assert calibrated(str(libssl), cache=cache).layout == OPENSSL
