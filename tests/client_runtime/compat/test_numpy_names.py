"""Names that NumPy removed come back, and nothing else changes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from client_runtime.compat import numpy_names


@pytest.fixture
def restored() -> Iterator[list[str]]:
    """The names that were added, which are taken away again."""
    before = dict(vars(np))
    added = numpy_names.restore()
    yield added
    for name in added:
        delattr(np, name)
    assert {name: value for name, value in vars(np).items() if name in before} == before


@pytest.mark.usefixtures("restored")
def test_old_names_mean_what_they_meant() -> None:
    """Aliases of Python's types, of NumPy's types and functions that are gone."""
    names = vars(np)
    assert np.zeros(1, names["float"]).dtype == np.float64
    assert np.zeros(1, names["int"]).dtype == np.int64
    assert np.zeros(1, names["bool"]).dtype == np.bool_
    assert np.zeros(1, names["float_"]).dtype == np.float64
    assert names["object"] is object
    assert names["product"]([2, 3]) == 6
    assert type(names["asscalar"](np.array([3]))) is int
    assert names["in1d"]([[1, 2]], [2]).tolist() == [False, True]


def test_names_that_exist_are_left_alone(restored: list[str]) -> None:
    """What the installed NumPy has is its own; a second call finds nothing to do."""
    assert "float64" not in restored
    assert "array" not in restored
    assert numpy_names.restore() == []
