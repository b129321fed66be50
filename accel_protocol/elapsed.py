"""How long something has been so, also while the machine slept."""

from __future__ import annotations

import time


def elapsed_seconds() -> float:
    """Seconds that only rise, whoever sets the clock, and go on while the machine sleeps.

    Where there is no such clock (Linux has one), they stand still meanwhile.
    """
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)
