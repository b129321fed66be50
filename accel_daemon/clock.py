"""The daemon's time: one place, handed to whoever needs it.

There are three readings, and each question has one that is right for it:

- `wall()` is what the machine's clock shows. Somebody may set it, by any amount, either way. For
  what is compared with other machines or shown to people: dates of signatures, conditions of
  policies.
- `elapsed()` only rises, also while the machine sleeps (CLOCK_BOOTTIME). For how long something has
  been so.
- `steady()` is what the wall clock would show if nobody had set it since the daemon's start. All
  processes of a daemon read the same. For the lives of tickets and of faults.

Tests can set the wall clock of a running daemon, and of its accelerators with it, where the daemon
was started with `--allow-faults`; nobody else's clock changes, and neither does the audit log's:

    accel-daemon fault inject clock-skew --offset-seconds 7200
    daemon.inject_fault("clock-skew:offset_seconds=-7200")     # the pytest plugin
    POST /faults {"kind": "clock-skew", "offset_seconds": 7200}

That is a jump by two hours; clearing the fault, or its end, is the jump back. Several add up.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def elapsed_seconds() -> float:
    """Seconds since the machine started; where there is no such clock, monotonic ones."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


def boot_id() -> str:
    """Tells one start of this machine from another; "" where that cannot be known."""
    try:
        return _BOOT_ID.read_text().strip().replace("-", "")
    except OSError:
        return ""


@dataclass(frozen=True)
class Clock:
    """See the module.

    Attributes:
        anchor: `steady()` less `elapsed()`.
        read_wall: seconds since the epoch.
        read_elapsed: seconds that only rise.
        skew: by how many seconds the wall clock is wrong on demand.
    """

    anchor: float
    read_wall: Callable[[], float] = time.time
    read_elapsed: Callable[[], float] = elapsed_seconds
    skew: Callable[[], float] = lambda: 0.0

    @staticmethod
    def start(
        anchor: float | None = None,
        read_wall: Callable[[], float] = time.time,
        read_elapsed: Callable[[], float] = elapsed_seconds,
    ) -> Clock:
        """With another process's anchor, or with that of this moment."""
        if anchor is None:
            anchor = read_wall() - read_elapsed()
        return Clock(anchor, read_wall, read_elapsed)

    def skewed_by(self, skew: Callable[[], float]) -> Clock:
        """This clock, whose wall clock is wrong on demand; `steady()` is the same."""
        return replace(self, skew=skew)

    def wall(self) -> float:
        """Seconds since the epoch, as they are shown now."""
        return self.read_wall() + self.skew()

    def elapsed(self) -> float:
        """Seconds that only rise."""
        return self.read_elapsed()

    def steady(self) -> float:
        """Seconds since the epoch, as if nobody had ever set the clock."""
        return self.anchor + self.read_elapsed()

    def now(self) -> datetime:
        """The wall clock as an aware time."""
        return datetime.fromtimestamp(self.wall(), UTC)

    def steady_now(self) -> datetime:
        """`steady()` as an aware time."""
        return datetime.fromtimestamp(self.steady(), UTC)
