"""The accelerator's own program without an engine, for tests that never come as far as one.

All before it is real: the sandbox, the server, the gate, the store. It starts several times faster,
because it imports no TensorFlow.
"""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import NoReturn

from accel_protocol.errors import ModelError


class NoEngine:
    """Loads nothing."""

    version = "none 1"

    def weigh(self, folder: Path, manifest: object, shared: object = None) -> NoReturn:
        """Whatever it is."""
        raise ModelError("There is no engine.")

    load = weigh


def main() -> None:
    """Start the accelerator's own program."""
    engine = types.ModuleType("accel_daemon.engines.tensorflow")
    engine.open_engine = lambda limits, allowed_ops: NoEngine()  # type: ignore[attr-defined]
    sys.modules[engine.__name__] = engine
    from accel_daemon.accelerator.__main__ import main as run_accelerator

    sys.exit(run_accelerator())


if __name__ == "__main__":
    main()
