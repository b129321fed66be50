"""When a paced accelerator would have answered. Pure.

The emulated device runs one thing at a time. A run begins when it arrives and all runs before it
are over, and takes as long as its operations take at the published throughput. The host computes
meanwhile; when it is done sooner, the answer waits, and when it is slower, nothing is added.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Turn:
    """The part of the emulated device's time that one run has; seconds of a monotonic clock."""

    begins: float
    ends: float

    def wait(self, now: float) -> float:
        """Seconds from now until the emulated device would have answered."""
        return max(0.0, self.ends - now)


class Pacer:
    """The time of one emulated device."""

    def __init__(self) -> None:
        self._busy_until = 0.0

    def enter(self, now: float, seconds: float) -> Turn:
        """A run arrives that takes so many seconds of the device."""
        begins = max(now, self._busy_until)
        self._busy_until = begins + seconds
        return Turn(begins, self._busy_until)

    def leave(self, turn: Turn, now: float) -> None:
        """A run was given up: what is left of its turn is free, when nothing waits behind it."""
        if self._busy_until == turn.ends:
            self._busy_until = min(turn.ends, max(now, turn.begins))
