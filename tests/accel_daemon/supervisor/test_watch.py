"""Watching real processes: what hangs is ended, what works is not."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from accel_daemon.supervisor import watchdog
from accel_daemon.supervisor.launcher import LocalLauncher, RunningProcess
from accel_daemon.supervisor.memory_kills import MemoryKills
from accel_daemon.supervisor.watch import Watch
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
        if sys.argv[1] == "eats" and sys.stdin.readline():
            eaten = [bytearray(1 << 20) for _ in range(1 << 12)]
        time.sleep(0.02)
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks that are short, but still longer apart than beats on a busy machine."""
    monkeypatch.setattr(watchdog, "LOOK_SECONDS", 0.1)


@pytest.fixture
def little_memory() -> Iterator[Callable[[int], None]]:
    """Lets a process have 64 MiB at most; skips where this host has no way to."""
    paths = dict(line.split(":")[1:] for line in Path("/proc/self/cgroup").read_text().splitlines())
    version, limit = (
        ("memory", "memory.limit_in_bytes") if "memory" in paths else ("", "memory.max")
    )
    parent = Path("/sys/fs/cgroup") / version / paths.get(version, "/").lstrip("/")
    group = parent / f"accel-test-{os.getpid()}"

    def bound(pid: int) -> None:
        (group / "cgroup.procs").write_text(str(pid))

    try:
        group.mkdir()
        (group / limit).write_text(str(64 << 20))
        yield bound
    except OSError as error:
        pytest.skip(f"no control group can be made: {error}")
    finally:
        with contextlib.suppress(OSError):
            group.rmdir()


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
            await Watch(process).end_when_it_hangs(lambda: True, hangs.append)
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
                await Watch(process).end_when_it_hangs(lambda: True, pytest.fail)
        process.kill()
        await process.wait()

    asyncio.run(work())


def test_a_crash_is_blamed_on_what_was_at_work(tmp_path: Path) -> None:
    """The record outlives the process."""

    async def work() -> None:
        process = await start(tmp_path, "aborts", 500.0)
        status = await process.wait()
        assert status == -signal.SIGABRT
        assert set(Watch(process).blame_for_exit(status)) == {GRAPH}

    asyncio.run(work())


async def hungry(folder: Path, bound: Callable[[int], None]) -> tuple[RunningProcess, Watch]:
    """A process at work that wants more memory than there is, and is watched."""
    process = await start(folder, "eats", 500.0)
    bound(process.pid)
    return process, Watch(process)


def test_want_of_memory_is_blamed_on_what_was_at_work(
    tmp_path: Path, little_memory: Callable[[int], None]
) -> None:
    """The kernel ends the process, and says so."""

    async def work() -> None:
        process, watch = await hungry(tmp_path, little_memory)
        watching = asyncio.create_task(watch.end_when_it_hangs(lambda: False, pytest.fail))
        await asyncio.sleep(0.3)
        await process.send(b"eat\n")
        status = await asyncio.wait_for(process.wait(), patience(60))
        watching.cancel()
        assert status == -signal.SIGKILL
        assert "for want of memory" in watch.blame_for_exit(status)[GRAPH]

    asyncio.run(work())


@pytest.mark.parametrize("by_supervisor", [True, False])
def test_who_is_killed_by_hand_is_innocent(tmp_path: Path, by_supervisor: bool) -> None:
    """Also while the kernel ends others for want of memory, where it was the supervisor."""
    texts = [f"oom_kill {3 + by_supervisor}", "oom_kill 3"]

    async def work() -> None:
        process = await start(tmp_path, "beats", 500.0)
        watch = Watch(process, MemoryKills(lambda: texts[-1]))
        watching = asyncio.create_task(watch.end_when_it_hangs(lambda: False, pytest.fail))
        await asyncio.sleep(0.3)
        texts.pop()
        if by_supervisor:
            process.kill()
        else:
            os.kill(process.pid, signal.SIGKILL)
        status = await process.wait()
        watching.cancel()
        assert watch.blame_for_exit(status) == {}

    asyncio.run(work())
