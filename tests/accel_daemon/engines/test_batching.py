"""Calls of one graph that are answered together, and nobody can tell."""

from __future__ import annotations

import concurrent.futures
import threading
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from accel_daemon.engines import batching
from accel_daemon.engines.batching import CROWD, RowQueue, RowQueues
from accel_daemon.engines.engine import Cost, TensorSpec
from accel_protocol.errors import CancelledError, DeadlineError, GraphError
from tests.conftest import eventually

ROWS = 6


class Doubling:
    """Answers with twice its feed, when it is let; a negative feed fails.

    Attributes:
        sizes: how many rows each run had.
    """

    repeatable, executed_by = True, "doubling"

    def __init__(self) -> None:
        self.feeds = {"x": TensorSpec("x", "x:0", 1, (-1, 2))}
        self.fetches = {"y": TensorSpec("y", "y:0", 1, (-1, 2))}
        self.sizes: list[int] = []
        self.go_on = threading.Semaphore(0)
        self.error: Exception | None = None

    def run(self, feeds: Mapping[str, Any], timeout: float | None) -> dict[str, Any]:
        """See `Graph.run`."""
        self.sizes.append(len(feeds["x"]))
        if not self.go_on.acquire(timeout=timeout):
            raise DeadlineError("The graph was stopped: the call's time ran out.")
        if self.error is not None:
            raise self.error
        if (feeds["x"] < 0).any():
            raise GraphError("a negative feed")
        return {"y": feeds["x"] * 2}

    def cost(self, shapes: Mapping[str, Any]) -> Cost | None:
        """Not told."""
        return None

    def close(self) -> None:
        """Nothing to do."""


@pytest.fixture(autouse=True)
def two_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this machine has."""
    monkeypatch.setattr(batching.os, "sched_getaffinity", lambda _: {0, 1})


def queue_of(graph: Doubling, sizes: tuple[int, ...] = (8, 4)) -> RowQueue:
    """A queue of which the sizes are known."""
    queue = RowQueue(graph, lambda *_: None)
    queue.sizes = sizes
    return queue


def row(number: float) -> dict[str, Any]:
    """A feed."""
    return {"x": np.array([[number, 1]], np.float32)}


class Callers:
    """Threads that call a queue, of which two run and the others wait."""

    def __init__(
        self, graph: Doubling, queue: RowQueue, numbers: list[float], **timeouts: Any
    ) -> None:
        self.threads = concurrent.futures.ThreadPoolExecutor(len(numbers))
        self.calls = []
        for place, number in enumerate(numbers):
            timeout = timeouts.get(f"call_{place}", 60)
            self.calls.append(self.threads.submit(queue.run, row(number), timeout))
            eventually(lambda: len(graph.sizes) + len(queue._queue) > len(self.calls) - 1)

    def answers(self) -> list[Any]:
        """What all of them got, or were told."""
        return [call.exception(60) or call.result()["y"][0, 0] for call in self.calls]


def test_calls_that_wait_are_answered_together() -> None:
    """Each gets its own row, and those that do not wait are not kept."""
    graph = Doubling()
    queue = queue_of(graph)
    callers = Callers(graph, queue, list(range(ROWS)))
    assert graph.sizes == [1, 1]
    graph.go_on.release()
    eventually(lambda: graph.sizes == [1, 1, 4])
    graph.go_on.release(9)
    assert callers.answers() == [0, 2, 4, 6, 8, 10]
    assert graph.sizes == [1, 1, 4]
    assert queue._running == 0


def test_too_few_are_answered_one_by_one() -> None:
    """In their order."""
    graph = Doubling()
    callers = Callers(graph, queue_of(graph), [1, 2, 3, 4])
    graph.go_on.release(9)
    assert callers.answers() == [2, 4, 6, 8]
    assert graph.sizes == [1, 1, 1, 1]


def test_one_bad_feed_fails_its_own_call_alone() -> None:
    """The others of its batch are answered one by one."""
    graph = Doubling()
    callers = Callers(graph, queue_of(graph), [0, 1, 2, -3, 4, 5])
    graph.go_on.release(9)
    answers = callers.answers()
    assert isinstance(answers.pop(3), GraphError)
    assert answers == [0, 2, 4, 8, 10]
    assert sorted(graph.sizes) == [1, 1, 1, 1, 1, 1, 4]


def test_an_answer_without_one_row_for_each_call_is_none() -> None:
    """The rules make sure of it; this is for the day when they are wrong."""
    graph = Doubling()
    run = graph.run
    graph.run = lambda *call: {"y": run(*call)["y"][:1]}  # type: ignore[method-assign]
    callers = Callers(graph, queue_of(graph), list(range(ROWS)))
    graph.go_on.release(9)
    assert callers.answers() == [0, 2, 4, 6, 8, 10]


def test_whose_time_is_over_leaves_the_queue() -> None:
    """At once, and the others do without."""
    graph = Doubling()
    queue = queue_of(graph)
    callers = Callers(graph, queue, list(range(ROWS + 1)), call_4=0.05)
    assert isinstance(callers.calls[4].exception(60), DeadlineError)
    assert len(queue._queue) == 4
    graph.go_on.release(9)
    answers = callers.answers()
    assert answers[:4] + answers[5:] == [0, 2, 4, 6, 10, 12]


def test_whose_time_is_over_leaves_a_batch_that_runs() -> None:
    """Who has most time leads it, so that nobody is stopped by another's deadline."""
    graph = Doubling()
    callers = Callers(graph, queue_of(graph), list(range(ROWS)), call_2=2.0)
    graph.go_on.release()
    eventually(lambda: graph.sizes == [1, 1, 4])
    assert isinstance(callers.calls[2].exception(60), DeadlineError)
    graph.go_on.release(9)
    answers = callers.answers()
    assert answers[:2] + answers[3:] == [0, 2, 6, 8, 10]


def test_a_batch_that_is_late_is_late_for_all() -> None:
    """No call waits longer than it may."""
    graph = Doubling()
    began = time.monotonic()
    slow = {f"call_{place}": 0.3 for place in range(ROWS)}
    callers = Callers(graph, queue_of(graph), list(range(ROWS)), **slow)
    assert all(isinstance(one, DeadlineError) for one in callers.answers())
    assert time.monotonic() - began < 60


def test_a_graph_that_is_stopped_is_so_for_all() -> None:
    """For each its own error."""
    graph = Doubling()
    graph.error = CancelledError("The graph was stopped.")
    queue = queue_of(graph)
    callers = Callers(graph, queue, list(range(ROWS)))
    graph.go_on.release(9)
    answers = callers.answers()
    assert all(isinstance(one, CancelledError) for one in answers)
    assert queue._running == 0


def test_a_crowd_is_told_of_once() -> None:
    """And nobody waits before it is known what pays."""
    graph, told = Doubling(), list[Any]()
    queue = RowQueue(graph, lambda _, feeds: told.append(feeds))
    graph.go_on.release(10**6)
    with queue._lock:
        queue._running = 2
    for _ in range(CROWD + 5):
        queue.run(row(1), None)
    assert len(told) == 1
    assert len(graph.sizes) == CROWD + 5


@pytest.mark.parametrize(
    "feeds",
    [
        {},
        {"x": np.zeros((2, 2), np.float32)},
        {"x": np.zeros((), np.float32)},
        {"x": np.zeros((1, batching._MOST_BYTES), np.float32)},
        {"x": np.zeros((1, 2), np.float32), "z": np.zeros((1, 2), np.float32)},
    ],
)
def test_only_single_rows_of_all_feeds_share_a_lane(feeds: dict[str, Any]) -> None:
    """And small ones: several are held at one time."""
    assert RowQueues(Doubling(), lambda *_: None).of(feeds) is None


def test_rows_of_other_shapes_have_other_queues() -> None:
    """A bounded number of them."""
    queues = RowQueues(Doubling(), lambda *_: None)
    found = [queues.of({"x": np.zeros((1, size), np.float32)}) for size in range(9)]
    assert len(set(filter(None, found))) == batching._MOST_QUEUES
    assert queues.of({"x": np.zeros((1, 0), np.float32)}) is found[0]
    assert queues.of({"x": np.zeros((1, 0), np.float64)}) is None
