# SPDX-License-Identifier: Apache-2.0
"""What a client may call a module and its options: eCapture's names, or those of our configuration file.

Facts of eCapture 1.5.2 and 2.5.1: its routes and the JSON fields of its configurations. Under its names a pid or uid
of 0 means all, under ours absent or null does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from plaintap.api.answers import NOT_FOUND, REFUSED, RefusedError
from plaintap.config import MODULES, CommonConfig, ModuleConfig
from plaintap.config_show import STANDARD_OUTPUT
from plaintap.errors import UsageError
from plaintap.options import Layer, Model, ModelT, Option, Setting, load, nearest, options

ROUTES = {
    "tls": "tls",
    "openssl": "tls",
    "boringssl": "tls",
    "gotls": "gotls",
    "gnutls": "gnutls",
    "nss": "nss",
    "nspr": "nss",
    "bash": "bash",
    "zsh": "zsh",
    "mysqld": "mysqld",
    "postgres": "postgres",
    "postgress": "postgres",
}
"""By the last part of the path, the module."""

_BASE = {
    "is_hex": "hex",
    "per_cpu_map_size": "mapsize",
    "truncate_size": "body_limit",
    "logger_addr": "logaddr",
    "event_collector_addr": "eventaddr",
    "capturemode": "model",
    "capture_mode": "model",
    "keylog_file": "keylogfile",
    "pcap_file": "pcapfile",
    "pcap_filter": "pcapfilter",
}
_OF_MODULE = {
    "tls": {"opensslpath": "libssl", "sslversion": "ssl_version"},
    "gotls": {"elf_path": "elfpath"},
    "gnutls": {"gnutlspath": "gnutls"},
}
_SAID_FOR_NOTHING = frozenset({"btf_mode", "ecapture_q", "listen", "isboringssl"})
"""Of eCapture's, without a meaning here for one module; accepted when empty."""
_FILES = ("keylogfile", "keylog_file", "pcapfile", "pcap_file")
_ALL_WHEN_ZERO = ("pid", "uid")
_FIXED = frozenset(
    "listen token_file tls_cert tls_key listen_insecure config sample ready_fd record count duration strict".split()
)
"""Ours that a running process does not change."""


def module_of(route: str) -> str:
    """The module's name. Raises RefusedError for one that this build has not, or nobody has."""
    name = ROUTES.get(route)
    if name is None:
        near = nearest(route, ROUTES)
        raise RefusedError(NOT_FOUND, f"no module {route!r}{f', did you mean {near}?' if near else ''}")
    if name not in MODULES:
        raise RefusedError(NOT_FOUND, f"this build has no module {name!r}; it has {', '.join(MODULES)}")
    return name


def configure(name: str, common: CommonConfig, given: Mapping[str, Any]) -> tuple[CommonConfig, ModuleConfig]:
    """What a client sent: whom to capture as it says, everybody where it does not; the rest from the command line.

    Raises RefusedError naming the field.
    """
    model = MODULES[name]
    common = replace(common, pid=(), uid=None, comm=None, cgroup_path=None)
    layer = _layer(name, given)
    known = {option.key for option in settable(name)}
    for key, setting in layer.items():
        if key in _FIXED:
            raise RefusedError(REFUSED, f"{setting.label}: is of the whole process, set on its command line")
        if key not in known:
            near = nearest(setting.label, [*known, *_BASE, *_OF_MODULE.get(name, ())])
            hint = f"; did you mean {near}?" if near else ""
            raise RefusedError(REFUSED, f"unknown field {setting.label!r}{hint}")
    for setting in layer.values():
        _refuse_value(setting)
    changed = _changed(CommonConfig, common, layer)
    if any(item.strip().startswith("har") for item in changed.format.split(",")):
        raise RefusedError(REFUSED, "format: har is one document, which a module that comes and goes cannot write")
    if changed.wants_keylog and changed.wants_packets and changed.keylog_path == changed.packets_path:
        raise RefusedError(REFUSED, f"keylogfile and pcapfile are the same file, {changed.keylog_path}")
    return changed, _changed(model, model(), layer)


def settable(name: str) -> list[Option]:
    """The options of a module that a client may set, by our names."""
    return [*_options(CommonConfig), *_options(MODULES[name])]


def _options(model: type[Model]) -> list[Option]:
    return [option for option in options(model) if option.key not in _FIXED]


def _layer(name: str, given: Mapping[str, Any]) -> Layer:
    foreign = {**_BASE, **_OF_MODULE.get(name, {})}
    # Under our names no pid is 0: who sends that means all, and the user with it.
    is_foreign = _is_zero(given.get("pid")) or any(key in foreign or key in _SAID_FOR_NOTHING for key in given)
    layer: dict[str, Setting] = {}
    for key, value in given.items():
        if key in _SAID_FOR_NOTHING:
            _refuse_meaning(key, value)
            continue
        if value is None or (key in _ALL_WHEN_ZERO and _is_zero(value) and is_foreign):
            continue
        if value == "" and (is_foreign or key in foreign):
            continue
        layer[foreign.get(key, key)] = Setting(value, key)
    return layer


def _is_zero(value: object) -> bool:
    return type(value) is int and value == 0


def _refuse_value(setting: Setting) -> None:
    """What no option may be when it comes from elsewhere than the command line."""
    values = setting.value if isinstance(setting.value, list) else [setting.value]
    if any(isinstance(value, str) and "\0" in value for value in values):
        raise RefusedError(REFUSED, f"{setting.label}: a NUL byte is in no name")
    if values == [STANDARD_OUTPUT] and setting.label in _FILES:
        raise RefusedError(REFUSED, f"{setting.label}: standard output is the process's, name a file")


def _refuse_meaning(key: str, value: object) -> None:
    if value not in (None, "", 0, False) and key not in ("isboringssl", "btf_mode", "listen"):
        raise RefusedError(REFUSED, f"{key}: is of the whole process, set on its command line")


def _changed(model: type[ModelT], before: ModelT, layer: Layer) -> ModelT:
    """`before`, with what the layer says instead."""
    own = {option.key: option.field for option in options(model) if option.key not in _FIXED}
    said = {key: setting for key, setting in layer.items() if key in own}
    try:
        loaded = load(model, said)
    except UsageError as error:
        raise RefusedError(REFUSED, error.message) from error
    fields = {own[key] for key in said}
    return model(**{name: getattr(loaded if name in fields else before, name) for name in model.__struct_fields__})
