"""Tries what could answer in TensorFlow's place: does it answer the same, and how fast is it?"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from accel_daemon.engines.compiled_choice import Trial, is_clear, why_different, why_slow
from accel_daemon.engines.compiled_stand_in import StandIn
from accel_daemon.engines.compiled_work import Work
from accel_daemon.engines.openvino_model import NotCompiledError
from accel_daemon.engines.reduced_precision import error_of, why_not_borne, worst
from accel_daemon.engines.tensorflow import TensorFlowGraph
from accel_protocol.tensors import Array

_MOST_TRIALS, _LEAST_TRIALS = 21, 5
_TRIAL_SECONDS = 2.0
_MOST_UNCLEAR_TRIALS, _UNCLEAR_SECONDS = 45, 8.0
_RUN_SECONDS = 10.0
_SMALL_SECONDS = 0.005
_Run = Callable[[Mapping[str, Array], float | None], Any]


class TooSlowError(Exception):
    """What was tried is not faster, at this time."""


class Trials:
    """Trials of what could answer for one graph, with what one of its calls was fed.

    Args:
        graph: TensorFlow's.
        values: the feeds, by alias.
        work: whose turn it is.
        is_over: whether nobody wants to know any more.
    """

    def __init__(
        self,
        graph: TensorFlowGraph,
        values: Mapping[str, Array],
        work: Work,
        is_over: Callable[[], bool],
    ) -> None:
        self._graph, self._values, self._work, self._is_over = graph, values, work, is_over

    def is_small(self) -> bool:
        """Whether TensorFlow needs so little time that computing may be a small part of it."""
        return any(self._seconds(self._graph.run) < _SMALL_SECONDS for _ in range(_LEAST_TRIALS))

    def measure(self, stand_in: StandIn) -> None:
        """Find out how many times faster it answers.

        Raises:
            NotCompiledError: it answers something else, or the trial is over.
            TooSlowError: it is not fast enough.
        """
        for wanted, got in self._answers(stand_in):
            if why := why_different(wanted, got):
                raise NotCompiledError(why)
        trial = self._compared(self._graph.run, stand_in.run)
        if why := why_slow(trial):
            raise TooSlowError(why)
        stand_in.gain, stand_in.seconds = trial.gain, min(trial.after)

    def measure_reduced(self, stand_in: StandIn, best: StandIn | None) -> None:
        """The same for what computes in fewer bits, and how far from TensorFlow that is.

        Args:
            stand_in: computes so.
            best: what answers now, if not TensorFlow; it has to be faster than that.

        Raises:
            NotCompiledError: it is too far, or the trial is over.
            TooSlowError: it is not fast enough.
        """
        error = worst([error_of(*answers) for answers in self._answers(stand_in)])
        if why := why_not_borne(error):
            raise NotCompiledError(why)
        trial = self._compared(best.run if best else self._graph.run, stand_in.run)
        if why := why_slow(trial):
            raise TooSlowError(why)
        stand_in.gain = max(trial.gain, 1.0) * (best.gain if best else 1.0)
        stand_in.seconds, stand_in.error = min(trial.after), error

    def _answers(self, stand_in: StandIn) -> Iterator[tuple[dict[str, Array], dict[str, Array]]]:
        """TensorFlow's and its, to the call's feeds and to noise."""
        other = {alias: noise(value) for alias, value in self._values.items()}
        for fed in (self._values, other):
            yield self._graph.run(fed, _RUN_SECONDS), stand_in.run(fed, _RUN_SECONDS)

    def _compared(self, before: _Run, after: _Run) -> Trial:
        return compared(lambda: self._seconds(before), lambda: self._seconds(after), self._is_over)

    def _seconds(self, run: _Run) -> float:
        with self._work.measuring():
            began = time.perf_counter()
            run(self._values, _RUN_SECONDS)
            return time.perf_counter() - began


def compared(
    before: Callable[[], float], after: Callable[[], float], is_over: Callable[[], bool]
) -> Trial:
    """Run both in turns, as often as it takes to tell which is faster.

    Args:
        before: runs once as things are, and says how many seconds it took.
        after: the same as they could be.
        is_over: whether nobody wants to know any more.

    Raises:
        NotCompiledError: nobody does.
    """
    trial, began = Trial([], []), time.monotonic()
    while not is_over():
        if _is_enough(trial, time.monotonic() - began):
            return trial
        for run, seconds, work in (
            (before, trial.before, trial.work_before),
            (after, trial.after, trial.work_after),
        ):
            worked = time.process_time()
            seconds.append(run())
            work.append(time.process_time() - worked)
    raise NotCompiledError("it was unloaded")


def _is_enough(trial: Trial, seconds: float) -> bool:
    count = len(trial.after)
    if count < _LEAST_TRIALS or not (count >= _MOST_TRIALS or seconds >= _TRIAL_SECONDS):
        return False
    return is_clear(trial) or count >= _MOST_UNCLEAR_TRIALS or seconds >= _UNCLEAR_SECONDS


def noise(value: Array, seed: int = 0) -> Array:
    """Other values of the same shape: as different from each other as those that were fed."""
    chance = np.random.default_rng(seed)
    if value.dtype == np.uint8:
        return chance.integers(0, 256, value.shape, value.dtype)
    if value.dtype.kind != "f":  # numbers may have to be places in a table
        return chance.permutation(value.ravel()).reshape(value.shape)
    finite = value[np.isfinite(value)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    return chance.uniform(low, high + 1.0, value.shape).astype(value.dtype)
