"""How far two answers to the same feeds are apart. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from accel_protocol.tensors import Array
from client_runtime.cli.outputs import as_array


@dataclass(frozen=True)
class Difference:
    """One output's.

    Attributes:
        alias: the output.
        absolute: the largest absolute difference of two elements; None where there is no number to
            tell: other shapes, strings that differ, or not finite on one side only.
        relative: the largest difference in relation to the second side's element; None as above.
    """

    alias: str
    absolute: float | None
    relative: float | None


def compare(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[Difference]:
    """The difference of every output that either side has."""
    return [
        _difference(alias, as_array(ours[alias]), as_array(theirs[alias]))
        if alias in ours and alias in theirs
        else Difference(alias, None, None)
        for alias in sorted(set(ours) | set(theirs))
    ]


def worst(differences: list[Difference]) -> tuple[float, float] | None:
    """The largest absolute and relative difference; None when one cannot be told in numbers."""
    absolutes = [one.absolute for one in differences if one.absolute is not None]
    relatives = [one.relative for one in differences if one.relative is not None]
    if len(absolutes) < len(differences):
        return None
    return max(absolutes, default=0.0), max(relatives, default=0.0)


def _difference(alias: str, one: Array, other: Array) -> Difference:
    if one.shape != other.shape or (one.dtype.kind == "O") != (other.dtype.kind == "O"):
        return Difference(alias, None, None)
    if one.dtype.kind == "O":
        equal = one.tolist() == other.tolist()
        return Difference(alias, 0.0, 0.0) if equal else Difference(alias, None, None)
    a, b = _wide(one), _wide(other)
    finite = np.isfinite(a) & np.isfinite(b)
    # Of what is not finite only equality can be asked; a NaN equals a NaN here.
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return Difference(alias, None, None)
    gap, size = np.abs(a[finite] - b[finite]), np.abs(b[finite])
    ratio = np.divide(gap, size, out=np.where(gap > 0, np.inf, 0.0), where=size > 0)
    return Difference(alias, float(gap.max(initial=0)), float(ratio.max(initial=0)))


def _wide(array: Array) -> Any:
    # longdouble, because float64 cannot tell large neighbouring integers apart.
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.longdouble)
