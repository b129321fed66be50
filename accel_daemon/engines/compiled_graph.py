"""Compiles graphs behind the TensorFlow engine, and lets the faster one of both answer.

The first calls with given shapes are TensorFlow's. When shapes come back, the graph is compiled for
them beside the calls, tried with what one of these calls was fed, and takes over if it answers the
same and faster; where it was only not faster, it is tried again after more calls. Whatever goes
wrong with it, TensorFlow answers, then and from then on.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from accel_daemon.engines.compiled_choice import Trial, why_different, why_slow
from accel_daemon.engines.engine import Cost, Graph, TensorSpec, Weights
from accel_daemon.engines.openvino_model import NotCompiledError, OpenVinoModel, installed_version
from accel_daemon.engines.tensorflow import TensorFlowEngine, TensorFlowGraph
from accel_daemon.engines.tensorflow_flat import Fed
from accel_daemon.engines.tensorflow_frozen import NotFrozenError
from accel_protocol.errors import AcceleratorError
from accel_protocol.manifest import Manifest
from accel_protocol.tensors import Array

MOST_SHAPES = 3
"""For how many sets of shapes one graph is compiled: each holds the weights once more."""
_TRIED_AT = (2, 32, 512, 8192)
"""At which calls with the same shapes; again, because others may have had the processors before."""
_MOST_COUNTED = 64
_TRIAL_SECONDS = 2.0
_MOST_TRIALS = 9
_LEAST_TRIALS = 3
_RUN_SECONDS = 10.0
_IDLE_SECONDS = 2.0
_MEASURED_SECONDS = 0.5  # that calls wait at most while something is measured
_log = logging.getLogger(__name__)

_Shapes = tuple[tuple[str, tuple[int, ...]], ...]
_Watched = Callable[[bytes], AbstractContextManager[None]]


class _Work:
    """What goes on in this process.

    Attributes:
        turn: one graph is compiled at a time.
    """

    def __init__(self) -> None:
        self.turn = threading.Lock()
        self._change = threading.Condition()
        self._runs, self._is_measuring = 0, False

    @contextlib.contextmanager
    def running(self, timeout: float | None) -> Iterator[None]:
        """A call is answered, once nothing is measured."""
        longest = _MEASURED_SECONDS if timeout is None else min(timeout, _MEASURED_SECONDS)
        with self._change:
            if self._is_measuring:
                self._change.wait_for(lambda: not self._is_measuring, longest)
            self._runs += 1
        try:
            yield
        finally:
            with self._change:
                self._runs -= 1
                self._change.notify_all()

    @contextlib.contextmanager
    def measuring(self) -> Iterator[None]:
        """Calls that come meanwhile wait, as they would for the processors.

        Those that are in progress end before, unless they take long.
        """
        with self._change:
            self._is_measuring = True
            self._change.wait_for(lambda: not self._runs, _MEASURED_SECONDS)
        try:
            yield
        finally:
            with self._change:
                self._is_measuring = False
                self._change.notify_all()

    def wait_until_idle(self) -> None:
        """Until no call is answered, and no longer than a moment: some accelerators always work."""
        with self._change:
            self._change.wait_for(lambda: not self._runs, _IDLE_SECONDS)


class _TooSlowError(Exception):
    """The compiled graph is not faster, at this time."""


class CompilingEngine:
    """TensorFlow, with OpenVINO behind it.

    Args:
        engine: admits, loads, and answers first.
        watched: where a graph is at work while it is compiled, by its id.
        uncompiled: ids of graphs that are left to TensorFlow.
    """

    def __init__(
        self,
        engine: TensorFlowEngine,
        watched: _Watched = lambda _: nullcontext(),
        uncompiled: frozenset[bytes] = frozenset(),
    ) -> None:
        self._engine, self._watched, self._uncompiled = engine, watched, uncompiled
        self.version = f"{engine.version}, {installed_version()}"
        self._work = _Work()

    def weigh(self, folder: Path, manifest_: Manifest) -> Weights:
        """See `Engine.weigh`."""
        return self._engine.weigh(folder, manifest_)

    def load(self, folder: Path, manifest_: Manifest) -> Graph:
        """See `Engine.load`."""
        graph = self._engine.load(folder, manifest_)
        graph_id = manifest_.graph_id()
        if graph_id in self._uncompiled or not graph.is_freezable():
            return graph
        graph.keep_reads()
        return CompilingGraph(graph, self._work, lambda: self._watched(graph_id))


class CompilingGraph:
    """One graph, answered by TensorFlow or compiled, and nobody has to know by which.

    Attributes:
        why: why it is not compiled; None before that is known, and where it is.
    """

    repeatable = True  # else it is not compiled

    def __init__(
        self,
        graph: TensorFlowGraph,
        work: _Work,
        watched: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._graph, self._work, self._watched = graph, work, watched
        self.feeds: Mapping[str, TensorSpec] = graph.feeds
        self.fetches: Mapping[str, TensorSpec] = graph.fetches
        self.why: str | None = None
        self._ready: dict[_Shapes, _Compiled] = {}
        self._calls: dict[_Shapes, int] = {}
        self._lock = threading.Lock()
        self._closed = self._has_failed = False

    @property
    def executed_by(self) -> str:
        """See `Graph.executed_by`."""
        ready = list(self._ready.values())
        if not ready:
            return self._graph.executed_by + (" (compiled, it failed)" if self._has_failed else "")
        return f"{installed_version()} ({max(one.gain for one in ready):.1f} x)"

    def run(self, feeds: Mapping[str, Array], timeout: float | None) -> dict[str, Array]:
        """See `Graph.run`."""
        began = time.monotonic()
        with self._work.running(timeout):
            values = self._graph.convert(feeds)
            shapes = _shapes(values)
            compiled = self._ready.get(shapes)
            timeout = _left(timeout, began)
            if compiled is not None:
                try:
                    return compiled.run(values, timeout)
                except AcceleratorError:
                    raise
                except Exception as error:
                    self._give_up(f"it failed: {type(error).__name__}")
                    timeout = _left(timeout, began)
            answer = self._graph.run(values, timeout)
        if compiled is None and self._wants(shapes):
            self._start(values, shapes)
        return answer

    def cost(self, shapes: Mapping[str, tuple[int, ...] | None]) -> Cost | None:
        """See `Graph.cost`."""
        return self._graph.cost(shapes)

    def close(self) -> None:
        """See `Graph.close`."""
        with self._lock:
            self._closed = True
            ready = list(self._ready.values())
            self._ready.clear()
        for one in ready:
            one.model.close()
        self._graph.close()

    def _wants(self, shapes: _Shapes) -> bool:
        """Whether to compile for a call with these shapes, which TensorFlow has answered."""
        if self.why is not None or self._closed or len(shapes) != len(self.feeds):
            return False
        with self._lock:
            if shapes not in self._calls and len(self._calls) >= _MOST_COUNTED:
                return False
            self._calls[shapes] = self._calls.get(shapes, 0) + 1
            begun = sum(1 for calls in self._calls.values() if calls >= _TRIED_AT[0])
            return self._calls[shapes] in _TRIED_AT and begun <= MOST_SHAPES

    def _start(self, values: Mapping[str, Array], shapes: _Shapes) -> None:
        # Copied, because the memory they came in is used again for the next call.
        kept = {alias: np.array(value) for alias, value in values.items()}
        threading.Thread(
            target=self._compile, args=(kept, shapes), name="compile", daemon=True
        ).start()

    def _compile(self, values: Mapping[str, Array], shapes: _Shapes) -> None:
        """Compile for one set of shapes and try it; on a thread of its own."""
        with self._work.turn:
            self._work.wait_until_idle()
            if self._closed or self.why is not None:
                return
            try:
                with self._watched():
                    self._keep(shapes, self._tried(values))
            except _TooSlowError as error:
                _log.info("a graph stays with TensorFlow for now: %s", error)
            except (NotFrozenError, NotCompiledError) as error:
                self._give_up(str(error))
            except Exception as error:  # TensorFlow's too: it may have been closed meanwhile
                self._give_up(f"it failed: {type(error).__name__}")

    def _tried(self, values: Mapping[str, Array]) -> _Compiled:
        """The compiled graph, once it has answered as TensorFlow does, and faster.

        Raises:
            NotFrozenError, NotCompiledError: it cannot be compiled.
            _TooSlowError: it is no better.
        """
        compiled = _Compiled.make(self._graph, values)
        try:
            compiled.gain = self._trial(compiled, values)
        except BaseException:
            compiled.model.close()
            raise
        return compiled

    def _trial(self, compiled: _Compiled, values: Mapping[str, Array]) -> float:
        noise = {alias: _noise(value) for alias, value in values.items()}
        for fed in (values, noise):
            wanted, got = self._graph.run(fed, _RUN_SECONDS), compiled.run(fed, _RUN_SECONDS)
            if why := why_different(wanted, got):
                raise NotCompiledError(why)
        trial = self._measured(compiled, values)
        if why := why_slow(trial):
            raise _TooSlowError(why)
        return trial.gain

    def _measured(self, compiled: _Compiled, values: Mapping[str, Array]) -> Trial:
        trial, end = Trial([], []), time.monotonic() + _TRIAL_SECONDS
        while len(trial.compiled) < _MOST_TRIALS and not self._closed:
            if time.monotonic() > end and len(trial.compiled) >= _LEAST_TRIALS:
                break
            with self._work.measuring():
                trial.tensorflow.append(_seconds(lambda: self._graph.run(values, _RUN_SECONDS)))
            with self._work.measuring():
                trial.compiled.append(_seconds(lambda: compiled.run(values, _RUN_SECONDS)))
        if self._closed:
            raise NotCompiledError("it was unloaded")
        return trial

    def _keep(self, shapes: _Shapes, compiled: _Compiled) -> None:
        with self._lock:
            if not self._closed:
                self._ready[shapes] = compiled
                _log.info("compiled a graph: %s for %s", self.executed_by, _text(shapes))
                return
        compiled.model.close()

    def _give_up(self, why: str) -> None:
        """Leave everything to TensorFlow from now on."""
        with self._lock:
            ready = list(self._ready.values())
            self._ready.clear()
            if self.why is None and not self._closed:
                self.why, self._has_failed = why, bool(ready)
                level = logging.WARNING if ready else logging.INFO
                _log.log(level, "a graph stays with TensorFlow: %s", why)
        # Others may be inside: their memory goes with the last of them.
        del ready


@dataclass
class _Compiled:
    """A compiled graph, and where its feeds and fetches are in it."""

    graph: TensorFlowGraph
    numbers: Mapping[str, int]
    fetched: Mapping[str, int]
    model: OpenVinoModel
    gain: float = 0.0

    @staticmethod
    def make(graph: TensorFlowGraph, values: Mapping[str, Array]) -> _Compiled:
        """Compile for the shapes of these values.

        Raises:
            NotFrozenError, NotCompiledError: it cannot be.
        """
        feeds: dict[str, Fed] = {}
        for alias, value in values.items():
            feeds[graph.feeds[alias].tensor] = Fed(graph.feeds[alias].dtype, value.shape)
        if len(feeds) < len(values):
            raise NotFrozenError("one tensor is fed under two names")
        tensors = [spec.tensor for spec in graph.fetches.values()]
        wanted = list(dict.fromkeys(one for one in tensors if one not in feeds))
        frozen = graph.frozen(feeds, wanted)
        numbers = {alias: number for number, alias in enumerate(values)}
        fetched = {tensor: number for number, tensor in enumerate(wanted)}
        return _Compiled(graph, numbers, fetched, OpenVinoModel(frozen, len(wanted)))

    def run(self, values: Mapping[str, Array], timeout: float | None) -> dict[str, Array]:
        """See `Graph.run`."""
        fed = {self.numbers[alias]: value for alias, value in values.items()}
        results = self.model.run(fed, timeout)
        given = {self.graph.feeds[alias].tensor: value for alias, value in values.items()}
        return {
            alias: self.graph.as_fetched(
                alias,
                results[self.fetched[spec.tensor]]
                if spec.tensor in self.fetched
                else given[spec.tensor],
            )
            for alias, spec in self.graph.fetches.items()
        }


def _left(timeout: float | None, began: float) -> float | None:
    """Seconds left of a time-out; TensorFlow says that it ran out where there are none."""
    return None if timeout is None else max(timeout - (time.monotonic() - began), 0.001)


def _shapes(values: Mapping[str, Array]) -> _Shapes:
    return tuple(sorted((alias, value.shape) for alias, value in values.items()))


def _text(shapes: _Shapes) -> str:
    return ", ".join("x".join(map(str, shape)) or "a scalar" for _, shape in shapes)


def _noise(value: Array) -> Array:
    """Other values of the same shape: as different from each other as those that were fed."""
    chance = np.random.default_rng(0)
    if value.dtype.kind != "f":
        return chance.integers(0, 256, value.shape, value.dtype)
    finite = value[np.isfinite(value)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    return chance.uniform(low, high + 1.0, value.shape).astype(value.dtype)


def _seconds(run: Callable[[], Any]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began
