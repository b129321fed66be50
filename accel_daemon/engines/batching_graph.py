"""A graph whose calls are answered together where that is proven to be right, and tried to pay."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager

import numpy as np

from accel_daemon.engines.batching import SIZES, RowQueue, RowQueues, joined, row_of
from accel_daemon.engines.compiled_choice import why_different, why_slow
from accel_daemon.engines.compiled_graph import CompilingGraph
from accel_daemon.engines.compiled_trial import compared, noise
from accel_daemon.engines.compiled_work import Work
from accel_daemon.engines.engine import Cost, TensorSpec
from accel_daemon.engines.openvino_model import NotCompiledError
from accel_protocol.tensors import Array

MOST_SECONDS = 0.05
"""That a batch may take: a call that is cancelled while it waits can leave only after it."""
_RUN_SECONDS = 10.0
_SETTLING_SECONDS = 60.0
_log = logging.getLogger(__name__)


class BatchingGraph:
    """One graph, whose callers need not know of each other.

    Args:
        graph: answers.
        why_not: says why its calls cannot be answered together; None where they can.
        work: whose turn it is.
        watched: where a graph is at work while it is tried.

    Attributes:
        why: why they are not; None before that is known, and where they may be.
    """

    def __init__(
        self,
        graph: CompilingGraph,
        why_not: Callable[[], str | None],
        work: Work,
        watched: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._graph, self._why_not, self._work, self._watched = graph, why_not, work, watched
        self.feeds: Mapping[str, TensorSpec] = graph.feeds
        self.fetches: Mapping[str, TensorSpec] = graph.fetches
        self.repeatable = graph.repeatable
        self.why: str | None = None
        self._queues = RowQueues(graph, self._start)
        self._closed = False

    @property
    def executed_by(self) -> str:
        """See `Graph.executed_by`."""
        largest = self._queues.largest
        together = f", up to {largest} calls together" if largest > 1 else ""
        return self._graph.executed_by + together

    def run(self, feeds: Mapping[str, Array], timeout: float | None) -> dict[str, Array]:
        """See `Graph.run`."""
        queue = self._queues.of(feeds) if self.why is None else None
        return (queue or self._graph).run(feeds, timeout)

    def cost(self, shapes: Mapping[str, tuple[int, ...] | None]) -> Cost | None:
        """See `Graph.cost`."""
        return self._graph.cost(shapes)

    def close(self) -> None:
        """See `Graph.close`; who waits is told by the graph, too."""
        self._closed = True
        self._graph.close()

    def _start(self, queue: RowQueue, feeds: Mapping[str, Array]) -> None:
        # Copied, because the memory they came in is used again for the next call.
        row = {alias: np.array(value) for alias, value in feeds.items()}
        threading.Thread(target=self._try, args=(queue, row), name="batch", daemon=True).start()

    def _try(self, queue: RowQueue, row: Mapping[str, Array]) -> None:
        """Find the sizes of batches that pay; on a thread of its own."""
        why = None
        try:
            with self._watched():
                self.why = why = self._why_not()
            if why is None:
                queue.sizes = tuple(size for size in SIZES if self._pays(row, size))
                why = None if queue.sizes else "it takes no less time"
        except NotCompiledError as error:
            why = str(error)
        except Exception as error:  # TensorFlow's too: it may have been closed meanwhile
            self.why = why = f"it failed: {type(error).__name__}"
        if why is None:
            _log.info("calls of a graph are answered together: %s", self.executed_by)
        else:
            _log.info("calls of a graph are not answered together: %s", why)

    def _pays(self, row: Mapping[str, Array], size: int) -> bool:
        """Whether so many rows at once are faster than one by one.

        Raises:
            NotCompiledError: they are not answered as one by one, or nobody wants to know any more.
            Exception: whatever the graph fails with.
        """
        others = ({a: noise(v, seed) for a, v in row.items()} for seed in range(size - 1))
        rows = [row, *others]
        batch = joined(rows)
        with self._watched():
            self._settle(batch)
        with self._work.turn, self._watched():
            self._check(rows, batch)
            with ThreadPoolExecutor(size) as threads:
                trial = compared(
                    lambda: self._seconds(lambda: list(threads.map(self._run, rows))),
                    lambda: self._seconds(lambda: self._run(batch)),
                    lambda: self._closed,
                )
        return why_slow(trial) is None and min(trial.after) < MOST_SECONDS

    def _settle(self, batch: Mapping[str, Array]) -> None:
        """Have it compiled for these shapes, where that is done."""
        give_up = time.monotonic() + _SETTLING_SECONDS
        for _ in range(2):
            self._graph.run(batch, _RUN_SECONDS)
        while not self._graph.is_settled(batch):
            if time.monotonic() > give_up or self._closed:
                raise NotCompiledError("it was not compiled in time")
            time.sleep(0.05)

    def _check(self, rows: list[Mapping[str, Array]], batch: Mapping[str, Array]) -> None:
        answer = self._run(batch)
        for number, row in enumerate(rows):
            why = why_different(self._run(row), row_of(answer, number, len(rows)))
            if why is not None:
                raise NotCompiledError(why)

    def _run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        return self._graph.run_now(feeds, _RUN_SECONDS)

    def _seconds(self, run: Callable[[], object]) -> float:
        with self._work.measuring():
            began = time.perf_counter()
            run()
            return time.perf_counter() - began
