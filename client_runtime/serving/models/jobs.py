"""A bounded number of threads for work that may fail, hang or be late."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

_log = logging.getLogger(__name__)


def guarded(work: Callable[[], None]) -> None:
    """Do some work; a defect in it is logged and goes no further."""
    try:
        work()
    except Exception:
        _log.exception("what was to be done for a model failed")


class Jobs:
    """Runs jobs in threads of their own, so many at a time; the others wait in line. Thread-safe.

    The threads do not keep the process alive: a job that hangs would hold up its end.
    """

    def __init__(self, name: str, limit: int) -> None:
        self._name, self._limit = name, limit
        self._lock = threading.Lock()
        self._line: deque[Callable[[], None]] = deque()
        self._running = 0

    def submit(self, job: Callable[[], None]) -> None:
        """Run a job as soon as there is room; what it raises is logged."""
        with self._lock:
            self._line.append(job)
            if self._running == self._limit:
                return
            self._running += 1
        threading.Thread(target=self._work, name=self._name, daemon=True).start()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            guarded(job)

    def _next(self) -> Callable[[], None] | None:
        with self._lock:
            if self._line:
                return self._line.popleft()
            self._running -= 1
            return None
