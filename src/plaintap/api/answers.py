# SPDX-License-Identifier: Apache-2.0
"""The one form of an answer, its codes and the HTTP status of each, as eCapture's API has them."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse

OK, INVALID, INTERNAL, NOT_FOUND, UNDECODABLE, REFUSED, BUSY = range(7)
STATUS = {OK: 200, INVALID: 400, INTERNAL: 500, NOT_FOUND: 400, UNDECODABLE: 400, REFUSED: 400, BUSY: 503}


REASON_MAX = 1000
"""Characters of a reason, which may quote what was sent."""


class RefusedError(Exception):
    """A request that gets no more than a code and a reason."""

    def __init__(self, code: int, reason: str, *, status: int | None = None) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.status = STATUS[code] if status is None else status


def answer(code: int, module: str, message: str, data: Any = None, *, status: int | None = None) -> JSONResponse:  # noqa: ANN401 - any JSON
    """`{"code": …, "module_type": …, "msg": …, "data": …}`."""
    body = {"code": code, "module_type": module, "msg": message, "data": data}
    return JSONResponse(body, status_code=STATUS[code] if status is None else status)


def refusal(error: RefusedError, module: str = "") -> JSONResponse:
    """A request that was refused."""
    return answer(error.code, module[:REASON_MAX], error.reason[:REASON_MAX], status=error.status)
