"""Who works in this process: calls, and what is measured between them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

_IDLE_SECONDS = 2.0
_MEASURED_SECONDS = 0.5  # that calls wait at most while something is measured


class Work:
    """What goes on in this process.

    Attributes:
        turn: one graph is compiled at a time.
    """

    def __init__(self) -> None:
        self.turn = threading.Lock()
        self._lock = threading.Lock()
        self._change = threading.Condition(self._lock)
        self._runs = self._waiting = 0
        self._is_measuring = False

    def begin(self, timeout: float | None) -> None:
        """A call is going to be answered, once nothing is measured."""
        with self._lock:
            if self._is_measuring:
                longest = _MEASURED_SECONDS if timeout is None else min(timeout, _MEASURED_SECONDS)
                self._change.wait_for(lambda: not self._is_measuring, longest)
            self._runs += 1

    def end(self) -> None:
        """It has been."""
        with self._lock:
            self._runs -= 1
            if self._waiting and not self._runs:
                self._change.notify_all()

    @contextlib.contextmanager
    def measuring(self) -> Iterator[None]:
        """Calls that come meanwhile wait, as they would for the processors.

        Those that are in progress end before, unless they take long.
        """
        with self._lock:
            self._is_measuring = True
            self._wait_for_runs(_MEASURED_SECONDS)
        try:
            yield
        finally:
            with self._lock:
                self._is_measuring = False
                self._change.notify_all()

    def wait_until_idle(self) -> None:
        """Until no call is answered, and no longer than a moment: some accelerators always work."""
        with self._lock:
            self._wait_for_runs(_IDLE_SECONDS)

    def _wait_for_runs(self, seconds: float) -> None:
        self._waiting += 1
        self._change.wait_for(lambda: not self._runs, seconds)
        self._waiting -= 1
