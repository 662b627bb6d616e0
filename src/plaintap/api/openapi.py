# SPDX-License-Identifier: Apache-2.0
"""The API's description for programs (OpenAPI 3.1), made from the options it takes."""

from __future__ import annotations

from functools import cache
from typing import Any

from plaintap import __version__
from plaintap.api.names import ROUTES, settable
from plaintap.config import MODULES

_ANSWER = {
    "type": "object",
    "required": ["code", "module_type", "msg", "data"],
    "properties": {
        "code": {
            "type": "integer",
            "description": "0 ok, 1 invalid request, 2 internal error, 3 not found, 4 not decodable, 5 refused, 6 busy",
        },
        "module_type": {"type": "string"},
        "msg": {"type": "string"},
        "data": {},
    },
}


def _answers(description: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Answer"}}}
    return {
        "200": {"description": description, "content": content},
        "default": {"description": "refused", "content": content},
    }


def _change(name: str) -> dict[str, Any]:
    fields = {
        option.key: {"description": option.flag.help, "default": option.default if option.default != () else None}
        for option in settable(name)
    }
    schema = {"type": "object", "additionalProperties": False, "properties": fields}
    return {
        "post": {
            "summary": f"{name} with this configuration, in force when the answer comes",
            "requestBody": {"content": {"application/json": {"schema": schema}}},
            "responses": _answers("in force"),
        }
    }


@cache
def openapi() -> dict[str, Any]:
    """The whole document."""
    plain = {"200": {"description": "ok"}}
    paths: dict[str, Any] = {
        "/": {"get": {"summary": "state, targets and counters of every module", "responses": plain}},
        "/metrics": {"get": {"summary": "counters as Prometheus reads them", "responses": plain}},
        "/events": {"get": {"summary": "messages as server-sent events, each a JSON line", "responses": plain}},
        "/openapi.json": {"get": {"summary": "this", "responses": plain}},
    }
    for route, name in ROUTES.items():
        if name in MODULES:
            paths[f"/{route}"] = _change(name)
            paths[f"/config/{route}"] = {"get": {"summary": "its options", "responses": _answers("its options")}}
            paths[f"/close/{route}"] = {"post": {"summary": "ends the module", "responses": _answers("closed")}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "plaintap", "version": __version__},
        "components": {
            "schemas": {"Answer": _ANSWER},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
        "paths": paths,
    }
