"""Whether the kernel has just ended a process for want of memory.

A process that it ends looks like one that somebody killed. But the kernel counts such ends: where
the count has risen within the last seconds, that was it. The count is the whole host's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path

# A large process takes a moment to end after it was counted.
_LATELY_SECONDS = 10.0
_VMSTAT = Path("/proc/vmstat")


def read_vmstat() -> str:
    """What the kernel counts; "" where it cannot be read."""
    try:
        return _VMSTAT.read_text()
    except OSError:
        return ""


def oom_kills(vmstat: str) -> int | None:
    """How many processes the kernel has ended for want of memory; None where it does not say."""
    for line in vmstat.splitlines():
        name, _, count = line.partition(" ")
        if name == "oom_kill" and count.strip().isdecimal():
            return int(count)
    return None


class MemoryKills:
    """The count, looked at from time to time.

    Args:
        read: gives the text of /proc/vmstat.
    """

    def __init__(self, read: Callable[[], str] = read_vmstat) -> None:
        self._read = read
        self._seen: deque[tuple[float, int]] = deque()

    def look(self, now: float) -> None:
        """Remember the count of this moment."""
        count = oom_kills(self._read())
        if count is not None:
            self._seen.append((now, count))
        # One that is older stays, to compare with.
        while len(self._seen) > 1 and self._seen[1][0] <= now - _LATELY_SECONDS:
            self._seen.popleft()

    def happened(self, now: float) -> bool:
        """Whether the count has risen lately."""
        self.look(now)
        return bool(self._seen) and self._seen[-1][1] > self._seen[0][1]
