"""Watching real processes: what hangs is ended, what works is not."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from accel_daemon.supervisor import watchdog
from accel_daemon.supervisor.launcher import LocalLauncher, RunningProcess
from accel_daemon.supervisor.watch import blame_for_exit, end_when_it_hangs
from accel_daemon.supervisor.watchdog import Hang
from tests.conftest import patience

GRAPH = b"g" * 32
PROGRAM = """
import os, sys, time
from pathlib import Path
from accel_daemon.flight_record import FILE_NAME, FlightRecorder
recorder = FlightRecorder(Path(os.environ["HOME"]) / FILE_NAME, 4)
print("ready", flush=True)
with recorder.expect("run", b"g" * 32, float(sys.argv[2])).at_work():
    for _ in range(2000):
        if sys.argv[1] == "beats":
            recorder.beat()
        if sys.argv[1] == "aborts":
            os.abort()
        time.sleep(0.02)
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks that are short, but still longer apart than beats on a busy machine."""
    monkeypatch.setattr(watchdog, "LOOK_SECONDS", 0.1)


async def start(folder: Path, does: str, seconds: float) -> RunningProcess:
    """A process with a flight record."""
    launcher = LocalLauncher(("-c", PROGRAM, does, str(seconds)))
    process = await launcher.start(sys.executable, folder / "scratch")
    assert await process.receive() == b"ready\n"
    return process


def watched(folder: Path, does: str, seconds: float, *, stop: bool = False) -> tuple[int, Hang]:
    """The exit status and the hang of a process that is ended."""

    async def work() -> tuple[int, Hang]:
        process, hangs = await start(folder, does, seconds), list[Hang]()
        if stop:
            os.kill(process.pid, signal.SIGSTOP)
        async with asyncio.timeout(patience(60)):
            await end_when_it_hangs(process, lambda: True, hangs.append)
            return await process.wait(), hangs[0]

    return asyncio.run(work())


def test_late_work_ends_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Although its event loop lives."""
    monkeypatch.setattr(watchdog, "LATE_LOOKS", 1)
    status, hang = watched(tmp_path, "beats", 0.2)
    assert status == -signal.SIGKILL
    assert set(hang.blame) == {GRAPH}


def test_a_process_without_beats_is_ended(tmp_path: Path) -> None:
    """And its graphs are to blame."""
    status, hang = watched(tmp_path, "is silent", 500.0)
    assert status == -signal.SIGKILL
    assert set(hang.blame) == {GRAPH}


def test_a_stopped_process_is_ended_without_blame(tmp_path: Path) -> None:
    """Whoever stopped it is not the tenant."""
    status, hang = watched(tmp_path, "beats", 500.0, stop=True)
    assert status == -signal.SIGKILL
    assert hang.blame == {}


def test_work_in_time_is_left_alone(tmp_path: Path) -> None:
    """So many looks at a process that beats find nothing."""

    async def work() -> None:
        process = await start(tmp_path, "beats", 500.0)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2.0):
                await end_when_it_hangs(process, lambda: True, pytest.fail)
        process.kill()
        await process.wait()

    asyncio.run(work())


def test_a_crash_is_blamed_on_what_was_at_work(tmp_path: Path) -> None:
    """The record outlives the process."""

    async def work() -> None:
        process = await start(tmp_path, "aborts", 500.0)
        status = await process.wait()
        assert status == -signal.SIGABRT
        assert set(blame_for_exit(process, status)) == {GRAPH}

    asyncio.run(work())
