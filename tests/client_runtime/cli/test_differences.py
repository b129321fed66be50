"""How far two answers are apart."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp

from client_runtime.cli.differences import Difference, compare, worst


@pytest.mark.parametrize(
    ("one", "other", "absolute", "relative"),
    [
        (np.array([1.0, 2.0]), np.array([1.0, 2.5]), 0.5, 0.2),
        (np.float32(3), np.float32(3), 0, 0),
        (np.array([1.0]), np.array([0.0]), 1, float("inf")),
        (np.array([np.nan, np.inf]), np.array([np.nan, np.inf]), 0, 0),
        (np.array([np.nan]), np.array([1.0]), None, None),
        (np.array([np.inf]), np.array([-np.inf]), None, None),
        (np.zeros((1, 2)), np.zeros((2, 1)), None, None),
        (b"a", b"a", 0, 0),
        (b"a", b"b", None, None),
        (b"a", np.float32(1), None, None),
        (np.array([True]), np.array([False]), 1, float("inf")),
        (np.array([2**62 + 1]), np.array([2**62]), 1, pytest.approx(2**-62)),
        (np.array([1 + 1j]), np.array([1 - 1j]), 2, pytest.approx(2**0.5)),
        (np.array([2], ml_dtypes.bfloat16), np.array([1], ml_dtypes.bfloat16), 1, 1),
        (np.zeros((0, 4)), np.zeros((0, 4)), 0, 0),
    ],
)
def test_differences(one: Any, other: Any, absolute: Any, relative: Any) -> None:
    """The largest of all elements, or none where there is no number to tell."""
    assert compare({"y": one}, {"y": other}) == [Difference("y", absolute, relative)]


def test_missing_outputs() -> None:
    """An output that one side lacks has no number."""
    assert compare({"a": 1}, {"b": 1}) == [
        Difference("a", None, None),
        Difference("b", None, None),
    ]


@given(hnp.arrays(hnp.floating_dtypes(endianness="="), hnp.array_shapes(min_dims=0)))
def test_equal_answers_do_not_differ(array: Any) -> None:
    """An answer compared with itself, whatever is in it."""
    assert worst(compare({"y": array}, {"y": array.copy()})) == (0, 0)


def test_the_worst_of_all() -> None:
    """The largest figures of all outputs; none when one output has none; zero for no outputs."""
    both = [Difference("a", 1, 0.5), Difference("b", 0.1, 2)]

    assert worst(both) == (1, 2)
    assert worst([*both, Difference("c", None, None)]) is None
    assert worst([]) == (0, 0)
