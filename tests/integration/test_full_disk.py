"""A daemon whose disk is full says so, and goes on once there is room."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from accel_protocol.errors import BusyError
from client_runtime import EIPredictor
from tests.conftest import Daemon, eventually, small_disk, start_daemon, use_home

FEEDS = {"x": np.ones((1, 4), np.float32)}


@pytest.fixture
def small_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    """A daemon with a disk of its own, which is small."""
    home = tmp_path / "home"
    with small_disk(home, 8):
        daemon = start_daemon(home, "--port", "0")
        use_home(monkeypatch, home)
        yield daemon
        assert daemon.stop() == 0


def fill(daemon: Daemon) -> Path:
    """Somebody else takes all of the disk."""
    status = os.statvfs(daemon.home)
    filler = daemon.home / "filler"
    filler.write_bytes(bytes(status.f_bavail * status.f_frsize))
    return filler


def test_a_full_disk_costs_the_call_and_nothing_else(small_home: Daemon, model: Path) -> None:
    """The error names the disk; the same predictor works once there is room."""
    filler = fill(small_home)
    pid = small_home.accelerator_pid()
    with EIPredictor(model) as predictor:
        with pytest.raises(BusyError) as caught:
            predictor(FEEDS, timeout=3)
        assert caught.value.reason == "DISK_FULL"
        filler.unlink()
        assert predictor(FEEDS)["z"] == 4
    assert small_home.accelerator_pid() == pid


def test_a_process_that_cannot_start_on_a_full_disk(small_home: Daemon, model: Path) -> None:
    """Says so, is tried again, and is back once there is room."""
    with EIPredictor(model) as predictor:
        assert predictor(FEEDS)["z"] == 4
        uploaded = predictor.uploaded_bytes
        filler = fill(small_home)
        os.kill(small_home.accelerator_pid(), signal.SIGKILL)
        why = "scratch folder cannot be written: No space left on device."
        eventually(lambda: why in small_home.log.read_text(), 60)
        filler.unlink()
        assert predictor(FEEDS, timeout=60)["z"] == 4
        assert predictor.uploaded_bytes == uploaded
