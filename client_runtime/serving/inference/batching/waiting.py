"""One task on its way through a queue, as the thread that waits for its answer sees it.

Pure, but for the event that wakes that thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from accel_protocol.errors import Status
from client_runtime.serving.inference.batching.queue import Batch, Piece
from client_runtime.serving.inference.batching.rows import Feeds, joined
from client_runtime.serving.inference.engine import Ran
from client_runtime.serving.inference.failures import TIMED_OUT
from client_runtime.serving.servable import Bounds
from client_runtime.serving.statuses import ServingError

QUEUE_TIMED_OUT = "Run() timeout exceeded while waiting in batching queue"


@dataclass(eq=False)
class Task:
    """A request's run.

    Attributes:
        feeds: all with `rows` rows.
        bounds: of the request.
        came_at: when, time.monotonic().
        look: is set when its thread has to look at the task again.
        to_lead: a batch that its thread has to run.
        is_leading: whether it has one to run, or runs it.
        running: pieces of it that run.
        is_gone: whether nobody waits for its answer any more.
    """

    feeds: Feeds
    rows: int
    bounds: Bounds
    came_at: float
    look: threading.Event = field(default_factory=threading.Event)
    to_lead: Batch[Task] | None = None
    is_leading: bool = False
    running: int = 0
    is_gone: bool = False
    _parts: dict[int, Ran] = field(default_factory=dict)
    _answered: int = 0
    _error: ServingError | None = None
    _waited: float = 0.0

    @property
    def is_over(self) -> bool:
        """Whether its answer is complete, or it failed."""
        return self._error is not None or self._answered == self.rows

    def feeds_of(self, piece: Piece[Task]) -> Feeds:
        """The rows of one of its pieces."""
        if piece.rows == self.rows:
            return self.feeds
        return {alias: array[piece.start : piece.stop] for alias, array in self.feeds.items()}

    def why_not(self, now: float) -> ServingError | None:
        """Why its answer is of no use any more; None where it is."""
        if self.bounds.cancellation.cancelled:
            return ServingError(Status.CANCELLED, "The call was cancelled.")
        if self.bounds.give_up_at is None or self.bounds.give_up_at > now:
            return None
        if self.running:
            return ServingError(Status.DEADLINE_EXCEEDED, TIMED_OUT)
        return ServingError(Status.RESOURCE_EXHAUSTED, QUEUE_TIMED_OUT)

    def fail(self, error: ServingError) -> None:
        """It has no answer."""
        self._error = self._error or error
        self.look.set()

    def settle(self, piece: Piece[Task], ran: Ran, waited: float) -> None:
        """One of its pieces ran, after so many seconds in the queue."""
        self._parts[piece.start] = ran
        self._answered += piece.rows
        self._waited = max(self._waited, waited)
        self.look.set()

    def answer(self) -> Ran:
        """Of all its pieces; it is over.

        Raises:
            ServingError: one of them failed.
        """
        if self._error is not None:
            raise self._error
        ran = [self._parts[start] for start in sorted(self._parts)]
        fetches = ran[0].fetches if len(ran) == 1 else joined([one.fetches for one in ran])
        queue = self._waited + max(one.queue_seconds for one in ran)
        return Ran(fetches, queue, max(one.compute_seconds for one in ran))


@dataclass(frozen=True)
class Waker:
    """What a request's cancellation ends: see `Stoppable`."""

    task: Task
    cancelled: Callable[[Task], None]

    def close(self) -> None:
        """See `Stoppable.close`."""
        self.cancelled(self.task)
