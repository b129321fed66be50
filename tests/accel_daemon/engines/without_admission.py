"""Runs hostile models with admission switched off, in a process of its own: never import this.

Usage: python -m tests.accel_daemon.engines.without_admission READ WRITE ADDRESS NAME…

Prints one line of JSON for each: its name, and the answer's text or the error's. A test puts the
process into the sandbox that it wants to try, or has `attempting` called in one that is in there
already. Nothing but tests can switch admission off.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from unittest import mock


def attempting() -> Callable[[str, str, str, str, float], str]:
    """A function of a model's name, what to read, write and connect to, and seconds to run.

    It gives the answer's text, or the error's.
    """
    from accel_daemon.engines import tensorflow_import
    from accel_daemon.engines.engine import open_engine
    from accel_daemon.engines.tensorflow_admission import Policy
    from tests.accel_daemon.engines.hostile_graphs import CORPUS
    from tests.accel_daemon.engines.hostile_ops import Target

    engine = open_engine("tensorflow")

    def attempt(name: str, read: str, write: str, address: str, seconds: float) -> str:
        nothing = mock.patch.object(tensorflow_import, "check_names", return_value=None)
        anything = mock.patch.object(Policy, "refusal", return_value=None)
        with tempfile.TemporaryDirectory() as folder, nothing, anything:
            try:
                manifest = CORPUS[name].write(Path(folder), Target(read, write, address))
                return str(engine.load(Path(folder), manifest).run({}, seconds)["y"])
            except Exception as error:
                return f"{type(error).__name__}: {error}"

    return attempt


def main(read: str, write: str, address: str, *names: str) -> None:
    """Run some of the corpus."""
    attempt = attempting()
    for number, name in enumerate(names):
        answer = attempt(name, read, write.replace("{}", str(number)), address, 5.0)
        sys.stdout.write(json.dumps({"name": name, "answer": answer}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
