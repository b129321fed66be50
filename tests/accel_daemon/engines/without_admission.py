"""Runs hostile models with admission switched off, in a process of its own: never import this.

Usage: python -m tests.accel_daemon.engines.without_admission READ WRITE ADDRESS NAME…

Prints one line of JSON for each: its name, and the answer's text or the error's. A test puts the
process into the sandbox that it wants to try. Nothing but tests can switch admission off.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from unittest import mock


def main(read: str, write: str, address: str, *names: str) -> None:
    """Run some of the corpus."""
    from accel_daemon.engines import tensorflow_import
    from accel_daemon.engines.engine import open_engine
    from accel_daemon.engines.tensorflow_admission import Policy
    from tests.accel_daemon.engines.hostile_graphs import CORPUS, Target

    engine = open_engine("tensorflow")
    nothing = mock.patch.object(tensorflow_import, "check_names", return_value=None)
    anything = mock.patch.object(Policy, "refusal", return_value=None)
    for name in names:
        with tempfile.TemporaryDirectory() as folder, nothing, anything:
            try:
                target = Target(read, write.replace("{}", str(names.index(name))), address)
                manifest = CORPUS[name].write(Path(folder), target)
                graph = engine.load(Path(folder), manifest)
                answer = str(graph.run({}, 5.0)["y"])
            except Exception as error:
                answer = f"{type(error).__name__}: {error}"
        sys.stdout.write(json.dumps({"name": name, "answer": answer}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
