"""Computing in fewer bits, on request: how far answers are off, and what is borne. Pure.

A 16-bit float has 3 (bf16) or 4 (f16) digits where a 32-bit one has 8, and rounding adds up from
layer to layer. How far that goes depends on the graph, so it is measured on the graph.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from accel_protocol.tensors import Array

MOST_ERROR = 0.2
"""Of the largest element: whoever asks for fewer bits does not ask for another answer."""


@dataclass(frozen=True)
class Error:
    """How far answers are from TensorFlow's, which computes in 32 bits.

    Attributes:
        absolute: the largest difference of two elements.
        relative: the same as a part of the largest element of its tensor. Of tensors that are not
            floats it is the share of elements that differ.
    """

    absolute: float = 0.0
    relative: float = 0.0

    def __str__(self) -> str:
        return f"error {self.absolute:.2g}, {self.relative:.2g} of the largest"


def error_of(wanted: Mapping[str, Array], got: Mapping[str, Array]) -> Error:
    """The largest error of all tensors.

    Args:
        wanted: what TensorFlow answered, by alias.
        got: what was computed in fewer bits, of the same shapes; infinite where an element is not
            finite and should be, or the other way round.
    """
    return worst([_error(value, got[alias]) for alias, value in wanted.items()])


def worst(errors: list[Error]) -> Error:
    """The largest of each kind; none where there are none."""
    return Error(
        max((one.absolute for one in errors), default=0.0),
        max((one.relative for one in errors), default=0.0),
    )


def why_not_borne(error: Error) -> str | None:
    """Why nobody would want such answers; None where they may be given."""
    if error.relative <= MOST_ERROR:
        return None
    return f"its {error} is above {MOST_ERROR}"


def _error(wanted: Array, got: Array) -> Error:
    if wanted.dtype.kind != "f":
        return Error(relative=float(np.mean(wanted != got)) if wanted.size else 0.0)
    finite = np.isfinite(wanted)
    if not np.array_equal(wanted[~finite], got[~finite], equal_nan=True):
        return Error(math.inf, math.inf)
    a, b = wanted[finite].astype(np.float64), got[finite].astype(np.float64)
    if not np.all(np.isfinite(b)):
        return Error(math.inf, math.inf)
    absolute = float(np.abs(a - b).max(initial=0.0))
    largest = float(np.abs(a).max(initial=0.0))
    return Error(absolute, absolute / largest if largest else (math.inf if absolute else 0.0))
