"""One version on one accelerator: its graphs there, sent, loaded, run and unloaded."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from accel_protocol.tensors import Array
from client_runtime.models.bundle import Bundle
from client_runtime.models.model import Model
from client_runtime.remote_model import RemoteModel
from client_runtime.serving.inference.fleet import Fleet, Seat
from client_runtime.serving.servable import Bounds
from client_runtime.transport.attachment import Attachment
from client_runtime.transport.exchange import Answer, Call

_MOST_EXTRA_GRAPHS = 8


@dataclass(frozen=True)
class Graph:
    """One selection of a version's model, and its bundle."""

    model: Model
    bundle: Bundle


class Replica:
    """See the module. Thread-safe, but for `in_flight`, which is the servable's own count.

    Args:
        fleet: holds what is loaded.
        seat: where.
    """

    def __init__(self, fleet: Fleet, seat: Seat) -> None:
        self._fleet, self.seat = fleet, seat
        self._models: dict[str, RemoteModel] = {}
        self._extra: OrderedDict[bytes, RemoteModel] = OrderedDict()
        self._held: list[bytes] = []
        self._lock = threading.Lock()
        self.in_flight = 0

    @property
    def accelerator(self) -> str:
        """The accelerator's id."""
        return self.seat.attachment.known_accelerator_id or self.seat.accelerator

    def load(self, key: str, graph: Graph, bounds: Bounds) -> None:
        """Send what is missing of a signature's graph, and load it.

        Raises:
            AcceleratorError: it cannot be loaded.
            OSError: a file cannot be read.
        """
        model = self._loaded(graph, bounds)
        with self._lock:
            self._models[key] = model

    def _loaded(self, graph: Graph, bounds: Bounds) -> RemoteModel:
        bundle, attachment = graph.bundle, self.seat.attachment
        self._fleet.hold(self.seat, bundle.graph_id)
        with self._lock:
            self._held.append(bundle.graph_id)
        call = Call(bundle.graph_id, {}, bounds.give_up_at, bounds.cancellation)
        try:
            attachment.prepare(bundle, call)
        except BaseException:
            # Without asking the accelerator to unload it: the request's time may be over.
            if self._dropped(bundle.graph_id):
                self._fleet.forget(self.seat, bundle.graph_id)
            raise

        def connect() -> Attachment:
            return attachment

        return RemoteModel(graph.model, connect, attachment, bundle)

    def run(self, key: str, feeds: Mapping[str, Array], bounds: Bounds) -> Answer:
        """Run a signature's graph.

        Raises:
            AcceleratorError, OSError: see `RemoteModel.run`.
        """
        return self._models[key].run(feeds, bounds.give_up_at, bounds.cancellation)

    def run_extra(self, graph: Graph, feeds: Mapping[str, Array], bounds: Bounds) -> Answer:
        """Run a graph that is no signature's; the few that were used last stay loaded.

        Raises:
            AcceleratorError, OSError: it cannot be loaded; see also `RemoteModel.run`.
        """
        graph_id = graph.bundle.graph_id
        with self._lock:
            model = self._extra.get(graph_id)
            if model is not None:
                self._extra.move_to_end(graph_id)
        if model is None:
            model = self._loaded(graph, bounds)
            self._keep(graph_id, model)
        return model.run(feeds, bounds.give_up_at, bounds.cancellation)

    def _keep(self, graph_id: bytes, model: RemoteModel) -> None:
        with self._lock:
            # Another request may have loaded it meanwhile, and it is held twice then.
            surplus = graph_id if graph_id in self._extra else None
            self._extra[graph_id] = model
            if len(self._extra) > _MOST_EXTRA_GRAPHS:
                surplus, _ = self._extra.popitem(last=False)
        if surplus is not None and self._dropped(surplus):
            self._fleet.release(self.seat, surplus)

    def _dropped(self, graph_id: bytes) -> bool:
        """Take one hold out of ours; False where all were let go of meanwhile."""
        with self._lock:
            if graph_id not in self._held:
                return False
            self._held.remove(graph_id)
            return True

    def unload(self) -> None:
        """Let go of all graphs; what nobody else uses is unloaded from the accelerator."""
        with self._lock:
            held, self._held = self._held, []
        for graph_id in held:
            self._fleet.release(self.seat, graph_id)
