"""From a version's folder to its graphs on accelerators."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from accel_protocol.errors import ModelError, Status
from accel_protocol.manifest import SAVED_MODEL, SHARED
from client_runtime.models import saved_model, selection
from client_runtime.models.bundle import Bundle, make_bundle
from client_runtime.models.model import Model
from client_runtime.models.selection import Choice, Selection
from client_runtime.serving.inference import fleet as fleets
from client_runtime.serving.inference import signatures as signatures_
from client_runtime.serving.inference.accelerator_version import AcceleratorVersion
from client_runtime.serving.inference.failures import as_serving_errors
from client_runtime.serving.inference.finishing import Finisher
from client_runtime.serving.inference.fleet import Fleet
from client_runtime.serving.inference.options import InferenceOptions
from client_runtime.serving.inference.replicas import Graph, Replica
from client_runtime.serving.servable import Bounds, Servable, ServableId
from client_runtime.serving.statuses import invalid
from client_runtime.serving_wire.signatures_pb2 import SignatureDef

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Version:
    """What a version's folder holds, its files digested once."""

    id: ServableId
    folder: Path
    tags: tuple[str, ...]
    signatures: Mapping[str, SignatureDef]
    files: Bundle

    def graph(self, chosen: Selection) -> Graph:
        model = Model(self.folder, SAVED_MODEL, chosen)
        return Graph(model, self.files.selecting(chosen.for_manifest()))

    def graphs(self) -> dict[str, Graph]:
        """Of each signature that can run."""
        return {
            key: self.graph(signatures_.selection_of(signature, self.tags))
            for key, signature in self.signatures.items()
            if signatures_.is_runnable(key, signature)
        }

    def graph_of_tensors(self, feeds: Sequence[str], fetches: Sequence[str]) -> Graph:
        """Of tensors by their names.

        Raises:
            ServingError: no such tensor, or the folder can no longer be read.
        """
        names = {name: name for name in feeds}, {name: name for name in fetches}
        choice = Choice(input_names=names[0], output_names=names[1], tags=list(self.tags))
        try:
            return self.graph(selection.select(saved_model.read(self.folder), choice))
        except (KeyError, ValueError) as error:
            raise invalid(str(error.args[0])) from error


class AcceleratorLoader:
    """See `Loader`; loads versions on the accelerators that discovery finds.

    Args:
        options: how.
        fleet: the accelerators; by default those that discovery finds.

    Raises:
        ConfigurationError: there is nothing to connect to; the message lists what was tried.
        ServingError: the batching parameters are wrong.
    """

    def __init__(self, options: InferenceOptions, fleet: Fleet | None = None) -> None:
        self._options, self._finisher = options, Finisher(options)
        self._fleet = fleet or fleets.discovered()

    def load(self, id_: ServableId, folder: Path, bounds: Bounds) -> Servable:
        """See `Loader.load`."""
        with as_serving_errors():
            version = self._read(id_, folder)
            engine, refused = self._placed(version, bounds)
        return self._finisher.finish(id_, folder, version.signatures, refused, engine, bounds)

    def _read(self, id_: ServableId, folder: Path) -> _Version:
        signatures = signatures_.read(folder, self._options.tags)
        files = saved_model.bundle_files(folder)
        nothing = Selection(signatures_.tag_set(self._options.tags), {}, {})
        # All graphs of a version have their variables in common, and no other version's.
        options = {SHARED: f"{id_.name}/{id_.version}"}
        bundle = make_bundle(files, SAVED_MODEL, nothing.for_manifest(), options)
        return _Version(id_, folder, self._options.tags, signatures, bundle)

    def _placed(
        self, version: _Version, bounds: Bounds
    ) -> tuple[AcceleratorVersion, dict[str, str]]:
        size, fleet = version.files.size, self._fleet
        seats = fleet.place(size, self._options.replicas_of(version.id.name))
        replicas = [Replica(fleet, seat) for seat in seats]

        def vacate(replica: Replica) -> None:
            replica.unload()
            fleet.leave(replica.seat, size)

        try:
            refused: dict[str, str] = {}
            for replica in replicas:
                refused |= _load_all(version, replica, bounds)
        except BaseException:
            for replica in replicas:
                vacate(replica)
            raise
        return AcceleratorVersion(replicas, version.graph_of_tensors, vacate), refused

    def close(self) -> None:
        """Close the connections to the accelerators."""
        self._fleet.close()


def _load_all(version: _Version, replica: Replica, bounds: Bounds) -> dict[str, str]:
    """Load what can be loaded; answers why other signatures cannot, by key.

    Raises:
        AcceleratorError: none can.
    """
    refused: dict[str, ModelError] = {}
    graphs = version.graphs()
    for key, graph in graphs.items():
        try:
            replica.load(key, graph, bounds)
        except ModelError as error:
            if error.status is not Status.INVALID_ARGUMENT or error.reason == "DIGEST_MISMATCH":
                raise  # for want of memory, say
            refused[key] = error
            _log.warning("signature %s of %s cannot run: %s", key, version.folder, error)
    if refused and len(refused) == len(graphs):
        raise next(iter(refused.values()))
    return signatures_.not_runnable(version.signatures) | {
        key: str(error) for key, error in refused.items()
    }
