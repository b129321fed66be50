"""TensorFlow, and behind it what makes its graphs faster."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path

from accel_daemon.engines.batching_graph import BatchingGraph
from accel_daemon.engines.compiled_graph import CompilingGraph, Maker
from accel_daemon.engines.compiled_stand_in import Reduced, compiled, prepared
from accel_daemon.engines.compiled_work import Work
from accel_daemon.engines.engine import Graph, Weights
from accel_daemon.engines.openvino_model import installed_version
from accel_daemon.engines.precisions import F32
from accel_daemon.engines.sharing import Shared
from accel_daemon.engines.tensorflow import TensorFlowEngine
from accel_protocol.manifest import Manifest

_COPIES = 4
"""Of a graph's files in memory while it is compiled: values, message, its bytes, the result."""


class CompilingEngine:
    """TensorFlow, with what can answer in its place behind it: OpenVINO, where it is installed.

    Args:
        engine: admits, loads, and answers first.
        watched: where a graph is at work while it is compiled, by its id.
        uncompiled: ids of graphs that are left to TensorFlow.
        compiles: whether graphs are compiled, and small ones prepared.
        batches: whether calls are answered together.
        precision: what graphs may be computed in, one of PRECISIONS.
        room: how many bytes of memory may be taken now.
    """

    def __init__(
        self,
        engine: TensorFlowEngine,
        watched: Callable[[bytes], AbstractContextManager[None]] = lambda _: nullcontext(),
        uncompiled: frozenset[bytes] = frozenset(),
        *,
        compiles: bool = True,
        batches: bool = True,
        precision: str = F32,
        room: Callable[[], int] = lambda: sys.maxsize,
    ) -> None:
        self._engine, self._watched, self._uncompiled = engine, watched, uncompiled
        compiler = installed_version() if compiles else None
        self.version = ", ".join(filter(None, (engine.version, compiler)))
        self._makers: list[Maker] = [prepared] if compiles else []
        if compiler is not None:
            self._makers.append(compiled)
        if compiles and precision != F32:
            self._makers.append(Reduced(precision))
        self._batches, self._room = batches, room
        self._work = Work()

    def weigh(self, folder: Path, manifest_: Manifest) -> Weights:
        """See `Engine.weigh`."""
        return self._engine.weigh(folder, manifest_)

    def load(self, folder: Path, manifest_: Manifest, shared: Shared | None = None) -> Graph:
        """See `Engine.load`."""
        graph = self._engine.load(folder, manifest_, shared)
        graph_id = manifest_.graph_id()
        if graph_id in self._uncompiled or not graph.is_steady:
            return graph
        makers = self._makers if graph.is_freezable() else []
        if makers:
            graph.keep_reads()
        watched = partial(self._watched, graph_id)
        needed = _COPIES * sum(file.size for file in manifest_.files)
        compiling = CompilingGraph(
            graph, self._work, watched, makers, lambda: self._room() >= needed
        )
        if not self._batches:
            return compiling
        return BatchingGraph(compiling, graph.why_not_batched, self._work, watched)
