"""Answers calls of one graph together, where that takes less time than one by one.

Calls of one row each, with rows of the same shapes, share a queue. As many as there are processors
run at once and by themselves, so that who is alone, or nearly, notices nothing. Others wait.
Whoever is done takes what waits by then as one batch: the call in it that has most time left leads,
runs all rows in its own thread, and hands each its own.

That is done only for graphs of which it is proven that rows do not depend on each other
(`batch_rules`), and once a trial has shown that it answers the same and pays.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from accel_daemon.engines.engine import Graph
from accel_protocol.errors import CancelledError, DeadlineError
from accel_protocol.tensors import Array

SIZES = (8, 4)
"""Of batches, in rows. Few, because a graph is compiled for each."""
CROWD = 64
"""After how many calls that came while all processors had one, batches are tried."""
_MOST_QUEUES = 4
_MOST_BYTES = 4 << 20  # of one call's feeds

Key = tuple[tuple[str, str, tuple[int, ...]], ...]


class RowQueue:
    """Calls whose rows fit together.

    Args:
        graph: answers.
        want: told of the feeds of a call, once there is a crowd.

    Attributes:
        sizes: of the batches that pay, the largest first; none as long as that is not known.
    """

    def __init__(self, graph: Graph, want: Callable[[RowQueue, Mapping[str, Array]], None]) -> None:
        self.sizes: tuple[int, ...] = ()
        self._graph, self._want = graph, want
        self._lock = threading.Lock()
        self._queue: deque[_Call] = deque()
        self._running = self._crowd = 0
        self._at_once = max(2, len(os.sched_getaffinity(0)))

    def run(self, feeds: Mapping[str, Array], timeout: float | None) -> dict[str, Array]:
        """See `Graph.run`; one row."""
        call = None
        with self._lock:
            is_crowd = self._running >= self._at_once
            if is_crowd and self.sizes:
                call = _Call(feeds, math.inf if timeout is None else time.monotonic() + timeout)
                self._queue.append(call)
            else:
                self._running += 1
                self._crowd += is_crowd
                is_wanted = is_crowd and self._crowd == CROWD
        if call is not None:
            return self._wait(call)
        if is_wanted:
            self._want(self, feeds)
        try:
            return self._graph.run(feeds, timeout)
        finally:
            self._leave()

    def _wait(self, call: _Call) -> dict[str, Array]:
        if not call.news.wait(None if call.until == math.inf else call.until - time.monotonic()):
            with self._lock:
                if call in self._queue:
                    self._queue.remove(call)
                if not call.batch:  # else it leads one, and others wait for it
                    raise _too_late()
        if call.batch:
            self._lead(call, call.batch)
        if call.error is not None:
            raise call.error
        if call.answer is not None:
            return call.answer
        return self._graph.run(call.feeds, call.left())

    def _leave(self) -> None:
        """A run is over; what waits takes its place."""
        with self._lock:
            self._running -= 1
            if not self._queue or self._running >= self._at_once:
                return
            count = next((size for size in self.sizes if size <= len(self._queue)), 1)
            batch = [self._queue.popleft() for _ in range(count)]
            self._running += 1
            leader = max(batch, key=lambda call: call.until)
            leader.batch = batch
        leader.news.set()

    def _lead(self, leader: _Call, batch: Sequence[_Call]) -> None:
        """Run a batch; whoever gets neither an answer nor an error from it runs alone."""
        try:
            if len(batch) > 1:
                answer = self._graph.run(joined([c.feeds for c in batch]), leader.left())
                for row, call in enumerate(batch):
                    call.answer = row_of(answer, row, len(batch))
            else:
                leader.answer = self._graph.run(leader.feeds, leader.left())
        except DeadlineError:  # nobody has more time than the leader
            for call in batch:
                call.error = _too_late()
        except CancelledError as error:
            for call in batch:
                call.error = CancelledError(error.message)
        except Exception as error:
            if len(batch) == 1:
                leader.error = error
        finally:
            for call in batch:
                call.news.set()
            self._leave()


class _Call:
    """A call that waits.

    Attributes:
        feeds: of one row.
        until: when its time is over, by the monotonic clock.
        news: set when it is to lead, or another has led it.
        batch: what it leads.
        answer, error: what came of it.
    """

    __slots__ = ("answer", "batch", "error", "feeds", "news", "until")

    def __init__(self, feeds: Mapping[str, Array], until: float) -> None:
        self.feeds, self.until = feeds, until
        self.news = threading.Event()
        self.batch: Sequence[_Call] = ()
        self.answer: dict[str, Array] | None = None
        self.error: Exception | None = None

    def left(self) -> float | None:
        """Seconds; at least one thousandth, so that the engine says that they are over."""
        return None if self.until == math.inf else max(self.until - time.monotonic(), 0.001)


class RowQueues:
    """The queues of one graph.

    Args:
        graph, want: see `RowQueue`.
    """

    def __init__(self, graph: Graph, want: Callable[[RowQueue, Mapping[str, Array]], None]) -> None:
        self._graph, self._want = graph, want
        self._queues: dict[Key, RowQueue] = {}
        self._feeds = len(graph.feeds)
        self._lock = threading.Lock()

    @property
    def largest(self) -> int:
        """How many calls are answered together at most; 1 where none are."""
        return max(
            (queue.sizes[0] for queue in list(self._queues.values()) if queue.sizes), default=1
        )

    def of(self, feeds: Mapping[str, Array]) -> RowQueue | None:
        """The queue of a call; None where it has to go by itself."""
        if len(feeds) != self._feeds:
            return None
        values = feeds.values()
        if any(value.ndim == 0 or value.shape[0] != 1 for value in values):
            return None
        key = tuple(sorted((alias, value.dtype.str, value.shape) for alias, value in feeds.items()))
        queue = self._queues.get(key)
        return queue if queue is not None else self._new(key, sum(value.nbytes for value in values))

    def _new(self, key: Key, size: int) -> RowQueue | None:
        with self._lock:
            if key not in self._queues and len(self._queues) < _MOST_QUEUES and size <= _MOST_BYTES:
                self._queues[key] = RowQueue(self._graph, self._want)
            return self._queues.get(key)


def joined(calls: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    """The feeds of several calls as those of one, by alias."""
    return {alias: np.concatenate([feeds[alias] for feeds in calls]) for alias in calls[0]}


def row_of(answer: Mapping[str, Array], row: int, count: int) -> dict[str, Array]:
    """One call's part of the answer to so many.

    Raises:
        ValueError: it has another number of rows.
    """
    if any(value.shape[:1] != (count,) for value in answer.values()):
        raise ValueError("the answer has not one row for each call")
    return {alias: np.array(value[row : row + 1]) for alias, value in answer.items()}


def _too_late() -> DeadlineError:
    return DeadlineError("The graph was stopped: the call's time ran out.")
