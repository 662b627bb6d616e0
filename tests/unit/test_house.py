# SPDX-License-Identifier: Apache-2.0
"""Holds the house rules that a tool can see: sizes, licence lines, docstrings, public names, mirrors.

Import arrows have a file of their own, test_imports.py; what ruff and mypy can hold is theirs.
"""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

import plaintap

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "plaintap"
MODULES = sorted(PACKAGE.rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
C_SOURCES = sorted(
    path for folder in ("bpf", "native", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.[ch]")
)
LICENSED = {
    *MODULES,
    *TESTS,
    *C_SOURCES,
    *PACKAGE.rglob("*.pyi"),
    *(path for folder in ("tools", "benchmarks", ".ci") for path in (ROOT / folder).rglob("*") if path.is_file()),
    *(path for folder in (".", "bpf", "native") for path in (ROOT / folder).glob("meson.build")),
    ROOT / "Makefile",
    ROOT / "pyproject.toml",
}
TEXT_SUFFIXES = {".py", ".pyi", ".c", ".h", ".sh", ".toml", ".build", ""}

MODULE_MAX_LINES = 600
FUNCTION_MAX_LINES = 60


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_modules_are_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MODULE_MAX_LINES


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_functions_are_short(path: Path) -> None:
    functions = [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    too_long = [
        f"{name_of(path)}:{node.lineno}: {node.name} has {node.end_lineno - node.lineno + 1} lines"
        for node in functions
        if node.end_lineno is not None and node.end_lineno - node.lineno >= FUNCTION_MAX_LINES
    ]
    assert too_long == []


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_modules_say_what_they_own(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_files_name_their_licence() -> None:
    without = []
    for path in sorted(LICENSED):
        if path.suffix not in TEXT_SUFFIXES or "__pycache__" in path.parts or "results" in path.parts:
            continue
        head = path.read_text().splitlines()[:2]
        expected = "(GPL-2.0-only OR BSD-2-Clause)" if path.is_relative_to(ROOT / "bpf") else "Apache-2.0"
        if path.name == "meson.build":
            expected = "Apache-2.0"
        if not any(f"SPDX-License-Identifier: {expected}" in line for line in head):
            without.append(name_of(path))
    assert without == []


def test_modules_have_a_subject_in_their_names() -> None:
    vague = {"utils.py", "util.py", "helpers.py", "common.py", "misc.py"}
    assert [name_of(path) for path in MODULES if path.name in vague] == []


def test_public_names_are_listed_and_exist() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    bound: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module != "__future__":
            bound |= {name.asname or name.name for name in node.names}
        elif isinstance(node, ast.Assign):
            bound |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            bound.add(node.name)
    public = {name for name in bound if not name.startswith("_")} | {"__version__"}
    assert sorted(plaintap.__all__) == sorted(public)
    assert [name for name in plaintap.__all__ if not hasattr(plaintap, name)] == []


def test_one_version() -> None:
    (version,) = re.findall(r"^  version: '(.*)',$", (ROOT / "meson.build").read_text(), re.MULTILINE)
    assert version == plaintap.__version__


def test_unit_tests_mirror_the_sources() -> None:
    """tests/unit/streams/test_worker.py tests something in src/plaintap/streams/."""
    unit = ROOT / "tests" / "unit"
    folders = {path.parent.relative_to(unit) for path in unit.rglob("test_*.py")}
    assert [str(folder) for folder in sorted(folders) if not (PACKAGE / folder).is_dir()] == []


def test_locks_are_exact_hashed_and_name_no_host() -> None:
    for lock in (ROOT / "requirements").glob("*.lock"):
        text = lock.read_text()
        assert "://" not in text, lock.name
        entries = re.split(r"\n(?=[a-z])", text.split("make lock\n", 1)[1])
        assert all(re.match(r"[a-z0-9-]+==\S+ .*\\\n +--hash=sha256:", entry) for entry in entries), lock.name


def test_locks_agree_and_hold_every_dependency() -> None:
    def pins(level: str) -> dict[str, str]:
        text = (ROOT / "requirements" / f"{level}.lock").read_text()
        return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE))

    run, dev = pins("run"), pins("dev")
    assert run.items() <= dev.items()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = project["project"]["dependencies"] + project["dependency-groups"]["build"]
    assert {re.split(r"[<>=!~]", line)[0] for line in wanted} <= run.keys()
    assert {re.split(r"[<>=!~]", line)[0] for line in project["dependency-groups"]["dev"]} <= dev.keys()


@pytest.mark.parametrize("path", [path for path in C_SOURCES if path.is_relative_to(ROOT / "bpf")], ids=name_of)
def test_kernel_drift_stays_in_one_header(path: Path) -> None:
    if path.name != "compat.h":
        assert "LINUX_KERNEL_VERSION" not in path.read_text()


def test_bpf_objects_tell_the_kernel_their_licence() -> None:
    for path in (ROOT / "bpf").glob("*.bpf.c"):
        assert '"Dual BSD/GPL"' in path.read_text(), path.name


def test_makefile_verbs_are_described() -> None:
    text = (ROOT / "Makefile").read_text()
    (phony,) = re.findall(r"^\.PHONY: (help .*)$", text, re.MULTILINE)
    assert re.findall(r"^([a-z-]+):.* ## \S", text, re.MULTILINE) == phony.split()


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/architecture.md"])
def test_pages_name_files_that_exist(page: str) -> None:
    """`src/plaintap/events.py` in a page is a promise; `<family>` and globs are not looked up."""
    text = (ROOT / page).read_text()
    named = re.findall(r"(?:src/plaintap|bpf|native|tests|tools|docs|benchmarks|requirements)/[\w./*<>-]*", text)
    made = ("docs/matrix.md", "benchmarks/results")
    plain = {name.rstrip(".") for name in named if not re.search("[<*]", name) and not name.startswith(made)}
    assert sorted(name for name in plain if not (ROOT / name).exists()) == []
