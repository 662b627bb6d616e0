# SPDX-License-Identifier: Apache-2.0
"""What is loaded along with a library, and in which order; what is not taken for a library."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from elf_image import RET, ElfImage

from plaintap.errors import TargetError
from plaintap.targets import ldcache
from plaintap.targets.calibration.launcher import Part
from plaintap.targets.calibration.library import collect, locate
from plaintap.targets.layouts.model import Family


def image(*functions: str, needed: tuple[str, ...] = (), **fields: object) -> ElfImage:
    elf = ElfImage(needed=needed, **fields)  # type: ignore[arg-type]
    for name in functions:
        elf.add(name, [RET])
    return elf


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def collected(
    stack: ExitStack, path: str | int, *, beside: str | None = None, libcrypto: str | None = None
) -> list[Part]:
    return collect(stack, path, "libssl", beside=beside, libcrypto=libcrypto)


def names(parts: Sequence[Part]) -> list[str]:
    return [part.name for part in parts]


def test_libcrypto_of_a_wheel_comes_first(stack: ExitStack, tmp_path: Path) -> None:
    crypto = image("BIO_new", "BIO_free", needed=("libz.so.1", "libc.so.6")).write(
        tmp_path / "libcrypto-2ade47cd.so.1.1"
    )
    image("inflate").write(tmp_path / "libz.so.1")
    image("malloc").write(tmp_path / "libc.so.6")
    needed = ("libc.so.6", "libz.so.1", "libcrypto-2ade47cd.so.1.1", "libmissing.so")
    path = image("SSL_new", "SSL_free", "SSL_unknown", needed=needed).write(tmp_path / "libssl-3a.so.1.1")
    found = collected(stack, path)
    assert names(found) == ["libz.so.1", "libcrypto-2ade47cd.so.1.1", "libssl"]
    (zlib, libcrypto, libssl), family = locate(found)
    assert zlib.functions == {}
    assert sorted(libcrypto.functions) == ["BIO_new"]
    assert sorted(libssl.functions) == ["SSL_free", "SSL_new"]
    assert [part.host_first for part in found] == [True, False, False]
    assert os.pread(libcrypto.fd, 1 << 20, 0) == Path(crypto).read_bytes()
    assert family is Family.OPENSSL


def test_functions_of_the_full_table(stack: ExitStack, tmp_path: Path) -> None:
    path = image("SSL_new", "BIO_new", full_table=True).write(tmp_path / "_rust.abi3.so")
    (part,), _ = locate(collected(stack, path))
    assert sorted(part.functions) == ["BIO_new", "SSL_new"]


def test_libcrypto_that_is_given(stack: ExitStack, tmp_path: Path) -> None:
    image("BIO_new").write(tmp_path / "libcrypto.so.3")
    other = image("BIO_new", "BIO_read").write(tmp_path / "elsewhere")
    path = image("SSL_new", needed=("libcrypto.so.3",)).write(tmp_path / "libssl.so.3")
    (first, _), _ = locate(collected(stack, path, libcrypto=other))
    assert (first.name, sorted(first.functions)) == ("libcrypto.so.3", ["BIO_new", "BIO_read"])


def test_libcrypto_the_loader_would_take(stack: ExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lib").mkdir()
    crypto = image("BIO_new").write(tmp_path / "lib" / "libcrypto.so.3")
    cache = [f"{crypto}.foreign", crypto]
    monkeypatch.setattr(ldcache, "libraries", lambda prefixes: cache if prefixes == ("libcrypto.so.3",) else [])
    path = image("SSL_new", needed=("libcrypto.so.3",)).write(tmp_path / "libssl.so.3")
    assert names(collected(stack, path)) == ["libcrypto.so.3", "libssl"]


def test_descriptor_with_its_neighbours(stack: ExitStack, tmp_path: Path) -> None:
    image("BIO_new").write(tmp_path / "libcrypto-1.so")
    path = image("SSL_new", needed=("libcrypto-1.so",)).write(tmp_path / "libssl.so")
    fd = os.open(path, os.O_RDONLY)
    stack.callback(os.close, fd)
    assert names(collected(stack, fd)) == ["libssl"]
    found = collected(stack, fd, beside=path)
    assert names(found) == ["libcrypto-1.so", "libssl"]
    assert found[-1].fd == fd


def test_libraries_that_need_each_other(stack: ExitStack, tmp_path: Path) -> None:
    image("BIO_new", needed=("libcrypto-2.so", "libssl-1.so")).write(tmp_path / "libcrypto-1.so")
    image("BIO_new", needed=("libcrypto-1.so",)).write(tmp_path / "libcrypto-2.so")
    path = image("SSL_new", needed=("libcrypto-1.so",)).write(tmp_path / "libssl.so")
    assert names(collected(stack, path)) == ["libcrypto-2.so", "libcrypto-1.so", "libssl"]


def test_no_folder_is_left(stack: ExitStack, tmp_path: Path) -> None:
    image("BIO_new").write(tmp_path / "libcrypto.so")
    (tmp_path / "in").mkdir()
    path = image("SSL_new", needed=("../libcrypto.so",)).write(tmp_path / "in" / "libssl.so")
    assert names(collected(stack, path)) == ["libssl"]


def test_boringssl(stack: ExitStack, tmp_path: Path) -> None:
    path = image("SSL_new", "SSL_CTX_set_grease_enabled").write(tmp_path / "libssl.so")
    _, family = locate(collected(stack, path))
    assert family is Family.BORINGSSL


@pytest.mark.parametrize(
    ("elf", "why"),
    [
        (image("SSL_free"), "it has no SSL_new"),
        (image("SSL_new", interpreter=True), "it is a program, and only libraries can be loaded"),
        (image("SSL_new", kind=2), "it is a program, and only libraries can be loaded"),
        (image("SSL_new", machine=183), "libssl is for aarch64, this host is x86-64"),
    ],
)
def test_what_cannot_be_loaded(stack: ExitStack, tmp_path: Path, elf: ElfImage, why: str) -> None:
    with pytest.raises(TargetError) as raised:
        locate(collected(stack, elf.write(tmp_path / "file")))
    assert raised.value.message == why


def test_file_that_is_not_there(stack: ExitStack) -> None:
    with pytest.raises(TargetError, match="^/no/such/file: cannot be opened: no such file or directory$"):
        collected(stack, "/no/such/file")
