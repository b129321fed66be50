"""Keeps a flood of audit lines from filling a disk or a pipe, and says how many were left out.

So many lines may come at once, and so many per second after that. What is above is counted, and the
count is written as a line of its own as soon as there is room for one. Pure but for the clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Line = TypeVar("Line")


@dataclass
class AuditThrottle(Generic[Line]):
    """Hands lines on, at a bounded rate.

    Attributes:
        write: takes a line that may be written.
        summarise: makes the line that says how many were left out.
        burst: lines that may come at once.
        per_second: lines that may come for long.
        clock: seconds that only rise.
    """

    write: Callable[[Line], None]
    summarise: Callable[[int], Line]
    burst: int = 200
    per_second: float = 20.0
    clock: Callable[[], float] = time.monotonic
    left_out: int = 0
    _room: float = field(init=False)
    _filled_at: float = field(init=False)

    def __post_init__(self) -> None:
        """Begin with room for a whole burst."""
        self._room, self._filled_at = float(self.burst), self.clock()

    def submit(self, line: Line) -> None:
        """Write a line, or count it."""
        self.flush()
        if self.left_out or not self._has_room():
            self.left_out += 1
            return
        self._room -= 1
        self.write(line)

    def flush(self) -> None:
        """Say how many lines were left out, once there is room; call it now and then."""
        if self.left_out and self._has_room():
            self._room -= 1
            count, self.left_out = self.left_out, 0
            self.write(self.summarise(count))

    def _has_room(self) -> bool:
        now = self.clock()
        refilled = self._room + (now - self._filled_at) * self.per_second
        self._room, self._filled_at = min(float(self.burst), refilled), now
        return self._room >= 1
