# SPDX-License-Identifier: Apache-2.0
"""Wrong paths, pids, privileges, sizes and keys: a message that names the thing, an exit code, no traceback."""

from __future__ import annotations

import dataclasses
import os
import struct
import subprocess
from pathlib import Path

import pytest
from harness.require import require_command
from harness.tap import PLAINTAP, Ended, Taps
from harness.target import Targets

E_MACHINE_OFFSET = 18
AARCH64 = 183


def check_refused(ended: Ended, *words: str, code: int = 1) -> None:
    """One error line with all the words in it and a hint, which only "expected this, got that" can do without."""
    ended.check_clean(code=code)
    error, *hints = ended.err.splitlines()
    assert error.startswith("plaintap: ")
    assert not error.endswith(".")
    if "expected " not in error:
        assert hints, f"no way out is offered: {error}"
    assert [hint[:8] for hint in hints] in ([], ["  hint: "])
    for word in words:
        assert word in ended.err


def test_library_that_does_not_exist(taps: Taps) -> None:
    path = "/no/such/libssl.so"
    check_refused(taps.run("tls", "--libssl", path), f"cannot open {path}: no such file or directory")


def test_library_that_is_a_folder(taps: Taps, tmp_path: Path) -> None:
    check_refused(taps.run("tls", "--libssl", tmp_path), str(tmp_path))


def test_library_that_is_no_elf(taps: Taps, tmp_path: Path) -> None:
    path = tmp_path / "libssl.so"
    path.write_text("I am a text.\n" * 100)
    check_refused(taps.run("tls", "--libssl", path), str(path), "no ELF file")


def test_library_that_is_empty(taps: Taps, tmp_path: Path) -> None:
    path = tmp_path / "libssl.so"
    path.touch()
    check_refused(taps.run("tls", "--libssl", path), str(path))


def test_library_of_another_architecture(taps: Taps, library_copy: Path) -> None:
    content = bytearray(library_copy.read_bytes())
    struct.pack_into("<H", content, E_MACHINE_OFFSET, AARCH64)
    library_copy.write_bytes(content)
    check_refused(taps.run("tls", "--libssl", library_copy), str(library_copy), "aarch64", "x86-64")


def test_library_that_is_cut(taps: Taps, library_copy: Path) -> None:
    os.truncate(library_copy, library_copy.stat().st_size // 3)
    check_refused(taps.run("tls", "--libssl", library_copy), str(library_copy))


def test_library_without_the_functions(taps: Taps) -> None:
    maps = Path("/proc/self/maps").read_text().split()
    libc = next(word for word in maps if Path(word).name.startswith("libc.so"))
    check_refused(taps.run("tls", "--libssl", libc), libc, "SSL_read", "SSL_write")


def test_pid_that_does_not_exist(taps: Taps) -> None:
    pid = int(Path("/proc/sys/kernel/pid_max").read_text()) - 1
    assert not Path(f"/proc/{pid}").exists()
    check_refused(taps.run("tls", "--pid", pid), f"pid {pid}: no such process")


def test_pid_that_is_dead_but_not_buried(taps: Taps) -> None:
    with subprocess.Popen(["true"]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        check_refused(taps.run("tls", "--pid", process.pid), f"pid {process.pid}: no such process")


def test_pid_that_is_no_number(taps: Taps) -> None:
    check_refused(taps.run("tls", "--pid", "curl"), "--pid", "'curl'", code=2)


@pytest.mark.parametrize("attempt", range(4))
def test_pid_that_dies_while_attaching(targets: Targets, taps: Taps, attempt: int) -> None:
    """Whenever it dies, the tool ends by itself: it was never there, or all that was asked for is gone."""
    target = targets.ready("pairs", 1, 1, 1, 1)
    tap = taps.start("tls", "--pid", target.pid, "--format", "none", "-d")
    if attempt:
        tap.wait_for_err("\n", times=attempt)
    target.kill()
    ended = tap.wait()
    if "attached in" in ended.err:  # it was ready, and then all that was asked for was gone
        ended.check_clean(code=0)
        assert f"plaintap: pid {target.pid} ended\n" in ended.err
        assert "nothing lost" in ended.summary
    else:
        check_refused(last_lines(ended), f"cannot attach to pid {target.pid}: no such process")


def last_lines(ended: Ended) -> Ended:
    """The same without the lines of -d."""
    lines = [line for line in ended.err.splitlines(keepends=True) if not line.startswith("debug: ")]
    return dataclasses.replace(ended, err="".join(lines))


def test_no_privilege(taps: Taps) -> None:
    without = (require_command("setpriv"), "--bounding-set=-all", "--inh-caps=-all")
    check_refused(
        taps.run("tls", "--format", "none", before=without),
        "CAP_BPF",
        "CAP_PERFMON",
        f"sudo {PLAINTAP} tls --format none",
    )


def test_run_without_privilege_does_not_run(taps: Taps, tmp_path: Path) -> None:
    without = (require_command("setpriv"), "--bounding-set=-all", "--inh-caps=-all")
    made = tmp_path / "made"
    check_refused(taps.run("run", "--", "touch", made, before=without), "CAP_BPF", "CAP_PERFMON")
    assert not made.exists()


def test_one_missing_capability_is_named(taps: Taps) -> None:
    without = (require_command("setpriv"), "--bounding-set=-sys_admin,-bpf", "--inh-caps=-all")
    check_refused(taps.run("tls", before=without), "CAP_BPF", f"sudo {PLAINTAP} tls")


def test_no_btf(taps: Taps) -> None:
    """A kernel without type information, as far as this process can see."""
    # In a chroot "/" is no mount and cannot be made private; nothing outside /sys is covered there.
    hide = "mount --make-rprivate / 2>/dev/null && others='/boot /lib/modules'; mount --make-rprivate /sys; "
    hide += 'for place in /sys/kernel/btf $others; do test ! -d $place || mount -t tmpfs none $place; done; exec "$@"'
    before = (require_command("unshare"), "--mount", "--propagation", "unchanged", "sh", "-c", hide, "sh")
    check_refused(taps.run("tls", before=before), "BTF", "/sys/kernel/btf/vmlinux")


def test_ring_size_that_is_no_power_of_two(targets: Targets, taps: Taps) -> None:
    target = targets.ready("pairs", 1, 2, 100, 1)
    tap = taps.ready("--pid", target.pid, "--mapsize", 100)
    target.go()
    said = target.finish()
    ended = tap.stop_clean()
    assert "rounded up to" in ended.err
    ended.streams.check_all(said, comm="pairs")


@pytest.mark.parametrize("size", ["99999999999", "0", "-1", "much", str((1 << 20) + 1)])
def test_absurd_ring_size(taps: Taps, size: str) -> None:
    check_refused(taps.run("tls", f"--mapsize={size}"), "--mapsize", code=2)


def test_unknown_key(taps: Taps, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("mapsiez = 4096\n")
    check_refused(taps.run("tls", "--config", path), "mapsiez", "mapsize", str(path), code=2)


def test_unknown_key_of_a_module(taps: Taps, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("[tls]\nlibsll = '/usr/lib/libssl.so.3'\n")
    check_refused(taps.run("tls", "--config", path), "libsll", "libssl", code=2)


def test_wrong_value_in_the_file(taps: Taps, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("mapsize = 'large'\n")
    check_refused(taps.run("tls", "--config", path), "mapsize", "'large'", code=2)


def test_unknown_flag(taps: Taps) -> None:
    check_refused(taps.run("tls", "--libsll", "x"), "--libsll", "--libssl", code=2)


def test_unknown_command(taps: Taps) -> None:
    check_refused(taps.run("tsl"), "tsl", "tls", code=2)


def test_cgroup_that_is_none(taps: Taps, tmp_path: Path) -> None:
    check_refused(taps.run("tls", "--cgroup_path", tmp_path), str(tmp_path), "cgroup v2", code=2)


def test_cgroup_that_does_not_exist(taps: Taps, tmp_path: Path) -> None:
    check_refused(taps.run("tls", "--cgroup_path", tmp_path / "no"), str(tmp_path / "no"), code=2)


def test_user_that_does_not_exist(taps: Taps) -> None:
    check_refused(taps.run("tls", "-u", "no-such-user"), "no-such-user", code=2)


def test_ready_descriptor_that_is_not_open(taps: Taps) -> None:
    check_refused(taps.run("tls", "--ready-fd", 99), "--ready-fd", "99", code=2)


def test_recording_that_cannot_be_written(taps: Taps) -> None:
    path = "/no/such/folder/recording"
    ended = taps.run("tls", "--record", path)
    ended.check_clean(code=1)
    assert f"cannot record to {path}: no such file or directory" in ended.err


def test_replay_of_something_else(taps: Taps, tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("this is no recording")
    check_refused(taps.run("replay", path), str(path), "no recording")


def test_replay_of_nothing(taps: Taps) -> None:
    ended = taps.run("replay", "/no/such/recording")
    ended.check_clean(code=1)
    assert "cannot read /no/such/recording: no such file or directory" in ended.err


def test_library_that_nobody_uses_is_no_mistake(taps: Taps, library_copy: Path) -> None:
    """Somebody may start to use it."""
    taps.ready("--libssl", library_copy).stop_clean()
