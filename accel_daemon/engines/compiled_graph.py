"""Compiles graphs behind the TensorFlow engine, and lets the faster one of both answer.

The first calls with given shapes are TensorFlow's. When shapes come back, the graph is compiled for
them beside the calls, tried with what one of these calls was fed, and takes over if it answers the
same and faster; where it was only not faster, it is tried again after more calls. Whatever goes
wrong with it, TensorFlow answers, then and from then on.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager

import numpy as np

from accel_daemon.engines.compiled_stand_in import Reduced, StandIn, prepared
from accel_daemon.engines.compiled_trial import TooSlowError, Trials
from accel_daemon.engines.compiled_work import Work
from accel_daemon.engines.engine import Cost, TensorSpec
from accel_daemon.engines.openvino_model import NotCompiledError
from accel_daemon.engines.reduced_precision import worst
from accel_daemon.engines.tensorflow import TensorFlowGraph
from accel_daemon.engines.tensorflow_frozen import NotFrozenError
from accel_protocol.errors import AcceleratorError
from accel_protocol.tensors import Array

MOST_SHAPES = 3
"""For how many sets of shapes one graph is compiled: each holds the weights once more."""
_TRIED_AT = (2, 16, 128, 1024, 8192)
"""At which calls with the same shapes; again, because others may have had the processors before."""
_MOST_COUNTED = 64
_QUICK_SECONDS = 0.0002
"""Of a prepared graph that is not compiled: there is less to gain than compiling takes."""
_log = logging.getLogger(__name__)

_Shapes = tuple[tuple[str, tuple[int, ...]], ...]
Maker = Callable[[TensorFlowGraph, Mapping[str, Array]], StandIn]


class CompilingGraph:
    """One graph, answered by TensorFlow or compiled, and nobody has to know by which.

    Args:
        graph: TensorFlow's; repeatable, and with its reads kept where there are makers.
        work: whose turn it is.
        watched: where the graph is at work while it is compiled.
        makers: of what may answer in TensorFlow's place.
        has_room: whether there is memory for making it now.

    Attributes:
        why: why it is not compiled; None before that is known, and where it is.
    """

    repeatable = True  # else it is not compiled

    def __init__(
        self,
        graph: TensorFlowGraph,
        work: Work,
        watched: Callable[[], AbstractContextManager[None]],
        makers: Sequence[Maker],
        has_room: Callable[[], bool] = lambda: True,
    ) -> None:
        self._graph, self._work, self._watched = graph, work, watched
        self._makers, self._has_room = list(makers), has_room
        self.feeds: Mapping[str, TensorSpec] = graph.feeds
        self.fetches: Mapping[str, TensorSpec] = graph.fetches
        self.why: str | None = None
        self._ready: dict[_Shapes, StandIn] = {}
        self._calls: dict[_Shapes, int] = {}
        self._begun: set[_Shapes] = set()
        self._settled: set[_Shapes] = set()
        self._lock = threading.Lock()
        self._closed = self._has_failed = False
        self._unreduced = ""  # why it does not compute in fewer bits, where that was asked for

    @property
    def executed_by(self) -> str:
        """See `Graph.executed_by`."""
        ready = list(self._ready.values())
        if not ready:
            failed = " (compiled, it failed)" if self._has_failed else ""
            return self._graph.executed_by + failed + self._unreduced
        best = max(ready, key=lambda one: one.gain)
        errors = [one.error for one in ready if one.error is not None]
        if not errors:
            return f"{best.name} ({best.gain:.1f} x){self._unreduced}"
        return f"{best.name} ({best.gain:.1f} x; {worst(errors)})"

    def run(self, feeds: Mapping[str, Array], timeout: float | None) -> dict[str, Array]:
        """See `Graph.run`."""
        began = time.monotonic()
        self._work.begin(timeout)
        try:
            return self.run_now(feeds, _left(timeout, began))
        finally:
            self._work.end()

    def run_now(self, feeds: Mapping[str, Array], timeout: float | None) -> dict[str, Array]:
        """The same for who measures, and has not to wait for that."""
        began = time.monotonic()
        values = self._graph.convert(feeds)
        shapes = _shapes(values)
        ready = self._ready.get(shapes)
        if ready is not None and (timeout is None or timeout >= ready.model.least_seconds):
            try:
                return ready.run(values, timeout)
            except AcceleratorError:
                raise
            except Exception as error:
                self._give_up(f"it failed: {type(error).__name__}")
        answer = self._graph.run(values, _left(timeout, began))
        if ready is None and self._wants(shapes):
            self._start(values, shapes)
        return answer

    def is_settled(self, feeds: Mapping[str, Array]) -> bool:
        """Whether what answers calls with feeds of these shapes is not going to change soon."""
        shapes = _shapes(feeds)
        return self._is_over() or shapes not in self._begun or shapes in self._settled

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
            one.close()
        self._graph.close()

    def _wants(self, shapes: _Shapes) -> bool:
        """Whether to compile for a call with these shapes, which TensorFlow has answered."""
        if self._is_over() or not self._makers or len(shapes) != len(self.feeds):
            return False
        with self._lock:
            if shapes not in self._calls and len(self._calls) >= _MOST_COUNTED:
                return False
            self._calls[shapes] = self._calls.get(shapes, 0) + 1
            if self._calls[shapes] not in _TRIED_AT:
                return False
            if shapes not in self._begun and len(self._begun) >= MOST_SHAPES:
                return False
            self._begun.add(shapes)
            return True

    def _start(self, values: Mapping[str, Array], shapes: _Shapes) -> None:
        # Copied, because the memory they came in is used again for the next call.
        kept = {alias: np.array(value) for alias, value in values.items()}
        threading.Thread(
            target=self._work_on, args=(kept, shapes), name="compile", daemon=True
        ).start()

    def _work_on(self, values: Mapping[str, Array], shapes: _Shapes) -> None:
        """Compile and try, on a thread of its own and with nobody else at it."""
        with self._work.turn:
            self._work.wait_until_idle()
            try:
                with self._watched():
                    trials = Trials(self._graph, values, self._work, self._is_over)
                    self._compile(trials, values, shapes)
            except Exception as error:  # TensorFlow's too: it may have been closed meanwhile
                self._give_up(f"it failed: {type(error).__name__}")

    def _compile(self, trials: Trials, values: Mapping[str, Array], shapes: _Shapes) -> None:
        """Make what could answer for one set of shapes and try it."""
        if shapes in self._ready:  # calls went on while it was compiled
            return
        try:
            for make in list(self._makers):
                self._try(make, trials, values, shapes)
        finally:
            self._settled.add(shapes)

    def _is_over(self) -> bool:
        return self._closed or self.why is not None

    def _try(
        self, make: Maker, trials: Trials, values: Mapping[str, Array], shapes: _Shapes
    ) -> None:
        if self._is_over():
            return
        try:
            if not self._has_room():
                raise TooSlowError("there is no memory for it")
            if make is prepared and not trials.is_small():
                raise NotCompiledError("most of its time is computing")
            if make is not prepared and self._is_quick(shapes):
                raise TooSlowError("it takes too little time to be worth compiling")
            stand_in = make(self._graph, values)
            try:
                if isinstance(make, Reduced):
                    trials.measure_reduced(stand_in, self._ready.get(shapes))
                else:
                    trials.measure(stand_in)
            except BaseException:
                stand_in.close()
                raise
            self._keep(shapes, stand_in)
        except TooSlowError as error:
            self._note(make, error)
            _log.info("a graph stays with TensorFlow for now: %s", error)
        except (NotFrozenError, NotCompiledError) as error:
            self._note(make, error)
            self._makers.remove(make)
            if not self._makers and not self._ready:
                self._give_up(str(error))

    def _is_quick(self, shapes: _Shapes) -> bool:
        """Whether it is prepared, and takes less time than a call's way through the network."""
        ready = self._ready.get(shapes)
        return ready is not None and ready.seconds < _QUICK_SECONDS

    def _note(self, make: Maker, why: Exception) -> None:
        """Whoever asked for fewer bits is told that they are not had, and why."""
        if isinstance(make, Reduced):
            self._unreduced = f", not {make.precision}: {why}"

    def _keep(self, shapes: _Shapes, stand_in: StandIn) -> None:
        with self._lock:
            before = self._ready.get(shapes)
            if not self._closed and (before is None or before.gain <= stand_in.gain):
                self._ready[shapes] = stand_in
                _log.info("compiled a graph: %s for %s", self.executed_by, _text(shapes))
                return
        stand_in.close()

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


def _left(timeout: float | None, began: float) -> float | None:
    """Seconds left of a time-out; TensorFlow says that it ran out where there are none."""
    return None if timeout is None else max(timeout - (time.monotonic() - began), 0.001)


def _shapes(values: Mapping[str, Array]) -> _Shapes:
    return tuple(sorted((alias, value.shape) for alias, value in values.items()))


def _text(shapes: _Shapes) -> str:
    return ", ".join("x".join(map(str, shape)) or "a scalar" for _, shape in shapes)
