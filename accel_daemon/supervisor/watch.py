"""Looks after one running process: reads its flight record, and ends it when it hangs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from accel_daemon.flight_record import read_record
from accel_daemon.supervisor import watchdog
from accel_daemon.supervisor.launcher import RunningProcess
from accel_daemon.supervisor.memory_kills import MemoryKills
from accel_daemon.supervisor.watchdog import Hang, Watchdog


class Watch:
    """Over one process.

    Args:
        process: which one.
        kills: counts what the kernel ends for want of memory.
    """

    def __init__(self, process: RunningProcess, kills: MemoryKills | None = None) -> None:
        self._process, self._kills = process, kills or MemoryKills()

    async def end_when_it_hangs(
        self, is_watched: Callable[[], bool], on_hang: Callable[[Hang], None]
    ) -> None:
        """Watch until the process hangs, then tell and kill it.

        Args:
            is_watched: whether it is in a state in which it has to answer.
            on_hang: told before the process is killed.
        """
        dog, process = Watchdog(), self._process
        while True:
            self._kills.look(time.monotonic())
            await asyncio.sleep(watchdog.LOOK_SECONDS)
            if not is_watched():
                continue
            record = read_record(process.flight_record())
            hang = dog.look(record, time.monotonic(), is_stopped=process.is_stopped())
            if hang is not None:
                on_hang(hang)
                process.kill()
                return

    def blame_for_exit(self, status: int) -> Mapping[bytes, str]:
        """Which graphs may be to blame for the end of a process that ended by itself."""
        is_kernels = not self._process.was_killed and self._kills.happened(time.monotonic())
        record = read_record(self._process.flight_record())
        return watchdog.blame_for_exit(status, record, memory_ran_out=is_kernels)
