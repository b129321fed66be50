"""A daemon whose disk is full says so, and goes on once there is room."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from accel_protocol.errors import BusyError
from client_runtime import EIPredictor
from tests.conftest import Daemon, start_daemon, use_home

FEEDS = {"x": np.ones((1, 4), np.float32)}


@pytest.fixture
def small_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    """A daemon with a disk of its own, which is small."""
    home = tmp_path / "home"
    home.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(home)]
    try:
        is_mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        is_mounted = False
    if not is_mounted:
        pytest.skip("no file system can be mounted here")
    try:
        daemon = start_daemon(home, "--port", "0")
        use_home(monkeypatch, home)
        yield daemon
        assert daemon.stop() == 0
    finally:
        subprocess.run(["umount", "--lazy", str(home)], check=True)


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
