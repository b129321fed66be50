"""The graphs that are loaded, and loading them when someone asks.

Work that blocks (verifying files, loading, running) happens on threads; all bookkeeping happens on
the event loop, so none of it needs a lock.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import psutil

from accel_daemon.accelerator.residency import Residency
from accel_daemon.accelerator.run_queue import RunQueue
from accel_daemon.accelerator.run_stream import Call, Timing
from accel_daemon.accelerator.store import BundleStore
from accel_daemon.engines.engine import Engine, Graph
from accel_protocol.errors import AnswerLostError, CancelledError, DeadlineError
from accel_protocol.limits import Limits
from accel_protocol.manifest import Manifest
from accel_protocol.tensors import Array

# Most cancelled runs are over by themselves within this time, in seconds.
_CANCEL_GRACE_SECONDS = 0.25
_log = logging.getLogger(__name__)


@dataclass
class Loaded:
    """One loaded graph and what is known of it. Times in seconds."""

    graph_id: bytes
    graph: Graph
    memory_bytes: int
    load_time: float
    runs: int = 0
    failed_runs: int = 0
    queue_time: float = 0.0
    compute_time: float = 0.0
    stopped: bool = False

    def count(self, timing: Timing) -> None:
        """A run was answered."""
        self.runs += 1
        self.queue_time += timing.queue
        self.compute_time += timing.compute


@dataclass(frozen=True)
class Outcome:
    """What a call brought."""

    fetches: Mapping[str, Array]
    timing: Timing
    repeatable: bool


class GraphTable:
    """The loaded graphs of one principal."""

    def __init__(
        self, engine: Engine, store: BundleStore, limits: Limits, capacity_bytes: int | None = None
    ) -> None:
        self._engine, self._store = engine, store
        self._residency = Residency(capacity_bytes)
        self._queue = RunQueue(limits)
        self._threads = ThreadPoolExecutor(limits.concurrent_runs, thread_name_prefix="run")
        # One at a time, so that the memory a graph takes can be told from the process's growth.
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="load")
        self._loaded: dict[bytes, Loaded] = {}
        self._loading: dict[bytes, asyncio.Future[Loaded]] = {}
        self.loads = 0

    @property
    def loaded(self) -> list[Loaded]:
        """What is loaded now."""
        return list(self._loaded.values())

    def is_here(self, graph_id: bytes) -> bool:
        """Whether the graph is loaded, or can most probably be loaded from the store."""
        return graph_id in self._loaded or self._store.has_manifest(graph_id)

    async def load(self, manifest: Manifest) -> Loaded:
        """Load a graph whose manifest the caller has shown, and remember the manifest.

        Raises:
            ModelMissingError, ModelError: see BundleStore.bundle and Engine.load.
        """
        graph_id = manifest.graph_id()
        if graph_id not in self._loaded:
            await asyncio.to_thread(self._store.keep_manifest, manifest)
        return await self._get(graph_id)

    async def run(self, call: Call) -> Outcome:
        """Run a call, loading its graph first when it is not.

        Raises:
            ModelMissingError, ModelError, BusyError, DeadlineError, FeedError, GraphError.
        """
        received = time.monotonic()
        while True:
            loaded = self._loaded.get(call.graph_id)
            if loaded is None:
                left = _left(call.timeout, received)
                loaded = await _within(self._get(call.graph_id), left)
            try:
                return await self._run_on(loaded, call, received)
            except CancelledError:
                # Another caller's cancelled run took the graph with it. Load it and run again.
                if not loaded.stopped:
                    raise
                if not loaded.graph.repeatable:
                    raise AnswerLostError("The graph was stopped while this call ran.") from None

    async def _run_on(self, loaded: Loaded, call: Call, received: float) -> Outcome:
        ready = time.monotonic()
        self._residency.pin(call.graph_id)
        try:
            async with self._queue.place(_left(call.timeout, received)):
                fetches, compute = await self._on_thread(
                    loaded, call, _left(call.timeout, received)
                )
        except Exception:  # not a cancelled stream: nobody is told of an error then
            loaded.failed_runs += 1
            raise
        finally:
            self._residency.unpin(call.graph_id)
        queue = time.monotonic() - ready - compute
        timing = Timing(queue, compute, ready - received)
        loaded.count(timing)
        return Outcome(fetches, timing, loaded.graph.repeatable)

    async def _on_thread(
        self, loaded: Loaded, call: Call, timeout: float | None
    ) -> tuple[dict[str, Array], float]:
        """The fetches, and the seconds inside the engine."""
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(self._threads, _timed, loaded.graph, call.feeds, timeout)
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            loop.call_later(_CANCEL_GRACE_SECONDS, self._stop, loaded, work)
            raise

    def _stop(self, loaded: Loaded, work: asyncio.Future[tuple[dict[str, Array], float]]) -> None:
        """Stop a cancelled run that still goes on, by closing its graph.

        TensorFlow can stop all runs of a Session or none. The graph is loaded again for whoever
        else uses it.
        """
        if work.done():
            work.exception()  # looked at, so that asyncio does not complain
            return
        work.add_done_callback(lambda done: done.exception())
        loaded.stopped = True
        if self._loaded.get(loaded.graph_id) is loaded:
            self.unload(loaded.graph_id)

    async def _get(self, graph_id: bytes) -> Loaded:
        if graph_id in self._loaded:
            return self._loaded[graph_id]
        if graph_id not in self._loading:
            future = asyncio.get_running_loop().run_in_executor(
                self._loader, self._load_from_store, graph_id
            )
            self._loading[graph_id] = future
            future.add_done_callback(lambda done: self._keep(graph_id, done))
        # Shielded, because others may wait for the same load when one caller gives up.
        return await asyncio.shield(self._loading[graph_id])

    def _load_from_store(self, graph_id: bytes) -> Loaded:
        manifest = self._store.manifest(graph_id)
        self._residency.check_fits(sum(file.size for file in manifest.files))
        folder = self._store.bundle(manifest)
        before, started = resident_bytes(), time.monotonic()
        graph = self._engine.load(folder, manifest)
        took = time.monotonic() - started
        grown = max(resident_bytes() - before, sum(file.size for file in manifest.files))
        return Loaded(graph_id, graph, grown, took)

    def _keep(self, graph_id: bytes, done: asyncio.Future[Loaded]) -> None:
        del self._loading[graph_id]
        if done.cancelled() or done.exception() is not None:
            return
        loaded = done.result()
        self._loaded[graph_id] = loaded
        self.loads += 1
        self._residency.add(graph_id, loaded.memory_bytes)
        _log.info("loaded graph %s in %.2f s", graph_id.hex()[:12], loaded.load_time)
        self._residency.pin(graph_id)
        for victim in self._residency.to_evict():
            self.unload(victim)
        self._residency.unpin(graph_id)

    def unload(self, graph_id: bytes) -> None:
        """Forget a loaded graph; its files stay. Nothing happens when it is not loaded."""
        loaded = self._loaded.pop(graph_id, None)
        self._residency.remove(graph_id)
        if loaded is not None:
            loaded.stopped = True
            loaded.graph.close()
            _log.info("unloaded graph %s", graph_id.hex()[:12])

    def set_pressure(self, pressure_bytes: int | None) -> None:
        """Leave graphs so much memory at most; idle ones that no longer fit are evicted at once."""
        self._residency.set_pressure(pressure_bytes)
        for victim in self._residency.to_evict():
            self.unload(victim)

    @property
    def memory_bytes(self) -> int:
        """Measured bytes of all loaded graphs."""
        return self._residency.used_bytes


async def _within(work: asyncio.Future[Loaded] | object, timeout: float | None) -> Loaded:
    try:
        return await asyncio.wait_for(work, timeout)  # type: ignore[arg-type]
    except TimeoutError:
        raise DeadlineError("The call's time ran out while its graph was loaded.") from None


def _timed(
    graph: Graph, feeds: Mapping[str, Array], timeout: float | None
) -> tuple[dict[str, Array], float]:
    started = time.monotonic()
    fetches = graph.run(feeds, timeout)
    return fetches, time.monotonic() - started


def _left(timeout: float | None, since: float) -> float | None:
    """Seconds left of a time-out that began at `since`.

    Raises:
        DeadlineError: none.
    """
    if timeout is None:
        return None
    left = timeout - (time.monotonic() - since)
    if left <= 0:
        raise DeadlineError("The call's time ran out before it could run.")
    return left


def resident_bytes() -> int:
    """Resident memory of this process."""
    return int(psutil.Process().memory_info().rss)
