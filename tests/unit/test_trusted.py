# SPDX-License-Identifier: Apache-2.0
"""Names that strangers may have prepared: whose links are followed, and whose are not."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from plaintap import trusted
from plaintap.trusted import open_trusted

FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND


def written(path: str | Path) -> None:
    fd = open_trusted(str(path), FLAGS)
    os.write(fd, b"secret")
    os.close(fd)


@pytest.fixture
def strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything belongs to somebody else."""
    monkeypatch.setattr(trusted, "is_trusted", lambda _uid: False)


@pytest.mark.parametrize("target", ["file", "folder/../file"])
def test_our_own_links_are_followed(tmp_path: Path, target: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "second").symlink_to(target)
    (tmp_path / "first").symlink_to(tmp_path / "second")
    written(tmp_path / "first")
    assert (tmp_path / "file").read_bytes() == b"secret"
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600


@pytest.mark.usefixtures("strangers")
@pytest.mark.parametrize("exists", [True, False])
def test_those_of_somebody_else_are_not(tmp_path: Path, exists: bool) -> None:
    precious = tmp_path / "precious"
    if exists:
        precious.write_bytes(b"")
    (tmp_path / "link").symlink_to(precious)
    with pytest.raises(OSError, match="is a link that belongs to user") as caught:
        written(tmp_path / "link")
    assert caught.value.errno == errno.ELOOP
    assert precious.exists() == exists
    assert not exists or precious.read_bytes() == b""


@pytest.mark.usefixtures("strangers")
def test_files_are_opened_whoever_owns_them(tmp_path: Path) -> None:
    written(tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"secret"


def test_a_descriptor_by_its_name() -> None:
    reader, writer = os.pipe()
    written(f"/dev/fd/{writer}")
    assert os.read(reader, 100) == b"secret"
    os.close(reader)
    os.close(writer)


def test_links_without_an_end(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("link")
    with pytest.raises(OSError, match="symbolic links") as caught:
        written(tmp_path / "link")
    assert caught.value.errno == errno.ELOOP


def test_who_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = os.geteuid() + 4711
    assert trusted.is_trusted(0)
    assert trusted.is_trusted(os.geteuid())
    assert not trusted.is_trusted(stranger)
    monkeypatch.setenv("SUDO_UID", str(stranger))
    assert trusted.is_trusted(stranger)
