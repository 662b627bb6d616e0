# SPDX-License-Identifier: Apache-2.0
"""Runs the tests of a `websockets` sdist with its own code and says what went through its frame parser.

`websockets_cases.py FOLDER`: prints JSON, the number of tests that ran and one entry for each frame that was parsed:
the bytes, whether they had to be masked, and the frame or the name of the exception. What the sdist leaves out of its
tests (the modules of helpers) stands here, as little as they need.
"""

from __future__ import annotations

import json
import sys
import types
import unittest
from pathlib import Path
from typing import Any

CASES: list[dict[str, Any]] = []
MODULES = ("test_frames", "test_protocol")


class GeneratorTestCase(unittest.TestCase):
    """What `tests.utils` of the sdist would have: runs a generator that is expected never to wait."""

    def assertGeneratorRunning(self, generator: Any) -> None:  # noqa: N802 - the sdist's name
        next(generator)

    def assertGeneratorReturns(self, generator: Any) -> Any:  # noqa: N802 - the sdist's name
        try:
            next(generator)
        except StopIteration as done:
            return done.value
        raise AssertionError("the generator waits")


def record(frames: Any) -> None:
    """Puts itself around `Frame.parse`."""
    parse = frames.Frame.parse.__func__

    def recording(cls: Any, read_exact: Any, *, mask: bool, max_size: int | None = None, extensions: Any = None) -> Any:
        seen = bytearray()

        def reading(size: int) -> Any:
            data = yield from read_exact(size)
            seen.extend(data)
            return data

        names = [getattr(extension, "name", "unnamed") for extension in extensions or ()]
        case: dict[str, Any] = {"mask": mask, "extensions": names}
        try:
            frame = yield from parse(cls, reading, mask=mask, max_size=max_size, extensions=extensions)
            case |= {"opcode": int(frame.opcode), "data": bytes(frame.data).hex(), "fin": frame.fin}
        except Exception as error:
            case["error"] = type(error).__name__
            raise
        finally:
            if seen:
                CASES.append(case | {"bytes": bytes(seen).hex()})
        return frame

    frames.Frame.parse = classmethod(recording)


def helpers(dataclasses_replace: Any, extension: Any) -> dict[str, types.ModuleType]:
    utils = types.ModuleType("tests.utils")
    utils.GeneratorTestCase = GeneratorTestCase  # type: ignore[attr-defined]
    extensions = types.ModuleType("tests.extensions")
    extension_utils = types.ModuleType("tests.extensions.utils")

    class Rsv2Extension(extension):  # type: ignore[misc]
        name = "x-rsv2"

        def decode(self, frame: Any, *, max_size: int | None = None) -> Any:
            assert frame.rsv2
            return dataclasses_replace(frame, rsv2=False)

        def encode(self, frame: Any) -> Any:
            assert not frame.rsv2
            return dataclasses_replace(frame, rsv2=True)

    extension_utils.Rsv2Extension = Rsv2Extension  # type: ignore[attr-defined]
    return {"tests.utils": utils, "tests.extensions": extensions, "tests.extensions.utils": extension_utils}


def main() -> None:
    folder = Path(sys.argv[1])
    sys.path[:0] = [str(folder), str(folder / "src")]
    # The sdist's own code, found only now.
    import dataclasses  # noqa: PLC0415
    import importlib  # noqa: PLC0415

    frames = importlib.import_module("websockets.frames")
    assert Path(str(frames.__file__)).is_relative_to(folder), frames.__file__
    record(frames)
    sys.modules.update(helpers(dataclasses.replace, importlib.import_module("websockets.extensions").Extension))
    suite = unittest.TestSuite(
        unittest.defaultTestLoader.loadTestsFromModule(importlib.import_module(f"tests.{name}")) for name in MODULES
    )
    result = unittest.TextTestRunner(stream=sys.stderr, verbosity=0).run(suite)
    failed = [str(test) for test, _ in [*result.failures, *result.errors]]
    print(json.dumps({"ran": result.testsRun, "failed": failed, "cases": CASES}))


if __name__ == "__main__":
    main()
