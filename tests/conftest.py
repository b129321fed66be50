"""Fixtures shared by all tests: patience, homes, real daemons and real models."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from accel_daemon.control.status_client import fetch_status

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As a shell's background job inherits it; programs started by tests have to be interruptible.
    signal.signal(signal.SIGINT, signal.default_int_handler)

with contextlib.suppress(ImportError):  # environments of other projects' kind do without it
    from hypothesis import HealthCheck, settings

    # What takes long on a busy machine is no defect.
    settings.register_profile(
        "patient", deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("patient")

ROOT = Path(__file__).resolve().parent.parent
# What takes long begins first, so that no process of xdist is left with it at the end.
_FIRST = (
    "tests/chaos/test_chaos.py",
    "tests/sandbox/test_corpus.py",
    "tests/integration/test_keras_model.py",
    "tests/integration/test_emulation.py",
    "tests/integration",
    "tests/benchmarks",
    "tests/fuzz",
    "tests/accel_daemon/engines",
)
_OURS = ("ACCEL_", "AWS_", "EI_", "ECS_")
# What a test, or who runs all of them, chose for its clients: how patient, and over which lanes.
_KEPT = ("ACCEL_TEST_TIME_SCALE", "ACCEL_LANES")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take long come first; a file's tests stay together, in their order."""
    items.sort(key=lambda item: _rank(item.path))


def _rank(path: Path) -> int:
    ranks = (rank for rank, first in enumerate(_FIRST) if path.is_relative_to(ROOT / first))
    return next(ranks, len(_FIRST))


def patience(seconds: float) -> float:
    """Seconds to wait at most, scaled for slow machines by ACCEL_TEST_TIME_SCALE."""
    return seconds * float(os.environ.get("ACCEL_TEST_TIME_SCALE", "1"))


def eventually(holds: Callable[[], Any], seconds: float = 30.0) -> Any:
    """The first true answer of `holds`; fails when none comes in time."""
    give_up = time.monotonic() + patience(seconds)
    while not (answer := holds()):
        assert time.monotonic() < give_up, "what was waited for did not happen"
        time.sleep(0.05)
    return answer


@dataclass
class Daemon:
    """A running `accel-daemon up`.

    Attributes:
        home: its ACCEL_HOME.
        ready: the content of its ready file.
        log: the file its output goes to.
    """

    process: subprocess.Popen[bytes]
    home: Path
    ready: dict[str, Any]
    log: Path

    def command(self, *arguments: str) -> str:
        """What `accel-daemon ARGUMENTS` prints, in this daemon's home."""
        return subprocess.run(
            [*daemon_command(), *arguments],
            env=environment(self.home),
            check=True,
            capture_output=True,
            text=True,
            timeout=patience(60),
        ).stdout

    def status(self) -> dict[str, Any]:
        """What `accel-daemon status --json` says, without a process for it: tests ask often."""
        return dict(fetch_status(self.home / "client.json"))

    def accelerator_pid(self) -> int:
        """The process id of the first accelerator at present, 0 while there is none."""
        return int(self.status()["accelerators"][0]["pid"] or 0)

    def stop(self) -> int:
        """SIGTERM, and the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(patience(60))


def daemon_command() -> list[str]:
    """How tests start the daemon: ACCEL_DAEMON names another installation's console script."""
    other = os.environ.get("ACCEL_DAEMON")
    return [other] if other else [sys.executable, "-m", "accel_daemon"]


def environment(home: Path) -> dict[str, str]:
    """An environment for child processes with only this home in it."""
    kept = {k: v for k, v in os.environ.items() if k in _KEPT or not k.startswith(_OURS)}
    return {**kept, "ACCEL_HOME": str(home), "TF_CPP_MIN_LOG_LEVEL": "2"}


def start_daemon(home: Path, *arguments: str, program: Path | None = None) -> Daemon:
    """Start a daemon, by a program of the test's own where given; wait until all is ready."""
    command = [sys.executable, str(program)] if program else daemon_command()
    home.mkdir(parents=True, exist_ok=True)
    ready_file, log = home / "ready.json", home / "daemon.log"
    ready_file.unlink(missing_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*command, "up", "--ready-file", str(ready_file), *arguments],
            env=environment(home),
            cwd=home,
            stdout=output,
            stderr=output,
        )
    eventually(lambda: ready_file.exists() or process.poll() is not None, 120)
    assert process.poll() is None, log.read_text()
    return Daemon(process, home, json.loads(ready_file.read_text()), log)


@pytest.fixture(scope="session")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One daemon for all tests that leave it as it was."""
    running = start_daemon(tmp_path_factory.mktemp("home"), "--port", "0")
    yield running
    assert running.stop() == 0


@pytest.fixture
def home(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shared daemon's home, which this test's process uses as a client."""
    use_home(monkeypatch, daemon.home)
    return daemon.home


def use_home(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """Make this process a client in `home` and nowhere else."""
    for name in list(os.environ):
        if name.startswith(_OURS) and name not in _KEPT:
            monkeypatch.delenv(name)
    monkeypatch.setenv("ACCEL_HOME", str(home))


@pytest.fixture(scope="session")
def detector() -> Path:
    """The example's digit detector: a SavedModel that needs no TensorFlow to be made."""
    return ROOT / "examples" / "digit_detector" / "model" / "1"


@contextlib.contextmanager
def small_disk(folder: Path, mebibytes: int) -> Iterator[None]:
    """A file system in memory at this folder, which is made; skips where none can be mounted."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(folder)]
    try:
        is_mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        is_mounted = False
    if not is_mounted:
        pytest.skip("no file system can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def free_port() -> int:
    """A port that is free, and whose neighbours most probably are."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port if port < 65_000 else port - 1_000
