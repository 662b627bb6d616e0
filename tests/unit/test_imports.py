# SPDX-License-Identifier: Apache-2.0
"""Holds the import arrows: which part of plaintap may import which, imports inside functions included.

The arrows themselves are `ALLOWED`; the rest of the file reads them off the sources and tests
itself on small wrong trees. It looks at source text only and imports nothing of plaintap.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Path(__file__).parents[2] / "src"

VOCABULARY = {
    "errors",
    "events",
    "messages",
    "parsing",
    "config",
    "config_control",
    "config_output",
    "config_packets",
    "config_show",
    "options",
    "trusted",
    "values",
}
STAGES = {"runtime", "targets", "modules", "keys", "streams", "protocols", "outputs"}
# The native edge: runtime drives it; its decoder turns a recording's bytes into records.
NATIVE = "_native"
ROOT = ""
"""`plaintap` itself: the version and the public names."""

ALLOWED: dict[str, set[str]] = {
    **{part: VOCABULARY | {ROOT} for part in VOCABULARY},
    NATIVE: {"events"},
    **{stage: VOCABULARY | {stage, ROOT} for stage in STAGES},
    "session": VOCABULARY | STAGES | {NATIVE, ROOT},
    "api": VOCABULARY | STAGES | {"session", "api", ROOT},
    "cli": VOCABULARY | STAGES | {"session", "api", "cli", NATIVE, ROOT},
    "__main__": {"cli"},
    ROOT: VOCABULARY | {"session", "messages"},
}
ALLOWED["runtime"] |= {NATIVE}
ALLOWED["streams"] |= {NATIVE}
# Modules say what to hook, so they know the kernel side and the targets; nothing else.
ALLOWED["modules"] |= {"runtime", "targets"}


def part_of(module: str) -> str | None:
    """The part a dotted name belongs to: `plaintap.streams.worker` is of `streams`; None when not ours."""
    names = module.split(".")
    if names[0] != "plaintap":
        return None
    return names[1] if len(names) > 1 else ROOT


def module_name(path: Path, source: Path) -> str:
    names = list(path.relative_to(source).with_suffix("").parts)
    return ".".join(names[:-1] if names[-1] == "__init__" else names)


def imported_modules(path: Path, source: Path) -> Iterator[tuple[int, str]]:
    """Line and absolute dotted name of everything the file imports, at any depth."""
    package = list(path.relative_to(source).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            start = ".".join([*base, *([node.module] if node.module else [])])
            if part_of(start) == ROOT:
                # `from plaintap import streams` may name a part; a name that is none is the root's own.
                for name in node.names:
                    is_part = name.name in ALLOWED
                    yield node.lineno, f"{start}.{name.name}" if is_part else start
            else:
                yield node.lineno, start
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {"importlib.import_module", "import_module"}:
            yield from ((node.lineno, value) for value in _literal_names(node, package))


def _literal_names(call: ast.Call, package: list[str]) -> Iterator[str]:
    """The module in `import_module("…")`; a name made at run time cannot be followed."""
    first = call.args[0] if call.args else None
    if isinstance(first, ast.Constant) and isinstance(first.value, str):
        name = first.value
        level = len(name) - len(name.lstrip("."))
        yield ".".join([*package[: len(package) - level + 1], name.lstrip(".")]) if level else name


def wrong_arrows(source: Path) -> list[str]:
    """Every import that `ALLOWED` does not allow, as `file:line: from -> to`."""
    found = []
    for path in sorted((source / "plaintap").rglob("*.py*")):
        if path.suffix not in {".py", ".pyi"}:
            continue
        part = part_of(module_name(path, source))
        for line, name in imported_modules(path, source):
            target = part_of(name)
            if part is None or target is None or target == part:
                continue
            if part not in ALLOWED:
                found.append(f"{path.relative_to(source.parent)}:{line}: {part} is in no layer, add it to ALLOWED")
            elif target not in ALLOWED[part]:
                found.append(f"{path.relative_to(source.parent)}:{line}: {part or 'plaintap'} -> {target}")
    return found


def test_imports_follow_the_arrows() -> None:
    assert wrong_arrows(SOURCE) == []


@pytest.mark.parametrize(
    ("path", "text", "arrow"),
    [
        ("streams/worker.py", "import plaintap.protocols.http1\n", "1: streams -> protocols"),
        ("streams/worker.py", "from plaintap.outputs import text\n", "1: streams -> outputs"),
        ("keys/collector.py", "from plaintap.outputs import keylog\n", "1: keys -> outputs"),
        ("outputs/keylog.py", "from plaintap.keys import labels\n", "1: outputs -> keys"),
        ("streams/worker.py", "from plaintap import session\n", "1: streams -> session"),
        ("streams/worker.py", "from ..outputs import text\n", "1: streams -> outputs"),
        ("streams/worker.py", "from .. import outputs\n", "1: streams -> outputs"),
        ("outputs/sinks/tcp.py", "from ...runtime import loader\n", "1: outputs -> runtime"),
        ("targets/elf.py", "def late():\n    from plaintap.runtime import kernel\n", "2: targets -> runtime"),
        ("runtime/loader.py", "if TYPE_CHECKING:\n    from plaintap.targets import elf\n", "2: runtime -> targets"),
        ("protocols/http1.py", "import_module('plaintap.streams')\n", "1: protocols -> streams"),
        ("protocols/http1.py", "import_module('..streams')\n", "1: protocols -> streams"),
        ("modules/openssl.py", "from plaintap.streams import worker\n", "1: modules -> streams"),
        ("events.py", "from plaintap.streams import worker\n", "1: events -> streams"),
        ("session.py", "from plaintap.cli import main\n", "1: session -> cli"),
        ("api/http.py", "from plaintap.cli import main\n", "1: api -> cli"),
        ("outputs/text.py", "from plaintap._native import Ring\n", "1: outputs -> _native"),
        ("oddments.py", "from plaintap.errors import PlaintapError\n", "1: oddments is in no layer"),
    ],
)
def test_a_wrong_arrow_is_named_with_its_line(tmp_path: Path, path: str, text: str, arrow: str) -> None:
    file = tmp_path / "src" / "plaintap" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    (found,) = wrong_arrows(tmp_path / "src")
    assert found.startswith(f"src/plaintap/{path}:{arrow}")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("streams/worker.py", "from plaintap.events import READ\nfrom . import order\nimport os\n"),
        ("modules/openssl.py", "from plaintap.runtime import loader\nfrom plaintap.targets import elf\n"),
        ("session.py", "from plaintap import streams, outputs\nfrom plaintap.modules import registry\n"),
        ("cli/main.py", "from plaintap.session import Session\nfrom plaintap import __version__\n"),
        ("runtime/rings.py", "from plaintap._native import Ring\n"),
    ],
)
def test_a_right_arrow_passes(tmp_path: Path, path: str, text: str) -> None:
    file = tmp_path / "src" / "plaintap" / path
    file.parent.mkdir(parents=True)
    file.write_text(text)
    assert wrong_arrows(tmp_path / "src") == []
