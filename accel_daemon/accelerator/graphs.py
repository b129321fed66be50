"""The graphs that are loaded, and loading them when someone asks.

Work that blocks (verifying files, loading, running) happens on threads; all bookkeeping happens on
the event loop, so none of it needs a lock.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

from accel_daemon.accelerator.direct_runs import DirectRuns, Work
from accel_daemon.accelerator.emulation import (
    Emulation,
    allowed_growth,
    too_large,
)
from accel_daemon.accelerator.graph_loading import GraphLoading, Opened
from accel_daemon.accelerator.loaded_graph import Loaded, Outcome, left_of, resident_bytes
from accel_daemon.accelerator.memory import AcceleratorMemory
from accel_daemon.accelerator.memory_watch import MemoryWatch
from accel_daemon.accelerator.pacing import Turn
from accel_daemon.accelerator.run_queue import Place, RunQueue
from accel_daemon.accelerator.run_stream import Call, Timing
from accel_daemon.accelerator.store import BundleStore
from accel_daemon.accelerator.vigil import Vigil
from accel_daemon.engines.engine import Cost, Engine, Graph
from accel_daemon.engines.sharing import Shared, Sharing
from accel_daemon.flight_record import Entry
from accel_daemon.machine_memory import give_back_freed
from accel_protocol.errors import AcceleratorError, AnswerLostError, CancelledError, DeadlineError
from accel_protocol.limits import Limits
from accel_protocol.manifest import Manifest
from accel_protocol.tensors import Array

# Most cancelled runs are over by themselves within this time, in seconds.
_CANCEL_GRACE_SECONDS = 0.25
# How often the memory of runs on an emulated type is looked at.
_WATCH_SECONDS = 0.1
_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_Work = asyncio.Future[tuple[dict[str, Array], float]]
_AnyWork = asyncio.Future[Any] | Work


class GraphTable:
    """The loaded graphs of one principal.

    Args:
        engine: executes them.
        store: holds their files.
        limits: bound how many run and wait.
        capacity_bytes: what idle graphs are evicted above, where nothing is emulated.
        emulation: the type that is emulated; None on `host`.
        vigil: shows the supervisor what the engine does.
        watch: stops what takes more memory than there is.

    Attributes:
        direct: runs on the threads of lanes, where nothing is emulated.
    """

    def __init__(
        self,
        engine: Engine,
        store: BundleStore,
        limits: Limits,
        capacity_bytes: int | None = None,
        emulation: Emulation | None = None,
        vigil: Vigil | None = None,
        watch: MemoryWatch | None = None,
    ) -> None:
        self._vigil = vigil or Vigil.in_memory(limits)
        self._watch = watch or MemoryWatch()
        self._watch.relieve.append(self._relieve)
        self._store, self._emulation = store, emulation
        self._sharing = Sharing()
        self._files = GraphLoading(engine, store, self._vigil, emulation, self._sharing)
        self._memory = AcceleratorMemory(capacity_bytes, emulation)
        self._residency = self._memory.residency
        self._queue = RunQueue(limits)
        self._threads = ThreadPoolExecutor(limits.concurrent_runs, thread_name_prefix="run")
        # One at a time, so that the memory a graph takes can be told from the process's growth.
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="load")
        self._loaded: dict[bytes, Loaded] = {}
        self._loading: dict[bytes, asyncio.Task[Loaded]] = {}
        self._load_turn = asyncio.Lock()
        self.loads = 0
        self.direct = DirectRuns(
            self._loaded, self._residency, self._queue, self._vigil, self._watch, self
        )
        # Their files are removed for nobody. Asked on threads: `list` of a dict is one step.
        store.in_use = lambda: frozenset([*list(self._loaded), *list(self._loading)])

    @property
    def loaded(self) -> list[Loaded]:
        """What is loaded now."""
        return list(self._loaded.values())

    def is_loaded(self, graph_id: bytes) -> bool:
        """Whether a run on it would begin at once."""
        return graph_id in self._loaded

    def is_here(self, graph_id: bytes) -> bool:
        """Whether the graph is loaded, or can most probably be loaded from the store."""
        return graph_id in self._loaded or self._store.has_manifest(graph_id)

    async def load(self, manifest: Manifest) -> Loaded:
        """Load a graph whose manifest the caller has shown, and remember the manifest.

        Raises:
            ModelMissingError, ModelError: see BundleStore.bundle and Engine.load.
            ModelError: it is larger than the emulated memory (MODEL_TOO_LARGE).
            BusyError: it does not fit beside what runs at present.
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
                left = left_of(call.timeout, received)
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
        self._residency.pin(call.graph_id)
        try:
            cost = await self._cost(loaded, call, received)
            ready = time.monotonic()
            async with self._queue.place(left_of(call.timeout, received), call.graph_id) as place:
                with self._residency.running(self._admit(call.graph_id, cost)):
                    async with self._paced(cost) as pace:
                        left = left_of(call.timeout, received)
                        fetches, compute = await self._on_thread(loaded, call, left, place)
                        await pace.wait(left_of(call.timeout, received))
        except Exception:  # not a cancelled stream: nobody is told of an error then
            loaded.count_failure()
            raise
        finally:
            self._residency.unpin(call.graph_id)
        queue = time.monotonic() - ready - compute - pace.waited
        emulated = self._emulation.seconds(cost) if self._emulation and cost else 0.0
        timing = Timing(queue, compute, ready - received, pace.waited, emulated, cost)
        loaded.count(timing)
        return Outcome(fetches, timing, loaded.graph.repeatable)

    async def _cost(self, loaded: Loaded, call: Call, received: float) -> Cost | None:
        """What a call costs, on an emulated type."""
        if self._emulation is None:
            return None
        shapes = {alias: feed.shape for alias, feed in call.feeds.items()}
        return await _within(loaded.costs.of(shapes), left_of(call.timeout, received))

    def _admit(self, graph_id: bytes, cost: Cost | None) -> int:
        """The bytes that a run takes, after room was made for them.

        Raises:
            ModelError, BusyError: see `AcceleratorMemory.admit_run`.
        """
        needed = 0 if cost is None else cost.activation_bytes
        self._evict(self._memory.admit_run(graph_id, needed))
        return needed

    @asynccontextmanager
    async def _paced(self, cost: Cost | None) -> AsyncIterator[_Pace]:
        """The run's turn on the emulated device, given back when the run comes to nothing."""
        emulation = self._emulation
        if emulation is None or not emulation.paced or cost is None:
            yield _Pace(None)
            return
        turn = emulation.pacer.enter(time.monotonic(), emulation.seconds(cost))
        try:
            yield _Pace(turn)
        except BaseException:
            emulation.pacer.leave(turn, time.monotonic())
            raise

    async def _on_thread(
        self, loaded: Loaded, call: Call, timeout: float | None, place: Place
    ) -> tuple[dict[str, Array], float]:
        """The fetches, and the seconds inside the engine."""
        loop = asyncio.get_running_loop()
        timeout = self._vigil.bounded(timeout)
        entry = self._vigil.run(call.graph_id, timeout)
        work = loop.run_in_executor(self._threads, _timed, loaded.graph, call.feeds, timeout, entry)
        place.work = work
        # What is awaited here goes on when nobody waits any more.
        outcome = self._watch.follow(work, partial(self.starve, loaded, work, entry))
        try:
            if self._emulation is not None:
                await self._watched(loaded, work, outcome, self._emulation)
            return await outcome
        except asyncio.CancelledError:
            self.cancel(loaded, work, entry)
            raise

    def cancel(self, loaded: Loaded, work: _AnyWork, entry: Entry) -> None:
        """Nobody wants this run any more."""
        entry.end_within(_CANCEL_GRACE_SECONDS)
        loop = asyncio.get_running_loop()
        loop.call_later(_CANCEL_GRACE_SECONDS, self._stop, loaded, work)

    async def _watched(
        self, loaded: Loaded, work: _Work, outcome: _Work, emulation: Emulation
    ) -> None:
        """Wait for a run, and stop it when the process grows beyond all that it may take.

        Raises:
            ModelError: it did (MODEL_TOO_LARGE).
        """
        before = resident_bytes()
        while not (await asyncio.wait([outcome], timeout=_WATCH_SECONDS))[0]:
            grown = resident_bytes() - before
            if grown > allowed_growth(emulation.published):
                self._stop(loaded, work)
                needed = loaded.memory_bytes + grown
                raise too_large(emulation.published, needed, grown, at_least=True)

    def starve(self, loaded: Loaded, work: _AnyWork, entry: Entry) -> None:
        """Stop a run for which there is no memory."""
        entry.end_within(_CANCEL_GRACE_SECONDS)
        self._stop(loaded, work)

    def _stop(self, loaded: Loaded, work: _AnyWork) -> None:
        """Stop a run that is not wanted any more and still goes on, by closing its graph.

        TensorFlow can stop all runs of a Session or none. The graph is loaded again for whoever
        else uses it, and so are those that share with it.
        """
        if work.done():
            work.exception()  # looked at, so that asyncio does not complain
            return
        work.add_done_callback(lambda done: done.exception())
        loaded.stopped = True
        shared = loaded.shared
        if shared is not None:
            for graph_id in self._residency.sharers_of(shared):
                self.unload(graph_id)
            held = self._sharing.retire(shared)
            if held is not None:
                threading.Thread(target=held.close, daemon=True).start()
        elif self._loaded.get(loaded.graph_id) is loaded:
            self.unload(loaded.graph_id)

    async def _get(self, graph_id: bytes) -> Loaded:
        if graph_id in self._loaded:
            return self._loaded[graph_id]
        if graph_id not in self._loading:
            self._loading[graph_id] = asyncio.create_task(self._load(graph_id))
            self._loading[graph_id].add_done_callback(_look_at)
        # Shielded, because others may wait for the same load when one caller gives up.
        return await asyncio.shield(self._loading[graph_id])

    async def _load(self, graph_id: bytes) -> Loaded:
        loop, files = asyncio.get_running_loop(), self._files
        try:
            self._vigil.check(graph_id)
            self._memory.check_remembered(graph_id)
            async with self._load_turn:
                opened = await loop.run_in_executor(
                    self._loader, files.open, graph_id, self._memory.check_files
                )
                loaded = None
                while loaded is None or _is_stopped(loaded):
                    if loaded is not None:
                        self._free(loaded)
                    await self._make_room(graph_id, opened)
                    work = loop.run_in_executor(self._loader, files.load, graph_id, opened)
                    loaded = await self._watch.follow(work, partial(self._free_later, work))
                self._keep(loaded)
            return loaded
        finally:
            del self._loading[graph_id]

    async def _make_room(self, graph_id: bytes, opened: Opened) -> None:
        """Unload idle graphs until one that is to be loaded has room.

        Raises:
            ModelError, BusyError: see `AcceleratorMemory.admit_graph` and `admit_on_host`.
        """
        if self._emulation is not None:
            # What it shares may be among the victims; then it needs all that itself.
            while victims := self._memory.admit_graph(graph_id, await self._needed(opened)):
                self._evict(victims)
            return
        memory = self._watch.memory
        if await self._needed(opened) > memory.look().room:
            await self._give_back_freed()
        while victims := self._memory.admit_on_host(
            await self._needed(opened), memory.look().room, is_freeing=self._watch.is_freeing
        ):
            self._evict(victims)
            await self._give_back_freed()

    async def _needed(self, opened: Opened) -> int:
        loop, counted = asyncio.get_running_loop(), self._residency.bytes_together
        return await loop.run_in_executor(self._loader, self._files.needed, opened, counted)

    async def _give_back_freed(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._loader, give_back_freed)

    def _relieve(self, size: int) -> bool:
        """Unload idle graphs of so many bytes; whether there were any."""
        victims = self._residency.to_free(size)
        self._evict(victims)
        return bool(victims)

    def _keep(self, loaded: Loaded) -> None:
        """Take a graph in, unless it turned out larger than its files told.

        Raises:
            ModelError, BusyError: see `AcceleratorMemory.admit_graph`; the graph is closed then.
        """
        graph_id, shared = loaded.graph_id, loaded.shared
        sharers = [] if shared is None else self._residency.sharers_of(shared)
        present = self._residency.bytes_together(shared)
        pinned = [*sharers, graph_id]
        for one in pinned:
            self._residency.pin(one)
        try:
            more = max(0, loaded.memory_bytes - present)
            self._evict(self._memory.admit_graph(graph_id, more))
            self._loaded[graph_id] = loaded
            self.loads += 1
            self._residency.add(graph_id, loaded.memory_bytes, shared)
            _log.info("loaded graph %s in %.2f s", graph_id.hex()[:12], loaded.load_time)
            self._evict(self._residency.to_evict())
        except AcceleratorError:
            self._free(loaded)
            raise
        finally:
            for one in pinned:
                self._residency.unpin(one)

    def _evict(self, graph_ids: Iterable[bytes]) -> None:
        """Unload idle graphs; their memory is free afterwards."""
        for graph_id in graph_ids:
            if not self._residency.remove_idle(graph_id):
                continue  # a lane runs it since a moment ago
            loaded = self._forget(graph_id)
            if loaded is not None:
                self._free(loaded)

    def _free(self, loaded: Loaded) -> None:
        self._files.close(loaded.graph, loaded.shared)

    def _free_later(self, work: asyncio.Future[Loaded]) -> None:
        """Free a graph that nobody waits for any more: loading cannot be stopped."""

        def free(done: asyncio.Future[Loaded]) -> None:
            if not done.cancelled() and done.exception() is None:
                self._free(done.result())

        work.add_done_callback(free)

    def unload(self, graph_id: bytes) -> None:
        """Forget a loaded graph; its files stay. Nothing happens when it is not loaded."""
        loaded = self._forget(graph_id)
        if loaded is not None:
            # TensorFlow comes back only when the graph's runs have ended, which may take them long.
            graphs, shared = [loaded.graph], loaded.shared
            threading.Thread(target=self._close, args=(graphs, shared), daemon=True).start()

    def _close(self, graphs: list[Graph], shared: Shared | None) -> None:
        """Close the one graph of a list, known to nobody else, and free what it took."""
        self._files.close(graphs.pop(), shared)
        give_back_freed()

    def _forget(self, graph_id: bytes) -> Loaded | None:
        loaded = self._loaded.pop(graph_id, None)
        self._residency.remove(graph_id)
        if loaded is not None:
            loaded.stopped = True
            self._store.touch(graph_id)
            _log.info("unloaded graph %s", graph_id.hex()[:12])
        return loaded

    def set_pressure(self, pressure_bytes: int | None) -> None:
        """Leave graphs so much memory at most; idle ones that no longer fit are evicted at once."""
        self._residency.set_pressure(pressure_bytes)
        self._evict(self._residency.to_evict())

    def memory_of(self, graph_id: bytes) -> int:
        """Bytes of a graph; what graphs share counts for the one that was loaded first."""
        return self._residency.bytes_of(graph_id)

    @property
    def memory_bytes(self) -> int:
        """Bytes of all loaded graphs, and on an emulated type of what runs on them."""
        return self._residency.used_bytes


class _Pace:
    """Lets a run wait until its turn on the emulated device is over; knows how long it did."""

    def __init__(self, turn: Turn | None) -> None:
        self._turn = turn
        self.waited = 0.0

    async def wait(self, timeout: float | None) -> None:
        """Wait, on the event loop and no longer than the run may take.

        Raises:
            DeadlineError: the emulated device would not have answered in time.
        """
        if self._turn is None:
            return
        started = time.monotonic()
        needed = self._turn.wait(started)
        await asyncio.sleep(needed if timeout is None else min(needed, timeout))
        if timeout is not None and needed > timeout:
            raise DeadlineError(
                "The call's time ran out before its accelerator would have answered."
            )
        self.waited = time.monotonic() - started


def _is_stopped(loaded: Loaded) -> bool:
    """Whether what it shares was closed while it was loaded."""
    return loaded.shared is not None and loaded.shared.is_closed


def _look_at(done: asyncio.Task[Loaded]) -> None:
    """Look at a task's end, so that asyncio does not complain when its callers gave up."""
    if not done.cancelled():
        done.exception()


async def _within(work: Coroutine[None, None, _T], timeout: float | None) -> _T:
    try:
        return await asyncio.wait_for(work, timeout)
    except TimeoutError:
        raise DeadlineError("The call's time ran out while its graph was loaded.") from None


def _timed(
    graph: Graph, feeds: Mapping[str, Array], timeout: float, entry: Entry
) -> tuple[dict[str, Array], float]:
    with entry.at_work():
        started = time.monotonic()
        fetches = graph.run(feeds, timeout)
        return fetches, time.monotonic() - started
