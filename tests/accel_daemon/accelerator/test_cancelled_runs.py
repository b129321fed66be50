"""A caller may give up at once, and its run's place is free when the engine has let go of it."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from accel_daemon.accelerator.graphs import GraphTable
from accel_daemon.accelerator.run_stream import Call
from accel_daemon.accelerator.store import BundleStore
from accel_daemon.engines.engine import Cost, TensorSpec, Weights
from accel_daemon.engines.sharing import Shared
from accel_protocol.errors import BusyError
from accel_protocol.limits import Limits
from accel_protocol.manifest import SAVED_MODEL, BundleFile, Manifest, Selection
from accel_protocol.tensors import Array
from tests.conftest import patience

PLACES, QUEUED, CANCELLED = 2, 8, 50


@dataclass
class StubbornGraph:
    """Runs until the test lets it go, whoever gives up or closes it meanwhile."""

    let_go: threading.Event = field(default_factory=threading.Event)
    repeatable: bool = True
    executed_by: str = "stubborn 1"
    feeds: Mapping[str, TensorSpec] = field(default_factory=dict)
    fetches: Mapping[str, TensorSpec] = field(default_factory=dict)

    def run(self, feeds: Mapping[str, Array], timeout: float | None) -> dict[str, Array]:
        """See `Graph.run`."""
        assert self.let_go.wait(patience(60))
        return {}

    def cost(self, shapes: Mapping[str, tuple[int, ...] | None]) -> Cost | None:
        """See `Graph.cost`."""
        return None

    def close(self) -> None:
        """See `Graph.close`."""


@dataclass
class StubbornEngine:
    """Has one graph."""

    graph: StubbornGraph = field(default_factory=StubbornGraph)
    version: str = "stubborn 1"

    def weigh(self, folder: Path, manifest: Manifest) -> Weights:
        """See `Engine.weigh`."""
        return Weights(0, 0)

    def load(self, folder: Path, manifest: Manifest, shared: Shared | None = None) -> StubbornGraph:
        """See `Engine.load`."""
        return self.graph


class CountingThreads(ThreadPoolExecutor):
    """Knows how much was handed over and has not come back."""

    def __init__(self) -> None:
        super().__init__(CANCELLED)
        self.most, self._now, self._lock = 0, 0, threading.Lock()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **named: Any) -> Future[Any]:
        """See `ThreadPoolExecutor.submit`."""
        self._count(1)
        work = super().submit(fn, *args, **named)
        work.add_done_callback(lambda _: self._count(-1))
        return work

    def _count(self, step: int) -> None:
        with self._lock:
            self._now += step
            self.most = max(self.most, self._now)


def stored(store: BundleStore) -> Manifest:
    """The manifest of the one graph, whose file is in the store."""
    content = b"graph"
    digest = hashlib.sha256(content).hexdigest()
    upload = store.receive(digest, len(content))
    upload.append(0, content)
    upload.close()
    file = BundleFile("graph", len(content), digest)
    return Manifest(SAVED_MODEL, (file,), Selection(signature="s"), {})


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch, table: GraphTable) -> CountingThreads:
    """The threads of the table: more of them than there are places."""
    counting = CountingThreads()
    monkeypatch.setattr(table, "_threads", counting)
    return counting


@pytest.fixture
def engine() -> StubbornEngine:
    """The engine."""
    return StubbornEngine()


@pytest.fixture
def store(tmp_path: Path) -> BundleStore:
    """The store."""
    return BundleStore(tmp_path / "store", Limits())


@pytest.fixture
def table(engine: StubbornEngine, store: BundleStore) -> GraphTable:
    """A table with few places."""
    return GraphTable(engine, store, Limits(concurrent_runs=PLACES, queued_runs=QUEUED))


async def cancelled(table: GraphTable, graph_id: bytes, number: int) -> list[BaseException]:
    """How so many runs end that are cancelled one after the other, a moment after they came."""
    ends = []
    for _ in range(number):
        run = asyncio.create_task(table.run(Call(1, graph_id, {}, None)))
        await asyncio.sleep(0.01)
        run.cancel()
        ends += await asyncio.wait_for(asyncio.gather(run, return_exceptions=True), patience(5))
    return ends


def test_never_more_runs_in_the_engine_than_places(
    table: GraphTable, engine: StubbornEngine, store: BundleStore, threads: CountingThreads
) -> None:
    """Every caller is answered at once; what the engine still has keeps its place."""

    async def scenario() -> None:
        manifest = stored(store)
        await table.load(manifest)
        ends = await cancelled(table, manifest.graph_id(), CANCELLED)
        assert all(isinstance(end, asyncio.CancelledError) for end in ends)
        assert threads.most == PLACES
        engine.graph.let_go.set()

    asyncio.run(scenario())


def test_places_come_back(
    table: GraphTable, engine: StubbornEngine, store: BundleStore, threads: CountingThreads
) -> None:
    """When the engine has let go, those who waited run, and the queue is as it was."""

    async def scenario() -> None:
        manifest = stored(store)
        await table.load(manifest)
        call = Call(1, manifest.graph_id(), {}, None)
        await cancelled(table, manifest.graph_id(), PLACES)
        waiting = [asyncio.create_task(table.run(call)) for _ in range(QUEUED)]
        await asyncio.sleep(0.01)
        with pytest.raises(BusyError):
            await table.run(call)
        engine.graph.let_go.set()
        outcomes = await asyncio.wait_for(asyncio.gather(*waiting), patience(30))
        assert [dict(outcome.fetches) for outcome in outcomes] == [{}] * QUEUED
        assert threads.most == PLACES

    asyncio.run(scenario())
