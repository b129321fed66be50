"""Threads that wait for batches: who runs them, who is told, and who gives up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from accel_protocol.errors import CancelledError, Status
from accel_protocol.tensors import Array
from client_runtime.serving.events import BatchEnded
from client_runtime.serving.inference.batching.batcher import Batcher, BatchSource
from client_runtime.serving.inference.batching.rules import BatchRules
from client_runtime.serving.inference.batching.scheduler import Scheduler
from client_runtime.serving.inference.engine import Ran
from client_runtime.serving.servable import Bounds, ServableId
from client_runtime.serving.statuses import ServingError
from tests.conftest import eventually, patience


@dataclass
class Graph:
    """Doubles what it is fed; one that is shut lets no run begin before it is opened.

    Attributes:
        sizes: rows of the runs that began.
        threads: which ran them.
        events: what was told of batches.
    """

    places: int = 1
    rules: BatchRules = field(default_factory=BatchRules)
    shut: bool = False
    failure: Exception | None = None
    sizes: list[int] = field(default_factory=list)
    bounds: list[Bounds] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)
    events: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.gate = threading.Event()
        if not self.shut:
            self.gate.set()
        source = BatchSource(ServableId("m", 1), "s", "pool")
        self.batcher = Batcher(
            Scheduler(self.places), self.rules, self.run, source, self.events.append
        )

    def run(self, feeds: Mapping[str, Array], bounds: Bounds) -> Ran:
        """As an engine does it."""
        self.sizes.append(len(feeds["x"]))
        self.bounds.append(bounds)
        self.threads.append(threading.get_ident())
        while not self.gate.wait(0.01):
            if bounds.cancellation.cancelled:
                raise ServingError(Status.CANCELLED, "The call was cancelled.")
        if self.failure is not None:
            raise self.failure
        return Ran({"y": np.asarray(feeds["x"]) * 2}, 0.25, 0.5)

    def ask(self, *values: float, bounds: Bounds | None = None) -> Future[Ran]:
        """Let a thread run a request with these rows."""
        feeds, future = {"x": np.float32(values)}, Future[Ran]()

        def run() -> None:
            try:
                future.set_result(self.batcher.run(feeds, bounds or Bounds()))
            except ServingError as error:
                future.set_exception(error)

        threading.Thread(target=run, daemon=True).start()
        return future

    def waiting(self, tasks: int) -> Callable[[], bool]:
        """Whether so many tasks wait in the queue."""
        batches = self.batcher._line.queue._batches
        return lambda: sum(len(b.pieces) for b in list(batches)) == tasks

    def occupy(self) -> Future[Ran]:
        """Let one request run until the gate is opened."""
        first = self.ask(0.0)
        eventually(lambda: self.sizes == [1])
        return first


def rows(future: Future[Ran]) -> list[float]:
    """The rows of an answer."""
    answer: list[float] = future.result(patience(30)).fetches["y"].tolist()
    return answer


def test_a_request_that_is_alone_runs_on_its_own_thread() -> None:
    """Nothing is handed over, and nothing is waited for."""
    graph = Graph()
    ran = graph.batcher.run({"x": np.float32([1, 2])}, Bounds())
    assert ran.fetches["y"].tolist() == [2, 4]
    assert graph.threads == [threading.get_ident()]
    assert (ran.compute_seconds, ran.queue_seconds >= 0.25) == (0.5, True)


def test_what_comes_while_a_batch_runs_runs_together() -> None:
    """Each request gets its own rows; observers learn of both batches."""
    graph = Graph(shut=True, rules=BatchRules(allowed=(1, 4, 8), most_rows_of_batch=8))
    first = graph.occupy()
    others = [graph.ask(float(n), float(-n)) for n in (1, 2, 3)]
    eventually(graph.waiting(3))
    graph.gate.set()
    assert rows(first) == [0]
    assert [rows(one) for one in others] == [[2, -2], [4, -4], [6, -6]]
    assert graph.sizes == [1, 8]  # six rows and two of padding
    eventually(lambda: len(graph.events) == 2)
    event: BatchEnded = graph.events[1]
    assert (event.rows, event.execution_rows, event.status) == ((2, 2, 2), 8, None)
    assert event.thread_pool_name == "pool"
    assert all(seconds > 0 for seconds in event.queue_seconds)


def test_batches_of_all_run_side_by_side_where_there_are_places() -> None:
    """Two places, two runs at one time."""
    graph = Graph(places=2, shut=True)
    asked = [graph.ask(1.0), graph.ask(2.0)]
    eventually(lambda: graph.sizes == [1, 1])
    graph.gate.set()
    assert sorted(rows(one) for one in asked) == [[2], [4]]


def test_a_batch_waits_for_more_until_it_is_full() -> None:
    """Well before its time-out."""
    graph = Graph(rules=BatchRules(most_rows_of_batch=2, timeout=patience(600)))
    asked = [graph.ask(1.0), graph.ask(2.0)]
    assert sorted(rows(one) for one in asked) == [[2], [4]]
    assert graph.sizes == [2]


def test_a_batch_runs_when_its_timeout_ends() -> None:
    """Although it is not full."""
    graph = Graph(rules=BatchRules(timeout=0.05))
    assert (rows(graph.ask(1.0)), graph.sizes) == ([2], [1])


def test_who_goes_leaves_the_watch_to_the_next() -> None:
    """The first task's thread knows when the batch is due; it is cancelled before that."""
    graph = Graph(rules=BatchRules(timeout=0.2))
    bounds = Bounds()
    first = graph.ask(1.0, bounds=bounds)
    eventually(graph.waiting(1))
    second = graph.ask(2.0)
    eventually(graph.waiting(2))
    bounds.cancellation.cancel()
    with pytest.raises(ServingError) as caught:
        first.result(patience(30))
    assert caught.value.status is Status.CANCELLED
    assert (rows(second), graph.sizes) == ([4], [1])


def test_who_is_first_after_a_batch_watches_the_time() -> None:
    """The batch before it ran; nobody else knows when the next, which is not full, is due."""
    graph = Graph(shut=True, rules=BatchRules(most_rows_of_batch=3, timeout=patience(1)))
    first = graph.ask(1.0, 1.0, 1.0)
    eventually(lambda: graph.sizes == [3])
    second = graph.ask(2.0, 2.0)
    eventually(graph.waiting(1))
    third = graph.ask(3.0, 3.0)
    eventually(graph.waiting(2))
    graph.gate.set()
    assert [rows(one) for one in (first, second, third)] == [[2] * 3, [4] * 2, [6] * 2]


def test_what_waits_too_long_is_dropped_before_it_runs() -> None:
    """Its rows never reach the graph."""
    graph = Graph(shut=True)
    first = graph.occupy()
    with pytest.raises(ServingError, match="Run\\(\\) timeout exceeded while waiting") as caught:
        graph.ask(1.0, bounds=Bounds(time.monotonic() + 0.05)).result(patience(30))
    assert caught.value.status is Status.RESOURCE_EXHAUSTED
    graph.gate.set()
    assert (rows(first), graph.sizes) == ([0], [1])


def test_a_batch_has_the_time_of_its_most_patient_request() -> None:
    """The hasty one gives up alone."""
    graph = Graph(shut=True)
    first = graph.occupy()
    hasty = graph.ask(1.0, bounds=Bounds(time.monotonic() + patience(2)))
    patient = graph.ask(2.0, bounds=Bounds(time.monotonic() + patience(60)))
    eventually(graph.waiting(2))
    graph.gate.set()
    rows(first), rows(hasty), rows(patient)
    assert graph.sizes == [1, 2]
    assert graph.bounds[0].give_up_at is None
    assert (graph.bounds[1].give_up_at or 0) > time.monotonic() + patience(30)


def test_a_batch_that_nobody_waits_for_is_stopped() -> None:
    """Its requests were cancelled while it ran; one of them on whose thread it runs."""
    graph = Graph(shut=True)
    bounds = Bounds()
    asked = graph.ask(1.0, bounds=bounds)
    eventually(lambda: graph.sizes == [1])
    bounds.cancellation.cancel()
    with pytest.raises(ServingError) as caught:
        asked.result(patience(30))
    assert caught.value.status is Status.CANCELLED


def test_a_cancelled_request_leaves_others_in_its_batch() -> None:
    """It gets away at once; they get their answers."""
    graph = Graph(shut=True, rules=BatchRules(most_rows_of_batch=2, timeout=patience(600)))
    bounds = Bounds()
    leader = graph.ask(1.0)
    eventually(graph.waiting(1))
    follower = graph.ask(2.0, bounds=bounds)
    eventually(lambda: graph.sizes == [2])
    bounds.cancellation.cancel()
    with pytest.raises(ServingError):
        follower.result(patience(30))
    graph.gate.set()
    assert rows(leader) == [2]


def test_a_large_request_runs_in_parts() -> None:
    """Side by side where there are places; the answer is whole."""
    rules = BatchRules(most_rows_of_task=10, most_rows_of_batch=4, splits=True)
    for places in (1, 3):
        graph = Graph(places=places, rules=rules)
        assert rows(graph.ask(*range(10))) == [2 * n for n in range(10)]
        assert sorted(graph.sizes) == [2, 4, 4]


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (ServingError(Status.UNAVAILABLE, "gone"), Status.UNAVAILABLE),
        (CancelledError("cancelled"), Status.CANCELLED),
        (ZeroDivisionError(), Status.INTERNAL),
    ],
)
def test_a_failure_reaches_every_request_of_a_batch(failure: Exception, status: Status) -> None:
    """And the next batch has its place."""
    graph = Graph(rules=BatchRules(most_rows_of_batch=2, timeout=patience(600)), failure=failure)
    for asked in [graph.ask(1.0), graph.ask(2.0)]:
        with pytest.raises(ServingError) as caught:
            asked.result(patience(30))
        assert caught.value.status is status
    graph.failure = None
    assert sorted(rows(one) for one in [graph.ask(3.0), graph.ask(4.0)]) == [[6], [8]]


def test_a_request_without_rows_runs_alone() -> None:
    """There is nothing to be put together."""
    graph = Graph(rules=BatchRules(allowed=(4,), most_rows_of_batch=4))
    assert (rows(graph.ask()), graph.sizes) == ([], [0])


def test_a_request_that_was_cancelled_before_does_not_wait() -> None:
    """It is never in the queue."""
    bounds = Bounds()
    bounds.cancellation.cancel()
    with pytest.raises(ServingError) as caught:
        Graph().batcher.run({"x": np.float32([1])}, bounds)
    assert caught.value.status is Status.CANCELLED
