# SPDX-License-Identifier: Apache-2.0
"""`python -m plaintap.cli.docs [FOLDER]`: writes docs/configuration.md from the models."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from plaintap.config import MODELS
from plaintap.options import Model, Option, options

PAGE = "configuration.md"

_HEAD = """\
<!-- Written by `make docs` from src/plaintap/config.py; a test holds it current. -->
# Configuration

Every option can be set in three ways. The command line wins over the environment, the environment over the file.

* **Command line.** Flags common to all commands may stand before or after the command word: `plaintap -v tls` is
  `plaintap tls -v`. `plaintap COMMAND --help` lists what a command takes.
* **Environment.** `PLAINTAP_` and the key; an empty variable counts as not set. `PLAINTAP_STRICT=0` switches off what
  the file switched on. A variable that looks like a misspelt one of these is refused, others with that prefix are left
  alone.
* **File.** TOML; one file is read: the one named by `--config` or `PLAINTAP_CONFIG`, else
  `$XDG_CONFIG_HOME/plaintap/config.toml` (`~/.config/plaintap/config.toml` where that is not set), else
  `/etc/plaintap/config.toml`. An unknown key is an error. What a command has no use for is ignored, so that one file
  serves all. `--config /dev/null` reads none.

```toml
# Common options stand at the top, those of a module in its table.
verbose = 1
comm = "nginx"
body_limit = 4096

[tls]
libssl = "/opt/app/lib/libssl.so.3"
```

Lists are written `pid = [611, 612]` in the file, `611,612` elsewhere. Times are seconds, or text such as `"500ms"`,
`"10s"`, `"2m"`, `"1h"`.
"""


def _title(model: type[Model]) -> str:
    what = (model.__doc__ or "").strip().rstrip(".")
    return f"## Table `[{model.section}]`: {what}" if model.section else "## Common options"


def _cell(text: str) -> str:
    return text.replace("|", "\\|") or "-"


def _default(option: Option) -> str:
    if option.flag.default_text:
        return option.flag.default_text
    if option.switch:
        return "off"
    if option.many:
        return f"`{','.join(option.default)}`"
    return "" if option.default is None else f"`{option.default}`"


def _row(option: Option) -> str:
    flag = option.flag
    value = flag.metavar or "|".join(option.choices)
    names = ", ".join(f"`{name}`" for name in flag.names) + (f" `{value}`" if value else "")
    key = f"`{option.key}`" if flag.in_file else ""
    variable = f"`{option.variable}`" if flag.in_environment else ""
    return f"| {' | '.join(map(_cell, [key, names, variable, _default(option), flag.help]))} |"


def _page() -> Iterator[str]:
    yield _HEAD
    for model in MODELS:
        yield f"{_title(model)}\n"
        yield "| key | flags | environment | default | meaning |"
        yield "|---|---|---|---|---|"
        yield from map(_row, options(model))
        yield ""


def configuration_page() -> str:
    """The whole page."""
    return "\n".join(_page()).rstrip() + "\n"


def main(folder: str = "docs") -> int:
    """Writes the page into a folder that exists."""
    path = Path(folder) / PAGE
    path.write_text(configuration_page(), encoding="utf-8")
    print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
