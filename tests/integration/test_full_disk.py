"""A daemon whose disk is full says so, and goes on once there is room."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from accel_protocol.errors import BusyError
from client_runtime import EIPredictor
from tests.conftest import Daemon, eventually, small_disk, start_daemon, use_home

FEEDS = {"x": np.ones((1, 4), np.float32)}


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with a disk of its own, which is small."""
    folder = tmp_path_factory.mktemp("small")
    home = folder / "home"
    with small_disk(home, 8):
        (home / "daemon.log").symlink_to(folder / "daemon.log")  # else its words were lost as well
        daemon = start_daemon(home, "--port", "0")
        yield daemon
        assert daemon.stop() == 0


@pytest.fixture
def small_home(started: Daemon, monkeypatch: pytest.MonkeyPatch) -> Daemon:
    """The daemon, which this test's process uses as a client."""
    use_home(monkeypatch, started.home)
    return started


def fill(daemon: Daemon) -> Path:
    """Somebody else takes all of the disk that is left."""
    filler, status = daemon.home / "filler", os.statvfs(daemon.home)
    with filler.open("ab") as file, contextlib.suppress(OSError):  # the daemon writes meanwhile
        file.write(bytes(status.f_bavail * status.f_frsize))
    return filler


def test_a_process_that_cannot_start_on_a_full_disk(small_home: Daemon, model: Path) -> None:
    """Says so, is tried again, and is back once there is room."""
    with EIPredictor(model) as predictor:
        assert predictor(FEEDS)["z"] == 4
        uploaded = predictor.uploaded_bytes
        filler = fill(small_home)
        os.kill(small_home.accelerator_pid(), signal.SIGKILL)
        why = "scratch folder cannot be written: No space left on device."
        # What the process that ended had written is gone, and its place is taken as well.
        eventually(lambda: fill(small_home) and why in small_home.log.read_text(), 60)
        filler.unlink()
        assert predictor(FEEDS, timeout=60)["z"] == 4
        assert predictor.uploaded_bytes == uploaded


def test_a_full_disk_costs_the_call_and_nothing_else(
    small_home: Daemon, new_model: Callable[[int], Path]
) -> None:
    """The error names the disk; the same predictor works once there is room."""
    filler = fill(small_home)
    pid = small_home.accelerator_pid()
    with EIPredictor(new_model(2)) as predictor:
        with pytest.raises(BusyError) as caught:
            predictor(FEEDS, timeout=3)
        assert caught.value.reason == "DISK_FULL"
        filler.unlink()
        assert predictor(FEEDS)["z"] == 4
    assert small_home.accelerator_pid() == pid
