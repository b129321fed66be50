"""What an accelerator's process does and imports before it is ready."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from accel_daemon.accelerator.__main__ import _with_address
from accel_daemon.launch_order import LaunchOrder
from tests.conftest import ROOT

LOOK = """
import os
import accel_daemon.accelerator.__main__
early = {"asyncio", "cryptography", "grpc", "numpy", "psutil", "tensorflow"} & set(sys.modules)
print(sorted(early), len(os.listdir("/proc/self/task")))
"""
OPEN = """
import sys
from accel_daemon.accelerator.serving import leave_keras_out
from accel_daemon.engines.engine import open_engine

leave_keras_out()
print(open_engine("tensorflow").version)
print([name for name in ("keras", "tf_keras", "sklearn") if sys.modules.get(name)])
"""
ORDER = LaunchOrder("eia-0", "host", "", 0, "", "", "", 1, "/store")


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
def test_nothing_is_imported_that_starts_a_thread() -> None:
    """Threads that run already would stay outside of the sandbox."""
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{LOOK}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "[] 1\n"


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "::1", "0.0.0.0", "localhost", "", "no.such.invalid"]
)
def test_hosts_that_stay(host: str) -> None:
    """Addresses are addresses; a name that nobody knows is the server's error to report."""
    order = replace(ORDER, host=host)
    assert _with_address(order) == order


def test_names_are_looked_up_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the sandbox no name server can be asked."""
    answer = [(2, 1, 6, "", ("192.0.2.7", 0))]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: answer)
    assert _with_address(replace(ORDER, host="gpu-host.example")).host == "192.0.2.7"


def test_the_engine_needs_no_keras() -> None:
    """TensorFlow opens without it, and without what it would import in its turn."""
    pytest.importorskip("tensorflow", reason="it is TensorFlow whose imports are looked at")
    done = subprocess.run([sys.executable, "-c", OPEN], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    version, imported = done.stdout.splitlines()
    assert version.startswith("tensorflow ")
    assert imported == "[]"
