# SPDX-License-Identifier: Apache-2.0
"""Layouts are remembered by key; what could be somebody else's or is damaged is not believed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from plaintap.targets.calibration import cache as module
from plaintap.targets.calibration.cache import LayoutCache
from plaintap.targets.layouts.model import Layout

KEY = ("build-id", "content")
LAYOUT = Layout(version=0, client_random=352, has_type=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "plaintap"


@pytest.fixture
def filled(folder: Path) -> LayoutCache:
    cache = LayoutCache(folder)
    cache.put(KEY, LAYOUT)
    return cache


def only_file(folder: Path) -> Path:
    (file,) = folder.iterdir()
    return file


def test_remembered(filled: LayoutCache, folder: Path) -> None:
    assert filled.get(KEY) == LAYOUT
    assert folder.stat().st_mode & 0o777 == 0o700
    assert only_file(folder).stat().st_mode & 0o777 == 0o600


def test_a_new_one_replaces_it(filled: LayoutCache, folder: Path) -> None:
    other = Layout(version=64)
    filled.put(KEY, other)
    assert filled.get(KEY) == other
    only_file(folder)


@pytest.mark.parametrize("key", [("other", "content"), ("build-id", "other"), ("build-id",), (*KEY, "")])
def test_other_keys_have_nothing(filled: LayoutCache, key: tuple[str, ...]) -> None:
    assert filled.get(key) is None


def test_nothing_is_made_by_looking(folder: Path) -> None:
    assert LayoutCache(folder).get(KEY) is None
    assert not folder.exists()


@pytest.mark.parametrize("data", [b"", b"{", b"null", b'{"method": 1}', bytes(100), b"\xff"])
def test_damaged_file_is_ignored_and_replaced(filled: LayoutCache, folder: Path, data: bytes) -> None:
    only_file(folder).write_bytes(data)
    assert filled.get(KEY) is None
    filled.put(KEY, LAYOUT)
    assert filled.get(KEY) == LAYOUT


def test_file_cut_anywhere_is_ignored(filled: LayoutCache, folder: Path) -> None:
    whole = only_file(folder).read_bytes()
    for size in range(len(whole)):
        only_file(folder).write_bytes(whole[:size])
        assert filled.get(KEY) is None


def test_file_of_another_key_is_ignored(filled: LayoutCache, folder: Path) -> None:
    ours = only_file(folder)
    filled.put(("other",), Layout(version=1))
    (other,) = (file for file in folder.iterdir() if file != ours)
    other.rename(ours)
    assert filled.get(KEY) is None


def test_another_method_finds_anew(filled: LayoutCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "METHOD", module.METHOD + 1)
    assert filled.get(KEY) is None


@pytest.mark.parametrize("mode", [0o755, 0o777, 0o701, 0o770])
def test_folder_open_to_others_is_neither_read_nor_written(filled: LayoutCache, folder: Path, mode: int) -> None:
    folder.chmod(mode)
    before = only_file(folder).read_bytes()
    assert filled.get(KEY) is None
    filled.put(KEY, Layout(version=64))
    assert only_file(folder).read_bytes() == before


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_file_writable_by_others_is_ignored(filled: LayoutCache, folder: Path, mode: int) -> None:
    only_file(folder).chmod(mode)
    assert filled.get(KEY) is None


def test_links_are_not_followed(filled: LayoutCache, folder: Path, tmp_path: Path) -> None:
    file = only_file(folder)
    moved = file.rename(tmp_path / "elsewhere.json")
    file.symlink_to(moved)
    assert filled.get(KEY) is None
    link = tmp_path / "link"
    link.symlink_to(folder)
    assert LayoutCache(link).get(KEY) is None


def test_somebody_elses_folder(filled: LayoutCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert filled.get(KEY) is None


def test_pipe_in_place_of_the_file_does_not_block(filled: LayoutCache, folder: Path) -> None:
    file = only_file(folder)
    file.unlink()
    os.mkfifo(file, 0o600)
    assert filled.get(KEY) is None


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cache = LayoutCache(tmp_path / "file" / "plaintap")
    cache.put(KEY, LAYOUT)
    assert cache.get(KEY) is None


@pytest.mark.parametrize(
    ("uid", "base", "expected"),
    [
        (0, "/somewhere", "/var/cache/plaintap"),
        (1000, "/somewhere", "/somewhere/plaintap"),
        (1000, "relative", "/home/x/.cache/plaintap"),
        (1000, "", "/home/x/.cache/plaintap"),
    ],
)
def test_where_it_is(monkeypatch: pytest.MonkeyPatch, uid: int, base: str, expected: str) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    monkeypatch.setenv("XDG_CACHE_HOME", base)
    monkeypatch.setenv("HOME", "/home/x")
    assert LayoutCache.standard()._folder == Path(expected)


def test_user_without_a_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as for a user id that has no account
    monkeypatch.chdir(tmp_path)
    cache = LayoutCache.standard()
    cache.put(KEY, LAYOUT)
    assert cache.get(KEY) is None
    assert not list(tmp_path.iterdir())


def test_home_that_is_no_absolute_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "relative")
    monkeypatch.chdir(tmp_path)
    LayoutCache.standard().put(KEY, LAYOUT)
    assert not list(tmp_path.iterdir())
