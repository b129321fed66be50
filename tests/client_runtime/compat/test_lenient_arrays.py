"""Results convert to numbers as in 2019, and are ordinary arrays in all else."""

from __future__ import annotations

import operator
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from client_runtime.compat.lenient_arrays import LenientArray, lenient


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_one_element_converts_to_a_number(shape: tuple[int, ...]) -> None:
    """Any array of one element, whatever its rank, is taken for the element."""
    array = lenient(np.full(shape, 3.5, np.float32))

    assert (int(array), float(array), complex(array)) == (3, 3.5, 3.5 + 0j)
    assert operator.mod("%d", array) == "3"


@pytest.mark.parametrize("convert", [int, float, complex])
@pytest.mark.parametrize("size", [0, 2])
def test_other_sizes_do_not_convert(convert: Callable[[Any], Any], size: int) -> None:
    """None or several elements are a TypeError, with NumPy's old words."""
    with pytest.raises(TypeError, match="only length-1 arrays can be converted"):
        convert(lenient(np.zeros(size)))


def test_index_stays_strict() -> None:
    """What NumPy of 2019 refused is refused."""
    with pytest.raises(TypeError):
        operator.index(lenient(np.array([3])))


@pytest.mark.parametrize(
    "compute",
    [
        lambda a: a * 2,
        lambda a: np.squeeze(a),
        lambda a: a.reshape(1, 1).argmax(axis=1),
        lambda a: np.round(a),
        lambda a: a.astype(np.int32),
        lambda a: a[a > 1],
    ],
)
def test_what_is_computed_from_it_converts_too(compute: Callable[[Any], Any]) -> None:
    """A step of arithmetic in between changes nothing."""
    assert isinstance(int(compute(lenient(np.array([3.0], np.float32)))), int)


@pytest.mark.parametrize("reduce", [np.sum, np.max, np.mean, np.std, np.all, np.median, np.prod])
def test_reductions_give_scalars(reduce: Callable[[Any], Any]) -> None:
    """A sum is a number of NumPy's, as for an ordinary array."""
    plain = np.array([[1.0, 2.0]], np.float32)

    assert type(reduce(lenient(plain))) is type(reduce(plain))


def test_is_an_ordinary_array_in_print_and_pickle() -> None:
    """Old output stays the same, and a pickle needs nothing of this project."""
    plain = np.array([1.0, 2.0], np.float32)

    assert repr(lenient(plain)) == repr(plain)
    assert str(lenient(plain)) == str(plain)
    assert type(pickle.loads(pickle.dumps(lenient(plain)))) is np.ndarray


def test_shares_memory_and_element_access() -> None:
    """No copy is made; an element is NumPy's scalar."""
    plain = np.array([[1.0, 2.0]], np.float32)
    array = lenient(plain)

    assert isinstance(array, LenientArray)
    assert np.shares_memory(array, plain)
    assert type(array[0, 1]) is np.float32
    assert type(np.asarray(array)) is np.ndarray


def test_what_is_no_array_stays_as_it_is() -> None:
    """Fetches of rank 0 are scalars or bytes."""
    assert lenient(b"text") == b"text"
    assert type(lenient(np.float32(1))) is np.float32
