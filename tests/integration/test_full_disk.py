"""A daemon whose disk is full says so, and goes on once there is room."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from accel_protocol.errors import BusyError
from client_runtime import EIPredictor
from tests.conftest import Daemon, small_disk, start_daemon, use_home

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


def test_a_full_disk_costs_the_call_and_nothing_else(small_home: Daemon, model: Path) -> None:
    """The error names the disk; the same predictor works once there is room."""
    status = os.statvfs(small_home.home)
    filler = small_home.home / "filler"
    filler.write_bytes(bytes(status.f_bavail * status.f_frsize))
    pid = small_home.accelerator_pid()
    with EIPredictor(model) as predictor:
        with pytest.raises(BusyError) as caught:
            predictor(FEEDS, timeout=3)
        assert caught.value.reason == "DISK_FULL"
        filler.unlink()
        assert predictor(FEEDS)["z"] == 4
    assert small_home.accelerator_pid() == pid
