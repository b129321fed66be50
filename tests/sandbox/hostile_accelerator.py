"""An accelerator whose engine is the attacker: it runs the Python code that it is fed.

It stands for a hole in an engine. Everything else is the accelerator's own: the order, the sandbox,
the server. The engine is put in its place before the program starts, as no client could do.
"""

from __future__ import annotations

import sys
import traceback
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

STRING = 7  # TensorFlow's number of the dtype


class HostileEngine:
    """Loads anything."""

    version = "hostile 1"

    def load(self, folder: Path, manifest: object, shared: object) -> HostileGraph:
        """Whatever it is."""
        return HostileGraph()


class HostileGraph:
    """Takes code as `text`, and gives what it made of `answer` as `loud`."""

    repeatable = False
    executed_by = "hostile 1"

    def __init__(self) -> None:
        from accel_daemon.engines.engine import TensorSpec

        self.feeds = {"text": TensorSpec("text", "text:0", STRING, None)}
        self.fetches = {"loud": TensorSpec("loud", "loud:0", STRING, None)}

    def run(self, feeds: Mapping[str, Any], timeout: float | None) -> dict[str, Any]:
        """Do as the attacker says."""
        import numpy as np

        scope: dict[str, Any] = {}
        try:
            exec(feeds["text"].item().decode(), scope)
            answer = repr(scope.get("answer"))
        except BaseException:
            answer = traceback.format_exc()
        return {"loud": np.array(answer.encode(), dtype=object)}

    def close(self) -> None:
        """Nothing is held."""


def main() -> None:
    """Start the accelerator's own program."""
    engine = types.ModuleType("accel_daemon.engines.tensorflow")
    engine.open_engine = lambda limits, allowed_ops: HostileEngine()  # type: ignore[attr-defined]
    sys.modules[engine.__name__] = engine
    from accel_daemon.accelerator.__main__ import main as run_accelerator

    sys.exit(run_accelerator())


if __name__ == "__main__":
    main()
