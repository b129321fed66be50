"""A process that crashes whenever it starts: each wait is longer, and whoever asks is told."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from accel_daemon.control.status import _row
from accel_daemon.supervisor import life_cycle
from tests.accel_daemon.supervisor.test_accelerator_process import (
    Bench,
    until,
    until_ready_again,
)

CRASHES = 5
FIRST_DELAY = 0.2


async def crash(bench: Bench) -> list[float]:
    """When each process was started that crashed, and what status said of it meanwhile."""
    await bench.accelerator.wait_ready()
    (bench.store / "crash").touch()
    os.kill(bench.accelerator.pid or 0, signal.SIGKILL)
    starts = []
    for count in range(1, CRASHES + 1):
        await until(lambda count=count: len(bench.life("started")) == count + 1)  # type: ignore[misc]
        starts.append(asyncio.get_running_loop().time())
        await until(lambda: _row(bench.accelerator)["state"] == "backing-off")
        row = _row(bench.accelerator)
        assert row["pid"] is None
        assert row["restarts"] == count
    return starts


def test_five_crashes_in_a_row(tmp_path: Path, tools: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first one each wait is twice the one before; then it serves again."""
    monkeypatch.setattr(life_cycle, "FIRST_DELAY_SECONDS", FIRST_DELAY)
    starts: list[float] = []

    async def work() -> None:
        bench = Bench(tmp_path, tools)
        bench.accelerator.start()
        try:
            starts.extend(await crash(bench))
            (bench.store / "crash").unlink()
            await until_ready_again(bench, CRASHES + 1)
        finally:
            await bench.accelerator.drain(5)

    asyncio.run(asyncio.wait_for(work(), 60))
    gaps = [after - before for before, after in itertools.pairwise(starts)]
    assert all(gap >= FIRST_DELAY * 2**n for n, gap in enumerate(gaps))
