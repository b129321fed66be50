"""Whether a compiled graph takes over, told from what a trial showed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from accel_daemon.engines.compiled_choice import Trial, is_clear, why_different, why_slow

INF, NAN = np.inf, np.nan


def floats(*values: float) -> dict[str, Any]:
    """An answer of one tensor."""
    return {"y": np.array(values, np.float32)}


@pytest.mark.parametrize(
    ("wanted", "got"),
    [
        (floats(1, 100), floats(1.0009, 100)),  # of the largest element's size
        (floats(100, 0), floats(100.009, 0.0009)),
        (floats(0, 0), floats(0, 0)),
        (floats(), floats()),
        (floats(1, INF, -INF, NAN), floats(1, INF, -INF, NAN)),
        ({"y": np.array(3)}, {"y": np.array(3)}),
    ],
)
def test_rounding_is_no_difference(wanted: dict[str, Any], got: dict[str, Any]) -> None:
    """Relative to each element, and to the largest one."""
    assert why_different(wanted, got) is None


@pytest.mark.parametrize(
    ("wanted", "got", "why"),
    [
        (floats(1, 100), floats(1.002, 100), "y differs"),
        (floats(0, 0), floats(0, 1e-9), "y differs"),
        (floats(1, INF), floats(1, 1), "y differs"),
        (floats(1, 2), floats(1, NAN), "y differs"),
        (floats(NAN), floats(INF), "y differs"),
        (floats(1), floats(1, 1), "another shape"),
        (floats(1), {"y": np.array([1], np.float64)}, "another shape or element type"),
        (floats(1), {"z": np.array([1], np.float32)}, "other tensors"),
        ({"y": np.array([1, 2])}, {"y": np.array([1, 3])}, "y differs"),
        ({"y": np.array([True])}, {"y": np.array([False])}, "y differs"),
    ],
)
def test_everything_else_is_one(wanted: dict[str, Any], got: dict[str, Any], why: str) -> None:
    """It is said which tensor is meant."""
    assert why in str(why_different(wanted, got))


def test_the_fastest_runs_decide_whether_it_is_faster() -> None:
    """What else the processors did meanwhile says nothing, be it most of the time."""
    assert why_slow(Trial([2.2, 2.2, 9.0], [2.0, 9.0, 2.0])) is None
    assert why_slow(Trial([2.2] * 10, [9.0] * 8 + [2.0] * 2)) is None
    assert "1.1 x" in str(why_slow(Trial([2.2] * 11, [9.0] * 9 + [2.0, 2.2])))
    assert "1.0 x" in str(why_slow(Trial([2.0, 2.0, 9.0], [2.0, 2.0, 2.0])))
    assert "0.5 x" in str(why_slow(Trial([1.0], [2.0])))


def test_as_fast_with_less_of_the_processors_is_enough() -> None:
    """Others that use them, too, make both equally slow."""
    assert why_slow(Trial([2.0], [2.0], [3.0], [2.0])) is None
    assert "1.0 x" in str(why_slow(Trial([2.0], [2.0], [3.0], [2.5])))
    assert "0.8 x" in str(why_slow(Trial([2.0], [2.5], [3.0], [1.0])))


def test_a_trial_near_the_limit_goes_on() -> None:
    """And one that is far from it does not."""
    assert not is_clear(Trial([1.1], [1.0]))
    assert is_clear(Trial([2.0], [1.0]))
    assert is_clear(Trial([1.0], [2.0]))


def test_a_run_that_takes_no_time_is_no_division_by_zero() -> None:
    """Clocks have steps."""
    assert Trial([1.0], [0.0]).gain > 1
