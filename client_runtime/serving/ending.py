"""How the program learns that it is to end: signals, or that it cannot go on."""

from __future__ import annotations

import logging
import os
import queue
import signal
import sys
import threading
import time
from typing import Any

_log = logging.getLogger(__name__)
SIGNALS = (signal.SIGTERM, signal.SIGINT)
# Threads that answer requests have been told to end; what does not follow is left behind.
_STRAGGLER_SECONDS = 5.0


class Ending:
    """The main thread waits in it: the first signal wakes it, the second ends the process."""

    def __init__(self) -> None:
        # Its put may be called from a signal handler, which those of other queues and events may
        # not: the thread that was interrupted may hold their lock.
        self._news: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()
        self.is_asked = False

    def listen(self) -> None:
        """Take the signals over. Only in the main thread."""
        for one in SIGNALS:
            signal.signal(one, self._on_signal)

    def wait(self) -> None:
        """Until a signal comes, or another thread calls `wake`.

        Raises:
            Exception: what `wake` was given.
        """
        if not self.is_asked and (error := self._news.get()) is not None:
            raise error

    def wake(self, error: Exception | None = None) -> None:
        """Let the main thread go on, or raise there."""
        self._news.put(error)

    def _on_signal(self, number: int, _: Any) -> None:
        if self.is_asked:
            os._exit(128 + number)
        self.is_asked = True
        self._news.put(None)


def leave(status: int) -> None:
    """End the process, even if a thread does not."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    give_up = time.monotonic() + _STRAGGLER_SECONDS
    for one in threading.enumerate():
        if one is threading.current_thread() or one.daemon:
            continue
        one.join(max(0.0, give_up - time.monotonic()))
        if one.is_alive():
            os._exit(status)
    sys.exit(status)
