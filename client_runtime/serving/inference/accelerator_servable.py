"""A version on accelerators: a graph for each signature, on each of them."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from accel_protocol.errors import Status
from accel_protocol.tensors import Array
from client_runtime.serving.inference.events import AcceleratorRun, Observer
from client_runtime.serving.inference.failures import as_serving_errors
from client_runtime.serving.inference.placement import least_busy
from client_runtime.serving.inference.replicas import Graph, Replica
from client_runtime.serving.servable import Bounds, ServableId
from client_runtime.serving.statuses import ServingError
from client_runtime.serving_wire.signatures_pb2 import SignatureDef
from client_runtime.transport.exchange import Answer

# Makes the graph of feeds and fetches, both by the names of tensors, which are the aliases too.
MakeGraph = Callable[[Sequence[str], Sequence[str]], Graph]


class AcceleratorServable:
    """See `Servable`; also runs other tensors than a signature's.

    Args:
        id_: which version.
        signatures: all of them.
        refused: why some cannot run, by key.
        replicas: where the others are loaded; at least one.
        make_graph: for `run_tensors`.
        vacate: is called when it is closed, for each replica.
        observer: is told of each run.
    """

    def __init__(
        self,
        id_: ServableId,
        signatures: Mapping[str, SignatureDef],
        refused: Mapping[str, str],
        replicas: Sequence[Replica],
        make_graph: MakeGraph,
        vacate: Callable[[Replica], None],
        observer: Observer,
    ) -> None:
        self.id, self.signatures = id_, signatures
        self._refused, self._replicas = refused, replicas
        self._make_graph, self._vacate, self._observer = make_graph, vacate, observer
        self._lock = threading.Lock()
        self._tokens = itertools.count()
        self._running: dict[int, Bounds] = {}
        self._closed = False

    def run(self, signature: str, feeds: Mapping[str, Array], bounds: Bounds) -> dict[str, Array]:
        """See `Servable.run`."""
        if signature in self._refused:
            raise ServingError(Status.FAILED_PRECONDITION, self._refused[signature])
        return self._observed(
            signature, bounds, lambda replica: replica.run(signature, feeds, bounds)
        )

    def run_tensors(
        self, feeds: Mapping[str, Array], fetches: Sequence[str], bounds: Bounds
    ) -> dict[str, Array]:
        """Any tensors of the graph, by their names.

        Raises:
            ServingError: see `Servable.run`; no such tensor (INVALID_ARGUMENT).
        """
        graph = self._make_graph(sorted(feeds), fetches)
        return self._observed("", bounds, lambda replica: replica.run_extra(graph, feeds, bounds))

    def _observed(
        self, signature: str, bounds: Bounds, run: Callable[[Replica], Answer]
    ) -> dict[str, Array]:
        bounds.left()
        started = time.perf_counter()
        with self._chosen(bounds) as replica, as_serving_errors():
            answer = run(replica)
        timing = answer.timing
        self._observer(
            AcceleratorRun(
                self.id.name,
                self.id.version,
                signature,
                replica.accelerator,
                time.perf_counter() - started,
                timing.queue,
                timing.load,
                timing.compute,
            )
        )
        return answer.fetches

    @contextmanager
    def _chosen(self, bounds: Bounds) -> Iterator[Replica]:
        """The replica for one run, which counts as busy inside the `with`."""
        with self._lock:
            if self._closed:
                raise self._gone()
            token = next(self._tokens)
            place = least_busy([replica.in_flight for replica in self._replicas], token)
            replica = self._replicas[place]
            replica.in_flight += 1
            self._running[token] = bounds
        try:
            yield replica
        except ServingError as error:
            if self._closed and error.status is Status.CANCELLED:
                raise self._gone() from error
            raise
        finally:
            with self._lock:
                replica.in_flight -= 1
                del self._running[token]

    def _gone(self) -> ServingError:
        return ServingError(
            Status.UNAVAILABLE, f"Version {self.id.version} of model {self.id.name} was unloaded."
        )

    def close(self) -> None:
        """See `Servable.close`."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            running = list(self._running.values())
        for bounds in running:
            bounds.cancellation.cancel()
        for replica in self._replicas:
            self._vacate(replica)
