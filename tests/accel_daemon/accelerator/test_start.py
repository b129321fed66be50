"""What an accelerator's process imports before it is ready."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("tensorflow", reason="it is TensorFlow whose imports are looked at")

OPEN = """
import sys
from accel_daemon.accelerator.__main__ import leave_keras_out
from accel_daemon.engines.engine import open_engine

leave_keras_out()
print(open_engine("tensorflow").version)
print([name for name in ("keras", "tf_keras", "sklearn") if sys.modules.get(name)])
"""


def test_the_engine_needs_no_keras() -> None:
    """TensorFlow opens without it, and without what it would import in its turn."""
    done = subprocess.run([sys.executable, "-c", OPEN], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    version, imported = done.stdout.splitlines()
    assert version.startswith("tensorflow ")
    assert imported == "[]"
