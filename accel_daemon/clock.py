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
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from accel_protocol.elapsed import elapsed_seconds

# Less is how clocks are kept right.
_JUMP_SECONDS = 1.0
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> str:
    """Tells one start of this machine from another; "" where that cannot be known."""
    try:
        return _BOOT_ID.read_text().strip().replace("-", "")[:16]
    except OSError:
        return ""


@dataclass(frozen=True)
class Uptime:
    """A moment that nobody can set: which start of the machine, and seconds since then.

    Two of one `boot` can be compared, also when another daemon noted the first one; where `boot` is
    "", none can.
    """

    boot: str
    seconds: float

    def since(self, boot: str, seconds: float) -> float | None:
        """What passed since an earlier moment; None where that cannot be known."""
        return self.seconds - seconds if boot and boot == self.boot else None


@dataclass(frozen=True)
class Readings:
    """The present time as `wall()` and `steady()` show it, aware.

    They differ where somebody set the clock, and which one is right cannot be known: it was wrong
    before, or it is now.
    """

    wall: datetime
    steady: datetime


@dataclass(frozen=True)
class Clock:
    """See the module.

    Attributes:
        anchor: `steady()` less `elapsed()`.
        read_wall: seconds since the epoch.
        read_elapsed: seconds that only rise.
        skew: by how many seconds the wall clock is wrong on demand.
        boot: which start of the machine this is.
    """

    anchor: float
    read_wall: Callable[[], float] = time.time
    read_elapsed: Callable[[], float] = elapsed_seconds
    skew: Callable[[], float] = lambda: 0.0
    boot: str = field(default_factory=boot_id)

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

    def uptime(self) -> Uptime:
        """`elapsed()`, to be compared with what was noted before the daemon started."""
        return Uptime(self.boot, self.read_elapsed())

    def now(self) -> datetime:
        """The wall clock as an aware time."""
        return datetime.fromtimestamp(self.wall(), UTC)

    def steady_now(self) -> datetime:
        """`steady()` as an aware time."""
        return datetime.fromtimestamp(self.steady(), UTC)

    def readings(self) -> Readings:
        """Both."""
        return Readings(self.now(), self.steady_now())


class JumpWatch:
    """Notices that somebody set the wall clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ahead = self._reading()

    def _reading(self) -> float:
        return self._clock.wall() - self._clock.steady()

    def jumped(self) -> float:
        """By how many seconds it was set since this was asked last; 0 for less than one."""
        before, self._ahead = self._ahead, self._reading()
        seconds = self._ahead - before
        return seconds if abs(seconds) >= _JUMP_SECONDS else 0.0
