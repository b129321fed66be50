"""A daemon that ends with whoever holds its standard input."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest


def start(home: Path, interpreter: Path, ready_file: Path) -> subprocess.Popen[bytes]:
    """A tethered daemon with a stand-in accelerator; its home has a file in it already."""
    home.mkdir(mode=0o700)
    (home / "daemon.log").touch()
    command = [sys.executable, "-m", "accel_daemon.testing.tethered", str(home), "up", "--port"]
    options = ["0", "--ready-file", str(ready_file), "--accelerator", f"host,python={interpreter}"]
    return subprocess.Popen([*command, *options], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)


def test_ends_with_its_input(tmp_path: Path, interpreter: Path, tools: Any) -> None:
    """In good order, with its accelerator and all its files."""
    ready_file = tmp_path / "ready.json"
    with start(tmp_path / "home", interpreter, ready_file) as process:
        tools.wait_until(ready_file.exists, 60)
        accelerator = json.loads(ready_file.read_text())["accelerators"][0]["pid"]
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(30) == 0
    tools.wait_until(lambda: not psutil.pid_exists(accelerator))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("delay", [0.0, 0.2, 0.5, 0.8, 1.1])
def test_ends_while_starting(tmp_path: Path, interpreter: Path, delay: float) -> None:
    """Whatever it is at when that happens, no file stays."""
    with start(tmp_path / "home", interpreter, tmp_path / "ready.json") as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(delay)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(30) >= 0
    assert list(tmp_path.iterdir()) == []
