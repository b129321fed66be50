"""Looks after one running process: reads its flight record, and ends it when it hangs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from accel_daemon.flight_record import read_record
from accel_daemon.supervisor import watchdog
from accel_daemon.supervisor.launcher import RunningProcess
from accel_daemon.supervisor.watchdog import Hang, Watchdog


async def end_when_it_hangs(
    process: RunningProcess, is_watched: Callable[[], bool], on_hang: Callable[[Hang], None]
) -> None:
    """Watch until the process hangs, then tell and kill it.

    Args:
        process: which one.
        is_watched: whether it is in a state in which it has to answer.
        on_hang: told before the process is killed.
    """
    dog = Watchdog()
    while True:
        await asyncio.sleep(watchdog.LOOK_SECONDS)
        if not is_watched():
            continue
        record = read_record(process.flight_record())
        hang = dog.look(record, time.monotonic(), is_stopped=process.is_stopped())
        if hang is not None:
            on_hang(hang)
            process.kill()
            return


def blame_for_exit(process: RunningProcess, status: int) -> Mapping[bytes, str]:
    """Which graphs are to blame for the end of a process that ended by itself."""
    return watchdog.blame_for_exit(status, read_record(process.flight_record()))
