"""Which of the batches that wait run, and on whose threads.

There are no threads apart: a batch is run by the thread of one of its requests, so that a request
which is alone goes through without being handed over. How many batches run at one time is bounded
for all models together.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from client_runtime.serving.inference.batching.queue import Batch, BatchQueue
from client_runtime.serving.inference.batching.waiting import Task

Lead = Callable[[Batch[Task]], None]


class Line:
    """The tasks that wait for one signature of one version. Guarded by the scheduler's lock.

    Args:
        queue: of these tasks.
        lead: runs a batch of them; called without the lock.
    """

    def __init__(self, queue: BatchQueue[Task], lead: Lead) -> None:
        self.queue, self.lead = queue, lead


class Scheduler:
    """Lets batches of all lines run, so many at one time. Thread-safe.

    Args:
        places: how many.

    Attributes:
        lock: guards the lines, their tasks and this.
    """

    def __init__(self, places: int) -> None:
        self.lock = threading.Lock()
        self._free = places
        self._lines: set[Line] = set()

    def add(self, line: Line, task: Task) -> None:
        """Let a task wait in its line.

        Raises:
            ServingError: see `BatchQueue.add`.
        """
        with self.lock:
            line.queue.add(task, task.rows, task.came_at)
            self._lines.add(line)
            self.dispatch()

    def leave(self) -> None:
        """A batch has run. The lock is held."""
        self._free += 1
        self.dispatch()

    def drop(self, line: Line, task: Task) -> None:
        """A task waits no more. The lock is held."""
        line.queue.drop(task)
        self._look_again(line)

    def dispatch(self) -> None:
        """Let those run that are due, the longest overdue first. The lock is held."""
        while self._free:
            now = time.monotonic()
            due = [
                (at, line)
                for line in self._lines
                if (at := line.queue.due_at()) is not None and at <= now
            ]
            if not due:
                return
            line = min(due, key=lambda one: one[0])[1]
            batch = line.queue.take(now)
            assert batch is not None
            self._look_again(line)
            _leave_out_useless(batch, now)
            if batch.pieces:
                self._free -= 1
                _begin(line, batch)

    def _look_again(self, line: Line) -> None:
        """Somebody else's wait may end first now: that thread has the time to watch."""
        first = line.queue.first()
        if first is None:
            self._lines.discard(line)
        else:
            first.look.set()


def _leave_out_useless(batch: Batch[Task], now: float) -> None:
    for piece in batch.pieces:
        why = piece.task.why_not(now)
        if why is not None:
            piece.task.fail(why)
    batch.pieces = [piece for piece in batch.pieces if not piece.task.is_over]


def _begin(line: Line, batch: Batch[Task]) -> None:
    """Give a batch to the thread of one of its tasks that has none to run yet."""
    for piece in batch.pieces:
        piece.task.running += 1
    leader = next((piece.task for piece in batch.pieces if not piece.task.is_leading), None)
    if leader is None:  # parts of one large task, whose thread runs another part
        threading.Thread(target=line.lead, args=(batch,), name="batch", daemon=True).start()
        return
    leader.is_leading, leader.to_lead = True, batch
    leader.look.set()
