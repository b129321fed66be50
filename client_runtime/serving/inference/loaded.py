"""A loaded version as the rest of the server knows it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from accel_protocol.errors import Status
from accel_protocol.tensors import Array
from client_runtime.serving.events import Observer, RunEnded
from client_runtime.serving.inference.engine import Engine, Ran
from client_runtime.serving.servable import Bounds, ServableId
from client_runtime.serving.statuses import ServingError
from client_runtime.serving_wire.signatures_pb2 import SignatureDef

# Runs one request's feeds, alone or in a batch with others'.
Run = Callable[[Mapping[str, Array], Bounds], Ran]


class LoadedVersion:
    """See `Servable`; also runs other tensors than a signature's.

    Args:
        id_: which version.
        signatures: all of them.
        refused: why some cannot run, by key.
        engine: runs the others.
        batched: runs in batches, by key.
        observer: is told of each run.
    """

    def __init__(
        self,
        id_: ServableId,
        signatures: Mapping[str, SignatureDef],
        refused: Mapping[str, str],
        engine: Engine,
        batched: Mapping[str, Run],
        observer: Observer,
    ) -> None:
        self.id, self.signatures = id_, signatures
        self._refused, self._engine, self._batched = refused, engine, batched
        self._observer = observer

    def run(self, signature: str, feeds: Mapping[str, Array], bounds: Bounds) -> dict[str, Array]:
        """See `Servable.run`."""
        if signature in self._refused:
            raise ServingError(Status.FAILED_PRECONDITION, self._refused[signature])
        together = self._batched.get(signature)
        if together is not None and feeds:
            return self._observed(signature, bounds, lambda: together(feeds, bounds))
        return self._observed(signature, bounds, lambda: self._engine.run(signature, feeds, bounds))

    def run_tensors(
        self, feeds: Mapping[str, Array], fetches: Sequence[str], bounds: Bounds
    ) -> dict[str, Array]:
        """Any tensors of the graph, by their names.

        Raises:
            ServingError: see `Servable.run`; no such tensor (INVALID_ARGUMENT).
        """
        return self._observed("", bounds, lambda: self._engine.run_tensors(feeds, fetches, bounds))

    def _observed(self, signature: str, bounds: Bounds, run: Callable[[], Ran]) -> dict[str, Array]:
        began_at = time.monotonic()
        ran, status = Ran({}, 0.0, 0.0), None
        try:
            ran = run()
        except ServingError as error:
            status = error.status
            raise
        finally:
            seconds = time.monotonic() - began_at
            self._observer(
                RunEnded(
                    bounds.caller,
                    self.id,
                    signature,
                    status,
                    began_at,
                    ran.queue_seconds,
                    ran.compute_seconds,
                    seconds,
                )
            )
        return ran.fetches

    def close(self) -> None:
        """See `Servable.close`."""
        self._engine.close()
