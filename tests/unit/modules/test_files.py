# SPDX-License-Identifier: Apache-2.0
"""Files are told apart by what they are, copies by what is in them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from plaintap.modules.files import digest, identity_of


def test_identity_is_of_the_file(tmp_path: Path) -> None:
    path, copy = tmp_path / "a.so", tmp_path / "b.so"
    path.write_bytes(b"library")
    shutil.copy(path, copy)
    identities = []
    for name in (path, path, copy):
        fd = os.open(name, os.O_RDONLY)
        identities.append(identity_of(fd))
        os.close(fd)
    assert identities[0] == identities[1] != identities[2]
    assert identities[0][:2] == (path.stat().st_dev, path.stat().st_ino)


def test_copies_have_one_digest(tmp_path: Path) -> None:
    digests = set()
    for name, content in (("a.so", b"library"), ("b.so", b"library"), ("c.so", b"Library")):
        (tmp_path / name).write_bytes(content)
        fd = os.open(tmp_path / name, os.O_RDONLY)
        digests.add(digest(fd, len(content)))
        os.close(fd)
    assert len(digests) == 2
