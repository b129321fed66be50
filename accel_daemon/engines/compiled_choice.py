"""Whether a compiled graph answers in TensorFlow's place, told from a trial of both. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import mean

import numpy as np

from accel_protocol.tensors import Array

RELATIVE = 1e-4
"""How far a float may be from TensorFlow's, of its own size."""
ABSOLUTE = 1e-5
"""How far beside that, of the size of the tensor's largest element: zero has none of its own."""
LEAST_GAIN = 1.1
"""How many times faster it has to be: what is gained by less is noise, and costs memory."""
LEAST_SAVING = 1.3
"""How many times less of the processors makes up for no gain."""
_AS_FAST = 0.9
_UNCLEAR = 1.2


@dataclass(frozen=True)
class Trial:
    """What was measured, in seconds: runs of two kinds in turn, with equal feeds.

    Attributes:
        before: as things are.
        after: as they could be.
        work_before, work_after: how much of the processors each of them took, where that is known.
    """

    before: list[float]
    after: list[float]
    work_before: list[float] = field(default_factory=list)
    work_after: list[float] = field(default_factory=list)

    @property
    def gain(self) -> float:
        """How many times faster it would be.

        Told from the fastest fifth of the runs: whoever else uses the processors only takes time.
        """
        return _undisturbed(self.before) / max(_undisturbed(self.after), 1e-9)

    @property
    def saving(self) -> float:
        """How many times less of the processors it would take; 1 where that is not known."""
        if not self.work_after:
            return 1.0
        return _undisturbed(self.work_before) / max(_undisturbed(self.work_after), 1e-9)


def is_clear(trial: Trial) -> bool:
    """Whether the gain is so far from what is needed that more runs would not change the choice."""
    return not LEAST_GAIN / _UNCLEAR < trial.gain < LEAST_GAIN * _UNCLEAR


def _is_as_fast_for_less(trial: Trial) -> bool:
    """On a machine that others use, too, nothing is fast; what needs less of it still is better."""
    return trial.gain >= _AS_FAST and trial.saving >= LEAST_SAVING


def why_slow(trial: Trial) -> str | None:
    """Why its speed does not make up for a compiled graph; None where it does."""
    if trial.gain >= LEAST_GAIN or _is_as_fast_for_less(trial):
        return None
    return f"it is {trial.gain:.1f} x as fast, and {LEAST_GAIN} x would be needed"


def why_different(wanted: Mapping[str, Array], got: Mapping[str, Array]) -> str | None:
    """How answers differ by more than rounding does; None where they are as good as equal.

    Args:
        wanted: what TensorFlow answered, by alias.
        got: what the compiled graph answered to the same feeds.
    """
    if wanted.keys() != got.keys():
        return "it answers with other tensors"
    for alias, value in wanted.items():
        if got[alias].shape != value.shape or got[alias].dtype != value.dtype:
            return f"{alias} has another shape or element type"
        if not _is_close(value, got[alias]):
            return f"{alias} differs by more than rounding"
    return None


def _undisturbed(seconds: list[float]) -> float:
    return mean(sorted(seconds)[: (len(seconds) + 4) // 5])


def _is_close(wanted: Array, got: Array) -> bool:
    if wanted.dtype.kind != "f":
        return bool(np.array_equal(wanted, got))
    finite = np.isfinite(wanted)
    if not np.array_equal(wanted[~finite], got[~finite], equal_nan=True):
        return False
    a, b = wanted[finite].astype(np.float64), got[finite].astype(np.float64)
    if not a.size:
        return True
    allowed = RELATIVE * np.abs(a) + ABSOLUTE * np.abs(a).max()
    return bool(np.all(np.abs(a - b) <= allowed))
