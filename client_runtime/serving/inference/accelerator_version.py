"""A version on accelerators: each run goes to one of its replicas."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from accel_protocol.errors import Status
from accel_protocol.tensors import Array
from client_runtime.serving.inference.engine import Ran
from client_runtime.serving.inference.failures import as_serving_errors
from client_runtime.serving.inference.placement import least_busy
from client_runtime.serving.inference.replicas import Graph, Replica
from client_runtime.serving.servable import Bounds
from client_runtime.serving.statuses import ServingError
from client_runtime.transport.exchange import Answer

# Makes the graph of feeds and fetches, both by the names of tensors, which are the aliases too.
MakeGraph = Callable[[Sequence[str], Sequence[str]], Graph]


class AcceleratorVersion:
    """See `Engine`.

    Args:
        replicas: at least one.
        make_graph: for `run_tensors`.
        vacate: is called when it is closed, for each replica.
    """

    def __init__(
        self, replicas: Sequence[Replica], make_graph: MakeGraph, vacate: Callable[[Replica], None]
    ) -> None:
        self._replicas, self._make_graph, self._vacate = replicas, make_graph, vacate
        self._lock = threading.Lock()
        self._tokens = itertools.count()
        self._running: dict[int, Bounds] = {}
        self._closed = False

    def run(self, signature: str, feeds: Mapping[str, Array], bounds: Bounds) -> Ran:
        """See `Engine.run`."""
        with self._chosen(bounds) as replica, as_serving_errors():
            return _ran(replica.run(signature, feeds, bounds))

    def run_tensors(
        self, feeds: Mapping[str, Array], fetches: Sequence[str], bounds: Bounds
    ) -> Ran:
        """See `Engine.run_tensors`."""
        graph = self._make_graph(sorted(feeds), fetches)
        with self._chosen(bounds) as replica, as_serving_errors():
            return _ran(replica.run_extra(graph, feeds, bounds))

    @contextmanager
    def _chosen(self, bounds: Bounds) -> Iterator[Replica]:
        """The replica for one run, which counts as busy inside the `with`."""
        bounds.left()
        with self._lock:
            if self._closed:
                raise _gone()
            token = next(self._tokens)
            place = least_busy([replica.in_flight for replica in self._replicas], token)
            replica = self._replicas[place]
            replica.in_flight += 1
            self._running[token] = bounds
        try:
            yield replica
        except ServingError as error:
            if self._closed and error.status is Status.CANCELLED:
                raise _gone() from error
            raise
        finally:
            with self._lock:
                replica.in_flight -= 1
                del self._running[token]

    def close(self) -> None:
        """See `Engine.close`."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            running = list(self._running.values())
        for bounds in running:
            bounds.cancellation.cancel()
        for replica in self._replicas:
            self._vacate(replica)


def _ran(answer: Answer) -> Ran:
    return Ran(answer.fetches, answer.timing.queue, answer.timing.compute)


def _gone() -> ServingError:
    return ServingError(Status.UNAVAILABLE, "The model's version was unloaded meanwhile.")
