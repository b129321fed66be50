"""Graphs that share: loaded beside each other, counted once, stopped together, freed with the last.

The engine computes nothing; whatever it is told to keep in common is a `Memory`.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accel_daemon.accelerator.emulation import emulation_of
from accel_daemon.accelerator.graphs import GraphTable
from accel_daemon.accelerator.run_stream import Call
from accel_daemon.accelerator.store import BundleStore
from accel_daemon.engines.engine import Cost, TensorSpec, Weights
from accel_daemon.engines.sharing import MOST_GRAPHS, NotSharedError, Shared
from accel_protocol.errors import AnswerLostError, BusyError, CancelledError, ModelError
from accel_protocol.limits import DEFAULT_LIMITS
from accel_protocol.manifest import SAVED_MODEL, SHARED, BundleFile, Manifest, Selection
from accel_protocol.tensors import Array
from tests.conftest import patience

MIB = 1 << 20
HELD, TENSOR = 600 * MIB, 100 * MIB
"""What graphs have in common weighs so much, and each tensor that one of them fetches."""


@dataclass
class Memory:
    """What graphs have in common."""

    closed: threading.Event = field(default_factory=threading.Event)

    def close(self) -> None:
        """See `Closable.close`."""
        self.closed.set()


@dataclass
class SharingGraph:
    """Answers at once, or runs until its memory is closed where it is fed that."""

    memory: Memory
    is_own: bool
    repeatable: bool
    running: threading.Event = field(default_factory=threading.Event)
    executed_by: str = "sharing 1"
    feeds: Mapping[str, TensorSpec] = field(default_factory=dict)
    fetches: Mapping[str, TensorSpec] = field(default_factory=dict)

    def run(self, feeds: Mapping[str, Array], timeout: float | None) -> dict[str, Array]:
        """See `Graph.run`."""
        self.running.set()
        if self.memory.closed.wait(patience(30) if feeds else 0):
            raise CancelledError("closed")
        return {}

    def cost(self, shapes: Mapping[str, tuple[int, ...] | None]) -> Cost | None:
        """See `Graph.cost`."""
        return None

    def close(self) -> None:
        """See `Graph.close`."""
        if self.is_own:
            self.memory.close()


@dataclass
class SharingEngine:
    """Has a `Memory` for graphs that share one."""

    version: str = "sharing 1"
    memories: list[Memory] = field(default_factory=list)
    graphs: list[SharingGraph] = field(default_factory=list)
    before_load: Callable[[], object] = lambda: None

    def weigh(self, folder: Path, manifest: Manifest) -> Weights:
        """See `Engine.weigh`."""
        tensors = set(manifest.selection.fetches.values())
        return Weights(HELD + len(tensors) * TENSOR, 0)

    def load(self, folder: Path, manifest: Manifest, shared: Shared | None = None) -> SharingGraph:
        """See `Engine.load`."""
        fetches = manifest.selection.fetches
        if shared is not None and "alone" in fetches:
            raise NotSharedError("it says so")
        memory = None if shared is None else shared.held
        if memory is None:
            memory = Memory()
            self.memories.append(memory)
        if shared is not None:
            shared.held = memory
        self.before_load()
        if memory.closed.is_set() or "broken" in fetches:
            raise ModelError("It cannot be loaded.")
        self.graphs.append(SharingGraph(memory, shared is None, "changes" not in fetches))
        return self.graphs[-1]


@dataclass
class Table:
    """A table of graphs, and its store with one file."""

    engine: SharingEngine
    store: BundleStore
    graphs: GraphTable
    file: BundleFile

    def manifest(self, *fetches: str, version: str = "m/1") -> Manifest:
        """Of a graph that fetches these tensors."""
        chosen = Selection(fetches={one: one for one in fetches})
        return Manifest(SAVED_MODEL, (self.file,), chosen, {SHARED: version})

    async def load(self, *fetches: str, version: str = "m/1") -> bytes:
        """Load it; answers its id."""
        manifest = self.manifest(*fetches, version=version)
        await self.graphs.load(manifest)
        return manifest.graph_id()

    def run(self, graph_id: bytes, **feeds: Any) -> asyncio.Task[Any]:
        """Run a graph, for ever where it is fed anything."""
        return asyncio.create_task(self.graphs.run(Call(1, graph_id, feeds, None)))

    @property
    def mebibytes(self) -> list[int]:
        """Of the loaded graphs, one after the other."""
        return [self.graphs.memory_of(one.graph_id) // MIB for one in self.graphs.loaded]

    @property
    def closed(self) -> list[bool]:
        """Which of the engine's memories are closed."""
        return [memory.closed.is_set() for memory in self.engine.memories]


MakeTable = Callable[..., Table]


@pytest.fixture
def table(tmp_path: Path) -> MakeTable:
    """Makes tables of one engine on an eia1.medium, with a store each."""
    engine = SharingEngine()

    def make(name: str = "store") -> Table:
        store, content = BundleStore(tmp_path / name, DEFAULT_LIMITS), b"weights"
        digest = hashlib.sha256(content).hexdigest()
        upload = store.receive(digest, len(content))
        upload.append(0, content)
        upload.close()
        graphs = GraphTable(engine, store, DEFAULT_LIMITS, None, emulation_of("eia1.medium"))
        return Table(engine, store, graphs, BundleFile("w", len(content), digest))

    return make


def within(work: Awaitable[Any]) -> None:
    """Do the work, on a loop of its own."""

    async def waited() -> None:
        await asyncio.wait_for(work, patience(60))

    asyncio.run(waited())


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    while not holds():
        await asyncio.sleep(0.005)


ENDLESS = {"x": np.zeros(1)}


def test_graphs_of_one_version_are_counted_once(table: MakeTable) -> None:
    """What each brings besides is added; what they share goes with the last."""
    made = table()

    async def work() -> None:
        ids = [await made.load("a"), await made.load("b"), await made.load("a", "b", "c")]
        assert made.mebibytes == [900, 0, 0]
        made.graphs.unload(ids[0])
        assert made.mebibytes == [900, 0]
        await made.run(ids[1])
        assert await made.load("a") == ids[0]
        assert (made.mebibytes, made.closed) == ([900, 0, 0], [False])
        for graph_id in ids:
            made.graphs.unload(graph_id)
        await until(lambda: made.closed == [True])
        assert made.graphs.memory_bytes == 0

    within(work())


def test_nobody_else_shares(table: MakeTable) -> None:
    """Another principal, another version, who asks for nothing, or by a signature's key."""
    one, other = table("one"), table("other")

    async def work() -> None:
        await one.load("a")
        await other.load("b")
        assert len(one.engine.memories) == 2
        for other_manifest in (
            other.manifest("c", version="m/2"),
            replace(other.manifest("d"), options={}),
            replace(other.manifest(), selection=Selection(signature="e")),
        ):
            await one.graphs.load(other_manifest)
        assert len(one.engine.memories) == 5

    within(work())


def test_graphs_that_share_are_evicted_together(table: MakeTable) -> None:
    """For another that needs their room; whoever runs keeps all."""
    made = table()

    async def work() -> None:
        first, _ = await made.load("a"), await made.load("b")
        running = made.run(first, **ENDLESS)
        await until(made.engine.graphs[0].running.is_set)
        with pytest.raises(BusyError):
            await made.load("a", version="m/2")
        running.cancel()
        await until(lambda: made.closed == [True])
        await made.load("a")
        await made.load("b")
        await made.load("a", version="m/2")
        assert (made.mebibytes, made.closed) == ([700], [True, True, False])

    within(work())


@pytest.mark.parametrize("fetch", ["b", "changes"])
def test_a_cancelled_run_takes_all_that_share_with_it(table: MakeTable, fetch: str) -> None:
    """They are loaded again, once; what changed something is not repeated."""
    made = table()

    async def work() -> None:
        first, second = await made.load("a"), await made.load(fetch)
        running = [made.run(one, **ENDLESS) for one in (first, second)]
        for graph in made.engine.graphs[:2]:
            await until(graph.running.is_set)
        running[0].cancel()
        await until(lambda: made.closed[0])
        if fetch == "changes":
            with pytest.raises(AnswerLostError):
                await running[1]
        else:
            await until(lambda: len(made.engine.graphs) == 3)
            running[1].cancel()
            await until(lambda: made.closed[1])
        await asyncio.gather(made.run(first), made.run(second))
        assert not made.closed[-1]
        assert len(made.engine.memories) == made.closed.count(True) + 1

    within(work())


def test_what_is_loaded_meanwhile_is_not_broken(table: MakeTable) -> None:
    """What it shares is closed while it is loaded: it is loaded again, with a new one."""
    made = table()

    async def work() -> None:
        first = await made.load("a")
        running = made.run(first, **ENDLESS)
        await until(made.engine.graphs[0].running.is_set)
        began, go = threading.Event(), threading.Event()
        made.engine.before_load = lambda: (began.set(), go.wait(patience(30)))
        loading = asyncio.create_task(made.load("b"))
        await until(began.is_set)
        running.cancel()
        await until(lambda: made.closed[0])
        go.set()
        await made.run(await loading)
        assert (made.mebibytes, made.closed) == ([700], [True, False])

    within(work())


def test_what_fails_to_load_leaves_the_others(table: MakeTable) -> None:
    """And nothing, where it was the first."""
    made = table()

    async def work() -> None:
        with pytest.raises(ModelError):
            await made.load("broken")
        assert made.closed == [True]
        first = await made.load("a")
        with pytest.raises(ModelError):
            await made.load("broken")
        await made.run(first)
        made.graphs.unload(first)
        await until(lambda: made.closed == [True, True])

    within(work())


def test_what_the_engine_cannot_share_is_loaded_by_itself(table: MakeTable) -> None:
    """It is counted by itself too, and closed alone."""
    made = table()

    async def work() -> None:
        alone = await made.load("alone")
        assert (made.mebibytes, made.closed) == ([700], [False])
        made.graphs.unload(alone)
        await until(lambda: made.closed == [True])

    within(work())


def test_what_is_too_large_together_takes_turns(table: MakeTable) -> None:
    """Each fits into the type's memory; what is idle goes, and what runs makes the others wait."""
    made = table()

    async def work() -> None:
        first = await made.load("a", "b", "c")
        await made.load("a", "b")
        assert made.mebibytes == [900, 0]
        running = made.run(first, **ENDLESS)
        await until(made.engine.graphs[0].running.is_set)
        with pytest.raises(BusyError):
            await made.load("d", "e")
        running.cancel()
        await until(lambda: made.closed == [True])
        await made.load("a", "b", "c")
        await made.load("d", "e")
        assert (made.mebibytes, made.closed) == ([800], [True, True, False])

    within(work())


def test_no_more_than_some_share(table: MakeTable) -> None:
    """What an engine keeps of each is not endless; the same graph comes back at any time."""
    shared = Shared(selections={bytes([n]): Selection() for n in range(MOST_GRAPHS)})
    assert shared.has_place(bytes([0]))
    assert not shared.has_place(bytes([MOST_GRAPHS]))
