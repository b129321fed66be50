"""A contestant that waits."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable


class StandIn:
    """Each of its calls takes so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def caller(self, work: str, way: str) -> Callable[[], object]:
        """See `worker.Contestant`."""
        sys.stdout.write("said by a library\n")
        if work == "unknown":
            raise ValueError("no such work")
        return lambda: time.sleep(self._seconds)
