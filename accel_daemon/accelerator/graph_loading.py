"""Loads graphs of one principal from their files, by themselves or sharing with others.

Everything here blocks, and happens on one thread: one graph at a time.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from accel_daemon.accelerator.emulation import Emulation, counted_bytes
from accel_daemon.accelerator.loaded_graph import Loaded, resident_bytes
from accel_daemon.accelerator.memory import needed_on_host
from accel_daemon.accelerator.run_costs import RunCosts
from accel_daemon.accelerator.store import BundleStore
from accel_daemon.accelerator.vigil import Vigil
from accel_daemon.engines.engine import Engine, Graph, Weights
from accel_daemon.engines.sharing import NotSharedError, Shared, Sharing
from accel_protocol.manifest import Manifest

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Opened:
    """A graph whose files are ready to be loaded. `weights` are weighed on emulated types only."""

    manifest: Manifest
    folder: Path
    weights: Weights


class GraphLoading:
    """See the module.

    Args:
        engine: loads them.
        store: holds their files.
        vigil: shows the supervisor what the engine does.
        emulation: the type that is emulated; None on `host`.
        sharing: what the principal's graphs share.
    """

    def __init__(
        self,
        engine: Engine,
        store: BundleStore,
        vigil: Vigil,
        emulation: Emulation | None,
        sharing: Sharing,
    ) -> None:
        self._engine, self._store, self._vigil = engine, store, vigil
        self._emulation, self._sharing = emulation, sharing

    def open(self, graph_id: bytes, check_files: Callable[[int], None]) -> Opened:
        """Verify a graph's files.

        Args:
            graph_id: its id.
            check_files: refuses them by their bytes.

        Raises:
            ModelMissingError, ModelError: see `BundleStore.bundle`.
        """
        manifest = self._store.manifest(graph_id)
        check_files(sum(file.size for file in manifest.files))
        folder = self._store.bundle(manifest)
        weights = Weights(0, 0)
        if self._emulation is not None:
            weights = self._engine.weigh(folder, manifest)
        return Opened(manifest, folder, weights)

    def needed(self, opened: Opened, counted: Callable[[Shared | None], int]) -> int:
        """The bytes that loading a graph takes, besides what is there of what it shares.

        Args:
            opened: the graph.
            counted: the bytes that count for the graphs that share something.
        """
        shared = self._sharing.look(opened.manifest)
        if self._emulation is None:
            whole = needed_on_host(opened.manifest.files)
        elif shared is None:
            whole = opened.weights.total
        else:
            whole = self._weigh(opened, shared).total
        return max(0, whole - counted(shared))

    def load(self, graph_id: bytes, opened: Opened) -> Loaded:
        """Load a graph.

        Raises:
            ModelError: see `Engine.load`.
        """
        while True:
            shared = self._sharing.enter(opened.manifest)
            if shared is None:
                return self._load(graph_id, opened, None)
            loaded = self._load_shared(graph_id, opened, shared)
            if loaded is not None:
                return loaded

    def _load_shared(self, graph_id: bytes, opened: Opened, shared: Shared) -> Loaded | None:
        """The graph; None where what it shares was closed meanwhile."""
        try:
            if not shared.has_place(graph_id):
                raise NotSharedError("there is no place for it beside the others")
            loaded = self._load(graph_id, opened, shared)
            if not shared.is_closed:
                return loaded
            loaded.graph.close()
        except NotSharedError as error:
            self._sharing.leave(shared)
            _log.warning("graph %s is loaded by itself: %s", graph_id.hex()[:12], error)
            return self._load(graph_id, opened, None)
        except BaseException:
            is_its_own_fault = not shared.is_closed
            self._sharing.leave(shared)
            if is_its_own_fault:
                raise
        else:
            self._sharing.leave(shared)
        return None

    def _load(self, graph_id: bytes, opened: Opened, shared: Shared | None) -> Loaded:
        before, started = resident_bytes(), time.monotonic()
        with self._vigil.load(graph_id).at_work():
            graph = self._engine.load(opened.folder, opened.manifest, shared)
        took, grown = time.monotonic() - started, resident_bytes() - before
        memory = self._counted(opened, grown, shared)
        if shared is not None:
            shared.selections[graph_id] = opened.manifest.selection
        return Loaded(graph_id, graph, memory, took, RunCosts(graph), shared)

    def _counted(self, opened: Opened, grown: int, shared: Shared | None) -> int:
        """What a graph counts as; together with those that share with it."""
        loads, weights = 1, opened.weights
        if shared is not None:
            shared.loads += 1
            shared.grown += max(0, grown)
            loads, grown = shared.loads, shared.grown
        if self._emulation is None:
            return max(grown, sum(file.size for file in opened.manifest.files))
        if shared is not None:
            weights = self._weigh(opened, shared)
        return counted_bytes(weights, grown, loads)

    def _weigh(self, opened: Opened, shared: Shared) -> Weights:
        return self._engine.weigh(opened.folder, shared.with_others(opened.manifest))

    def close(self, graph: Graph, shared: Shared | None) -> None:
        """Free a graph that was loaded, and what it shares when nobody else does."""
        graph.close()
        if shared is not None:
            self._sharing.leave(shared)
