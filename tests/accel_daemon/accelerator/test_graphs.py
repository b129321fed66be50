"""The table of loaded graphs on an emulated type, with an engine that computes nothing."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accel_daemon.accelerator import graph_loading, graphs
from accel_daemon.accelerator.emulation import Emulation, emulation_of
from accel_daemon.accelerator.graphs import GraphTable
from accel_daemon.accelerator.run_stream import Call
from accel_daemon.accelerator.store import BundleStore
from accel_daemon.engines.engine import Cost, TensorSpec, Weights
from accel_daemon.engines.sharing import Shared
from accel_protocol.errors import BusyError, DeadlineError, ModelError
from accel_protocol.limits import DEFAULT_LIMITS
from accel_protocol.manifest import SAVED_MODEL, BundleFile, Manifest, Selection
from accel_protocol.tensors import Array

GIB = 1 << 30
SPEC = TensorSpec("x", "x:0", 1, (-1,))


@dataclass
class StillGraph:
    """Takes the seconds it is fed to run, and costs what it is told."""

    told: Cost | None
    repeatable: bool = True
    executed_by: str = "still 1"
    closed: bool = False
    closes: threading.Event | None = None
    feeds: Mapping[str, TensorSpec] = field(default_factory=lambda: {"x": SPEC})
    fetches: Mapping[str, TensorSpec] = field(default_factory=lambda: {"y": SPEC})

    def run(self, feeds: Mapping[str, Array], timeout: float | None) -> dict[str, Array]:
        """See `Graph.run`."""
        time.sleep(float(feeds["x"][0]))
        return {"y": feeds["x"]}

    def cost(self, shapes: Mapping[str, tuple[int, ...] | None]) -> Cost | None:
        """See `Graph.cost`."""
        return self.told

    def close(self) -> None:
        """See `Graph.close`; waits like TensorFlow, where it is told for what."""
        if self.closes is not None:
            self.closes.wait(30)
        self.closed = True


@dataclass
class StillEngine:
    """Counts loads; every graph weighs the size that its manifest's option says."""

    told: Cost | None = None
    loaded: list[StillGraph] = field(default_factory=list)
    version: str = "still 1"

    def weigh(self, folder: Path, manifest: Manifest) -> Weights:
        """See `Engine.weigh`."""
        return Weights(int(manifest.options["bytes"]), 0)

    def load(self, folder: Path, manifest: Manifest, shared: Shared | None = None) -> StillGraph:
        """See `Engine.load`."""
        self.loaded.append(StillGraph(self.told))
        return self.loaded[-1]


@dataclass
class Table:
    """A graph table with its engine and its store."""

    engine: StillEngine
    store: BundleStore
    graphs: GraphTable

    async def load(self, size: int, name: str = "graph") -> bytes:
        """Load a graph of this size; answers its id."""
        manifest = self.manifest(size, name)
        await self.graphs.load(manifest)
        return manifest.graph_id()

    def manifest(self, size: int, name: str = "graph") -> Manifest:
        """The manifest of a graph whose one file is in the store."""
        content = name.encode()
        digest = hashlib.sha256(content).hexdigest()
        if not self.store.has(digest):
            upload = self.store.receive(digest, len(content))
            upload.append(0, content)
            upload.close()
        file = BundleFile(name, len(content), digest)
        return Manifest(SAVED_MODEL, (file,), Selection(signature="s"), {"bytes": str(size)})

    async def run(self, graph_id: bytes, seconds: float = 0.0, timeout: float | None = None) -> Any:
        """Run a graph for so long."""
        feeds = {"x": np.array([seconds], np.float32)}
        return await self.graphs.run(Call(1, graph_id, feeds, timeout))


@pytest.fixture
def table(tmp_path: Path) -> Callable[..., Table]:
    """Makes a table on an eia1.medium."""

    def make(told: Cost | None = None, paced: bool = False) -> Table:
        engine, store = StillEngine(told), BundleStore(tmp_path / "store", DEFAULT_LIMITS)
        emulation: Emulation | None = emulation_of("eia1.medium", paced)
        return Table(engine, store, GraphTable(engine, store, DEFAULT_LIMITS, None, emulation))

    return make


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    while not holds():
        await asyncio.sleep(0.005)


def within(work: Awaitable[Any]) -> Any:
    """What the work brings, on a loop of its own."""

    async def waited() -> Any:
        return await asyncio.wait_for(work, 60)

    return asyncio.run(waited())


def test_what_is_too_large_is_never_loaded(table: Callable[..., Table]) -> None:
    """Its weights are weighed; loading by run or by load, once or again, says the same."""
    made = table()

    async def work() -> None:
        for _ in range(2):
            with pytest.raises(ModelError) as caught:
                await made.load(GIB + 1)
            assert caught.value.reason == "MODEL_TOO_LARGE"
        with pytest.raises(ModelError):
            await made.run(made.manifest(GIB + 1).graph_id())

    within(work())
    assert made.engine.loaded == []
    assert made.graphs.loaded == []


def test_what_turns_out_too_large_is_closed(
    table: Callable[..., Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Variables that are made while loading; the second time it is not loaded at all."""
    made = table()
    grown = iter([0, 3 * GIB])
    monkeypatch.setattr(graph_loading, "resident_bytes", lambda: next(grown))

    async def work() -> None:
        for _ in range(2):
            with pytest.raises(ModelError):
                await made.load(1000)

    within(work())
    assert [graph.closed for graph in made.engine.loaded] == [True]
    assert made.graphs.memory_bytes == 0


def test_a_run_that_takes_far_more_than_there_is_is_stopped(
    table: Callable[..., Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What no estimate told; its graph is closed, which ends the run."""
    made = table()

    async def work() -> None:
        graph_id = await made.load(1000)
        grown = iter([0, GIB // 2, 4 * GIB])
        monkeypatch.setattr(graphs, "resident_bytes", lambda: next(grown))
        with pytest.raises(ModelError) as caught:
            await made.run(graph_id, 1.0)
        assert caught.value.fields["needed_bytes"] == str(1000 + 4 * GIB)
        await until(lambda: made.engine.loaded[0].closed)

    within(work())


def test_a_graph_whose_runs_do_not_stop_holds_nobody_up(table: Callable[..., Table]) -> None:
    """Closing it takes as long as they do; the loop goes on with others meanwhile."""
    made = table()

    async def work() -> None:
        graph_id = await made.load(1000)
        graph = made.engine.loaded[0]
        graph.closes = threading.Event()
        made.graphs.unload(graph_id)
        await made.run(await made.load(1000, "another"))
        assert not graph.closed
        graph.closes.set()
        await until(lambda: graph.closed)

    within(work())


def test_a_graph_makes_room_before_it_is_loaded(table: Callable[..., Table]) -> None:
    """What was idle is gone by then, and comes back when it is run."""
    made = table()

    async def work() -> None:
        first = await made.load(GIB, "first")
        await made.load(GIB, "second")
        assert made.engine.loaded[0].closed
        assert made.graphs.memory_bytes == GIB
        await made.run(first)
        assert [one.graph_id for one in made.graphs.loaded] == [first]

    within(work())


def test_a_graph_that_runs_is_not_pushed_out(table: Callable[..., Table]) -> None:
    """The other one is told to come back."""
    made = table()

    async def work() -> None:
        first = await made.load(GIB, "first")
        running = asyncio.create_task(made.run(first, 0.5))
        await asyncio.sleep(0.1)
        with pytest.raises(BusyError):
            await made.load(GIB, "second")
        await running
        await made.load(GIB, "second")

    within(work())


def test_a_run_waits_for_the_emulated_device(table: Callable[..., Table]) -> None:
    """0.2 s at 1 TFLOPS; two at one time 0.4 s, while engine threads stay free."""
    made = table(Cost(0, 2 * 10**11, 0, False), paced=True)

    async def work() -> None:
        graph_id = await made.load(1000)
        started = time.monotonic()
        outcomes = await asyncio.gather(made.run(graph_id), made.run(graph_id))
        assert time.monotonic() - started >= 0.39
        timings = [outcome.timing for outcome in outcomes]
        assert [timing.emulated for timing in timings] == [0.2, 0.2]
        assert sorted(round(timing.paced, 1) for timing in timings) == [0.2, 0.4]

    within(work())


def test_a_slow_host_is_not_slowed_further(table: Callable[..., Table]) -> None:
    """0.2 s on the device, 0.3 s here."""
    made = table(Cost(0, 2 * 10**11, 0, False), paced=True)

    async def work() -> None:
        timing = (await made.run(await made.load(1000), 0.3)).timing
        assert timing.compute >= 0.3
        assert timing.paced < 0.05

    within(work())


def test_a_deadline_ends_the_wait(table: Callable[..., Table]) -> None:
    """And gives back what is left of the device's time."""
    made = table(Cost(0, 10**14, 0, False), paced=True)

    async def work() -> None:
        graph_id = await made.load(1000)
        started = time.monotonic()
        for _ in range(2):
            with pytest.raises(DeadlineError):
                await made.run(graph_id, timeout=0.2)
        assert time.monotonic() - started < 5

    within(work())


def test_without_pace_nothing_waits(table: Callable[..., Table]) -> None:
    """The figures are told all the same."""
    made = table(Cost(0, 10**14, 0, False))

    async def work() -> None:
        timing = (await made.run(await made.load(1000))).timing
        assert (timing.emulated, timing.paced) == (100.0, 0.0)

    within(work())
