# SPDX-License-Identifier: Apache-2.0
"""A running capture changed over HTTP: what is asked holds when the answer comes, and other modules lose nothing."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from harness.golang import Build
from harness.goweb import Web, shown, told
from harness.nginx import start_nginx
from harness.require import require_command
from harness.shown import Shown
from harness.steering import Api
from harness.tap import PLAINTAP, Tap, Taps, environment
from harness.target import Targets

pytestmark = pytest.mark.timeout(600)
LISTEN = ("--listen", "localhost:0")
CHANGES = {"some": 10, "many": 50}
SILENT = 1000
LARGE_BYTES = 100_000_000
STATE_MS = 50
NGINX = """
    server {{
        listen {host}:{port} ssl;
        return 200 "hello";
    }}
"""


def ctl(tap: Tap, *words: str) -> subprocess.CompletedProcess[str]:
    command = [str(PLAINTAP), "ctl", "--pid", str(tap.pid), *words]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, env=environment())


def resources(tap: Tap) -> tuple[int, int]:
    """Threads and descriptors."""
    process = Path(f"/proc/{tap.pid}")
    return len(list((process / "task").iterdir())), len(list((process / "fd").iterdir()))


@contextmanager
def repeated(targets: Targets, url: str) -> Iterator[None]:
    """curl after curl meanwhile."""
    words = [require_command("curl"), "-sS", "--cacert", str(targets.certificate), "-o", os.devnull, url]
    ending = threading.Event()

    def work() -> None:
        while not ending.is_set():
            subprocess.run(words, check=True, timeout=60)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()


def fetch(targets: Targets, url: str) -> int:
    """The pid of the curl that did."""
    curl = targets.start([require_command("curl"), "-sS", "--cacert", str(targets.certificate), url])
    assert curl.wait() == 0, curl.errors
    assert curl.output == b"hello"
    return curl.pid


@pytest.mark.parametrize("changes", ["some", pytest.param("many", marks=pytest.mark.matrix)])
def test_others_go_on(targets: Targets, taps: Taps, tmp_path: Path, changes: str) -> None:
    """tls is changed again and again under load, and Go's exchanges are all there; nothing is left behind."""
    _, port = start_nginx(targets, tmp_path, NGINX)
    url = f"https://127.0.0.1:{port}/"
    web = Web(targets, tmp_path, Build("1.24"))
    tap = taps.ready(*LISTEN, "--format", "json", "-t", 0, "--mapsize", 32768, command=("all",))
    api = Api(tap)
    asking = threading.Event()

    def ask() -> None:
        while not asking.is_set():
            web.ask("get 50 4 /size/100")

    thread = threading.Thread(target=ask)
    with repeated(targets, url):
        thread.start()
        for number in range(3):
            api.change("tls", pid=[1 + number])
        before = resources(tap)
        for number in range(CHANGES[changes]):
            api.change("tls", pid=[os.getpid() if number % 2 else 1])
        asking.set()
        thread.join()
    api.change("tls", pid=[1])
    threads, descriptors = resources(tap)
    assert threads <= before[0]
    assert descriptors <= before[1] + 3  # of requests and loadings in progress
    exchanges = web.finish()
    ended = tap.stop()
    ended.check_clean()
    lines = Shown.of(ended.out).of_processes({web.client.pid, web.server.pid})
    assert not lines.type("lost")
    assert len(exchanges) > CHANGES[changes]
    assert shown(lines) == told(exchanges)


def test_in_force_when_it_answers(targets: Targets, taps: Taps, tmp_path: Path) -> None:
    _, port = start_nginx(targets, tmp_path, NGINX)
    url = f"https://127.0.0.1:{port}/"
    tap = taps.ready(*LISTEN, "--comm", "nobody-of-that", "--format", "json")
    api = Api(tap)
    fetch(targets, url)
    api.change("tls", comm="curl")
    first = fetch(targets, url)
    api.change("openssl", pid=1)
    fetch(targets, url)
    api.change("tls", comm="curl")
    assert api.ask("POST", "/close/boringssl").said["msg"] == "closed"
    fetch(targets, url)
    api.change("tls", comm="curl")
    second = fetch(targets, url)
    ended = tap.stop()
    ended.check_clean()
    assert [line["process"]["pid"] for line in Shown.of(ended.out).type("exchange")] == [first, second]


def test_what_fails_leaves_what_was(targets: Targets, taps: Taps, tmp_path: Path) -> None:
    _, port = start_nginx(targets, tmp_path, NGINX)
    url = f"https://127.0.0.1:{port}/"
    tap = taps.ready(*LISTEN, "--comm", "curl", "--format", "json")
    api = Api(tap)
    for body, code, words in (
        ({"pid": 4194303}, 5, "no such process"),
        ({"libssl": "/nonexistent"}, 5, "cannot open /nonexistent"),
        ({"cgroup_path": "/nonexistent"}, 5, "/nonexistent"),
        ({"nonsense": 1}, 5, "unknown field"),
    ):
        answer = api.ask("POST", "/tls", body)
        assert answer.status == (400 if code == 5 else 500), answer
        assert words in answer.said["msg"]
    pid = fetch(targets, url)
    said = ctl(tap, "status")
    assert "tls: run" in said.stdout, said
    ended = tap.stop()
    ended.check_clean()
    assert [line["process"]["pid"] for line in Shown.of(ended.out).type("exchange")] == [pid]


def test_ctl(targets: Targets, taps: Taps, tmp_path: Path) -> None:
    _, port = start_nginx(targets, tmp_path, NGINX)
    tap = taps.ready(*LISTEN, "--comm", "curl", "--format", "json")
    events = subprocess.Popen([str(PLAINTAP), "ctl", "--pid", str(tap.pid), "events"], stdout=subprocess.PIPE)
    assert ctl(tap, "set", "tls", "comm=curl").stdout == "tls: in force\n"
    assert ctl(tap, "set", "tls", "cmm=curl").returncode == 1
    assert "did you mean comm?" in ctl(tap, "set", "tls", "cmm=curl").stderr
    assert ctl(tap, "set", "tls", "comm").returncode == 2
    assert ctl(tap, "nonsense").returncode == 2
    assert 'comm = "curl"\n' in ctl(tap, "config", "tls").stdout
    pid = fetch(targets, f"https://127.0.0.1:{port}/")
    assert events.stdout
    line = events.stdout.readline()
    assert f'"pid":{pid}'.encode() in line.replace(b" ", b"")
    assert ctl(tap, "stop", "tls").stdout == "tls: closed\n"
    assert "tls: close\n" in ctl(tap).stdout
    tap.stop().check_clean()
    assert b'"type":"exchange"' not in events.stdout.read()
    assert events.wait(30) == 0
    events.stdout.close()
    assert "no plaintap with --listen has pid" in ctl(tap, "status").stderr


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n"], ids=["nothing", "half a head"])
@pytest.mark.parametrize("tls", [False, True], ids=["clear", "TLS"])
def test_silent_connections_keep_nobody_out(targets: Targets, taps: Taps, tls: bool, said: bytes) -> None:
    keys = ("--tls-cert", targets.certificate, "--tls-key", targets.key) if tls else ()
    tap = taps.ready(*LISTEN, *keys, "--comm", "curl")
    api = Api(tap, certificate=Path(targets.certificate) if tls else None)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 2 * SILENT), hard))
    silent: list[socket.socket] = []
    try:
        for number in range(SILENT):
            silent.append(socket.create_connection(("localhost", api.port)))
            with suppress(ConnectionError):  # of those that had to go already
                silent[-1].send(said)
            if not number % 100:
                assert api.ask("GET", "/").status == 200
        assert api.ask("GET", "/").status == 200
        assert resources(tap)[1] < SILENT / 4
        assert "tls: run" in ctl(tap).stdout
    finally:
        for each in silent:
            each.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    tap.stop().check_clean()


@pytest.mark.parametrize("chunked", [False, True], ids=["with its length", "chunked"])
@pytest.mark.parametrize("stranger", [False, True], ids=["with the token", "without"])
def test_a_large_body_is_not_taken(taps: Taps, chunked: bool, stranger: bool) -> None:
    tap = taps.ready(*LISTEN, "--comm", "curl")
    api = Api(tap)
    before_kb = resident_kb(tap)
    words = [require_command("curl"), "-sS", "-m", "60", "-o", os.devnull, "-w", "%{http_code} %{size_upload}"]
    words += ["-X", "POST", "-T", "-", *(() if stranger else ("-H", f"Authorization: {api.headers['Authorization']}"))]
    if not chunked:
        words += ["-H", f"Content-Length: {LARGE_BYTES}", "-H", "Transfer-Encoding:"]
    large = ["head", "-c", str(LARGE_BYTES), "/dev/zero"]
    with subprocess.Popen(large, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as body:
        curl = subprocess.run(
            [*words, f"http://localhost:{api.port}/tls"],
            stdin=body.stdout,
            check=False,
            capture_output=True,
            text=True,
        )
        body.kill()
    status, taken_bytes = curl.stdout.split()
    assert status == ("401" if stranger else "413"), curl
    assert int(taken_bytes) < LARGE_BYTES / 4
    assert resident_kb(tap) < before_kb + 20_000
    assert api.ask("GET", "/").status == 200
    tap.stop().check_clean()


def resident_kb(tap: Tap) -> int:
    status = Path(f"/proc/{tap.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


@pytest.mark.matrix
def test_the_state_is_told_at_once_while_much_is_captured(targets: Targets, taps: Taps, tmp_path: Path) -> None:
    _, port = start_nginx(targets, tmp_path, NGINX)
    tap = taps.ready(*LISTEN, "--comm", "nginx", "--format", "json", "--mapsize", 32768, command=("all",))
    api = Api(tap)
    load = targets.start([require_command("wrk"), "-t1", "-c8", "-d6s", f"https://127.0.0.1:{port}/"])
    took_ms = []
    while load.process.poll() is None:
        began = time.monotonic()
        assert api.ask("GET", "/").status == 200
        took_ms.append((time.monotonic() - began) * 1000)
        threading.Event().wait(0.05)
    assert load.wait() == 0
    took_ms.sort()
    exchanges = sum(module["exchanges"] for module in api.ask("GET", "/").said["modules"])
    median_ms, most_ms = took_ms[len(took_ms) // 2], took_ms[len(took_ms) * 9 // 10]
    print(f"{len(took_ms)} times: median {median_ms:.1f} ms, nine of ten {most_ms:.1f} ms; {exchanges} exchanges")
    assert exchanges > 1000
    assert len(took_ms) > 20
    assert most_ms < STATE_MS
    tap.stop()


def test_a_port_in_use_names_who_has_it(taps: Taps) -> None:
    with socket.create_server(("localhost", 0)) as server:
        port = server.getsockname()[1]
        ended = taps.run("tls", "--listen", f"localhost:{port}")
        assert ended.code == 1
        assert f"[{os.getpid()}] has it" in ended.err


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--listen", "192.0.2.1:28256"), "wants TLS"),
        (("--listen", "0.0.0.0:28256"), "wants TLS"),
        (("--listen", "localhost"), "expected HOST:PORT"),
        (("--listen", "on", "--record", "x"), "--record does not go with --listen"),
        (("--listen", "on", "--tls-cert", "x"), "--tls-cert and --tls-key go together"),
        (("--listen", "on", "--token-file", "/nonexistent"), "cannot read /nonexistent"),
        (("--token-file", "/nonexistent"), "are of --listen"),
    ],
)
def test_refused_at_the_start(taps: Taps, words: tuple[str, ...], what: str) -> None:
    ended = taps.run("tls", *words)
    assert ended.code == 2, ended.err
    assert what in ended.err


def test_over_tls_with_a_token_of_ones_own(targets: Targets, taps: Taps, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.touch(0o600)
    token.write_text("0123456789abcdef01\n")
    keys = ("--tls-cert", targets.certificate, "--tls-key", targets.key)
    tap = taps.ready("--listen", "0.0.0.0:0", "--token-file", token, *keys, "--comm", "curl")
    tap.wait_for_err("configuration API at https://0.0.0.0:")
    port = tap.err.partition("https://0.0.0.0:")[2].split(";")[0]
    words = ["ctl", "--url", f"https://localhost:{port}", "--token-file", str(token), "--ca", str(targets.certificate)]
    said = subprocess.run([str(PLAINTAP), *words], capture_output=True, text=True, check=False, env=environment())
    assert "tls: run" in said.stdout, said
    assert "0123456789abcdef01" not in tap.err
    tap.stop().check_clean()


@pytest.mark.matrix
def test_the_unit_file_is_one(tmp_path: Path) -> None:
    """With the path of a program that is there."""
    unit = Path(__file__).parents[2] / "packaging" / "systemd" / "plaintap.service"
    copy = tmp_path / "plaintap.service"
    copy.write_text(unit.read_text().replace("/usr/bin/plaintap", "/bin/true"))
    words = [require_command("systemd-analyze"), "verify", "--man=no", str(copy)]
    said = subprocess.run(words, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said
    assert str(copy.name) not in said.stderr, said.stderr


def test_a_module_that_cannot_start_leaves_the_others(targets: Targets, taps: Taps, tmp_path: Path) -> None:
    _, port = start_nginx(targets, tmp_path, NGINX)
    config = tmp_path / "config.toml"
    config.write_text('[gotls]\nelfpath = "/nonexistent"\n')
    words = (*LISTEN, "--config", config, "--comm", "curl", "--format", "json")
    tap = taps.ready(*words, command=("all",))
    assert "gotls: cannot open /nonexistent" in tap.err
    assert "the other modules go on" in tap.err
    said = Api(tap).ask("GET", "/").said["modules"]
    states = {module["module"]: module["state"] for module in said}
    assert states == {"tls": "run", "gotls": "failed", "gnutls": "run"}
    pid = fetch(targets, f"https://127.0.0.1:{port}/")
    ended = tap.stop()
    ended.check_clean()
    assert [line["process"]["pid"] for line in Shown.of(ended.out).type("exchange")] == [pid]
    alone = taps.run("gotls", *words)
    assert alone.code == 1
    assert "cannot open /nonexistent" in alone.err
    assert "token" not in alone.err


def test_changes_at_once_are_made_one_after_the_other(taps: Taps) -> None:
    tap = taps.ready(*LISTEN, "-d", "--comm", "curl", command=("all",))
    api = Api(tap)
    for number in range(2):
        api.change("tls", comm=f"before{number}")
    before = resources(tap)
    answers = []

    def ask(number: int) -> None:
        answers.append((f"at-once-{number}", api.ask("POST", "/tls", {"comm": f"at-once-{number}"})))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {(answer.status, answer.said["code"]) for _, answer in answers} <= {(200, 0), (503, 6)}
    made = [name for name, answer in answers if answer.status == 200]
    assert len(made) >= 2
    assert tap.err.count("debug: tls: closed after ") == len(made) + 2
    assert api.ask("GET", "/config/tls").said["data"]["comm"] in made
    threads_now, descriptors = resources(tap)
    assert threads_now <= before[0] + 1  # of requests
    assert descriptors <= before[1] + 3
    tap.stop().check_clean()
