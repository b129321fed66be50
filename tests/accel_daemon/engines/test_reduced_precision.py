"""How far answers in fewer bits are off, and how far they may be."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from accel_daemon.engines.reduced_precision import Error, error_of, why_not_borne, worst

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("wanted", "got", "expected"),
    [
        ([1.0, -4.0], [1.0, -4.0], Error(0.0, 0.0)),
        ([1.0, -4.0], [1.5, -4.0], Error(0.5, 0.125)),
        ([0.0, 0.0], [0.0, 0.0], Error(0.0, 0.0)),
        ([0.0, 0.0], [0.0, 0.5], Error(0.5, INF)),
        ([1.0, NAN], [1.0, NAN], Error(0.0, 0.0)),
        ([2.0, INF], [1.0, INF], Error(1.0, 0.5)),
        ([1.0, INF], [1.0, -INF], Error(INF, INF)),
        ([1.0, 2.0], [1.0, NAN], Error(INF, INF)),
        ([1.0, NAN], [1.0, 2.0], Error(INF, INF)),
        ([1.0, 2.0], [1.0, INF], Error(INF, INF)),
        ([], [], Error(0.0, 0.0)),
        ([[1, 2], [3, 4]], [[1, 2], [3, 5]], Error(0.0, 0.25)),
    ],
)
def test_the_error_of_one_tensor(wanted: list[Any], got: list[Any], expected: Error) -> None:
    """As a difference, and as a part of the largest element."""
    assert error_of({"y": np.array(wanted)}, {"y": np.array(got)}) == expected


def test_of_several_tensors_the_worst_counts() -> None:
    """Of each kind by itself."""
    wanted = {"a": np.array([100.0]), "b": np.array([1.0])}
    assert error_of(wanted, {"a": np.array([102.0]), "b": np.array([1.5])}) == Error(2.0, 0.5)
    assert worst([]) == Error()


NORMAL = st.floats(-1e6, 1e6, width=32, allow_subnormal=False)


@given(st_numpy.arrays(np.float32, 5, elements=NORMAL))
def test_rounding_to_16_bits_is_borne(value: np.ndarray[Any, Any]) -> None:
    """By itself it is off by a 256th at most; numbers of fewer bits than usual are left out."""
    import ml_dtypes

    error = error_of({"y": value}, {"y": value.astype(ml_dtypes.bfloat16).astype("f")})
    assert error.relative <= 2**-8
    assert why_not_borne(error) is None


@pytest.mark.parametrize(
    ("relative", "is_borne"), [(0.0, True), (0.2, True), (0.21, False), (INF, False), (NAN, False)]
)
def test_nobody_wants_another_answer(relative: float, is_borne: bool) -> None:
    """Above a fifth of the largest element it is one, and the reason has the figures."""
    why = why_not_borne(Error(0.5, relative))
    assert (why is None) is is_borne
    assert is_borne or f"error 0.5, {relative:.2g} of the largest" in str(why)
