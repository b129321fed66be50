"""Predict answers as JSON."""

from __future__ import annotations

import json
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_runtime.serving.rest import element_text
from client_runtime.serving.rest.predict_writing import by_column, by_row
from client_runtime.serving.statuses import ServingError


def strings(*values: bytes) -> Any:
    """An array of bytes, as TensorFlow's strings are."""
    return np.array(values, object)


@pytest.mark.parametrize(
    ("array", "texts"),
    [
        (
            np.float32([9e6, 999999, 0.5, 0.0003, 0.00003, 555557.5, 0.1, 1 / 3, 16777216]),
            "9e+06 999999.0 0.5 0.0003 3e-05 555557.5 0.1 0.333333343 16777216.0",
        ),
        (np.float32([3, -0.0, 1e-45, 3.4028235e38]), "3.0 -0.0 1.4013e-45 3.40282347e+38"),
        (np.float32([np.nan, np.inf, -np.inf]), "NaN Infinity -Infinity"),
        (np.float64([0.1, 1 / 3, 1e300, 1234567]), "0.1 0.33333333333333331 1e+300 1234567.0"),
        (np.float16([0.1, 2, 65504]), "0.0999756 2.0 65504.0"),
        (np.array([0.1, 2, 1e38], ml_dtypes.bfloat16), "0.100098 2.0 9.96921e+37"),
    ],
)
def test_floats(array: Any, texts: str) -> None:
    """Six digits if these say all, else as many as the type may need; always as a float."""
    assert element_text.floats(array) == texts.split()


@given(st.lists(st.floats(width=32)), st.lists(st.floats()))
def test_floats_read_back(single: list[float], double: list[float]) -> None:
    """As the same number."""
    for array in (np.array(single, np.float32), np.array(double, np.float64)):
        back = np.array([float(text) for text in element_text.floats(array)], array.dtype)
        assert np.array_equal(back, array, equal_nan=True)


@given(
    st.lists(st.floats(width=32) | st.integers(-(10**7), 10**7).map(lambda number: number / 1e3)),
    st.sampled_from([(np.float32, 9), (np.float64, 17)]),
)
def test_digits_are_those_of_the_definition(values: list[float], kind: tuple[Any, int]) -> None:
    """Element by element: six digits, unless these read as another number."""
    dtype, most = kind
    with np.errstate(over="ignore"):
        array = np.array(values).astype(dtype)
    for element, text in zip(array.tolist(), element_text.floats(array), strict=True):
        if np.isfinite(element):
            short = f"{element:.6g}"
            long = f"{element:.{most}g}"
            assert text.removesuffix(".0") == (short if dtype(short) == element else long)


def test_long_arrays() -> None:
    """They are written in several blocks."""
    array = np.arange(150_000, dtype=np.float32)
    assert element_text.floats(array) == [f"{number}.0" for number in range(150_000)]


def test_rows() -> None:
    """Each item on the one line."""
    array = np.arange(12, dtype=np.int32).reshape(2, 3, 2)
    assert by_row({"y": array}) == (
        b'{\n    "predictions": [[[0, 1], [2, 3], [4, 5]], [[6, 7], [8, 9], [10, 11]]\n    ]\n}'
    )


def test_rows_of_several_outputs() -> None:
    """Objects over several lines, with names in order."""
    arrays = {
        "t": strings(b"a", b'"'),
        "d": np.float64([8, 9]),
        "n": np.int64([[1], [-2]]),
        "b": np.bool_([True, False]),
    }
    assert by_row(arrays).decode() == (
        '{\n    "predictions": [\n'
        '        {\n            "b": true,\n            "d": 8.0,\n            "n": [1],\n'
        '            "t": "a"\n        },\n'
        '        {\n            "b": false,\n            "d": 9.0,\n            "n": [-2],\n'
        '            "t": "\\""\n        }\n'
        "    ]\n}"
    )


def test_columns() -> None:
    """Each element on a line of its own."""
    assert by_column({"y": np.int32([[1, 2]])}).decode() == (
        '{\n    "outputs": [\n        [\n            1,\n            2\n        ]\n    ]\n}'
    )
    assert by_column({"y": np.float32(3)}) == b'{\n    "outputs": 3.0\n}'
    arrays = {"y": np.int32([1]), "a": np.float32([])}
    assert by_column(arrays).decode() == (
        '{\n    "outputs": {\n        "a": [],\n        "y": [\n            1\n        ]\n    }\n}'
    )


def test_bytes_by_the_name_of_the_output() -> None:
    """Base64 where the name ends so; JSON's layout is around it."""
    array = strings(b"hello", b"\xff")
    assert json.loads(by_row({"s_bytes": array})) == {
        "predictions": [{"b64": "aGVsbG8="}, {"b64": "/w=="}]
    }
    assert by_row({"s": array}) == b'{\n    "predictions": ["hello", "\xff"\n    ]\n}'
    assert by_row({"s_bytes": array[:1].reshape(1, 1)}).decode() == (
        '{\n    "predictions": [[{\n                "b64": "aGVsbG8="\n            }]\n    ]\n}'
    )
    assert json.loads(by_column({"s_bytes": array, "i_bytes": np.int32([1])})) == {
        "outputs": {"s_bytes": [{"b64": "aGVsbG8="}, {"b64": "/w=="}], "i_bytes": [1]}
    }


@pytest.mark.parametrize("shape", [(0,), (0, 2), (2, 0), (2, 0, 3), (1, 2, 0)])
def test_empty_outputs(shape: tuple[int, ...]) -> None:
    """Lists of nothing have their place."""
    array = np.zeros(shape, np.float32)
    assert json.loads(by_row({"y": array})) == {"predictions": array.tolist()}
    assert json.loads(by_column({"y": array})) == {"outputs": array.tolist()}
    if shape[0] == 0:
        assert by_row({"y": array, "z": array}) == b'{\n    "predictions": []\n}'


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({}, "Cannot convert empty tensor map to JSON"),
        ({"y": np.int32(1)}, "Tensor name: y has no shape information "),
        (
            {"a": np.zeros(2), "b": np.zeros(1)},
            "Tensor name: b has inconsistent batch size: 1 expecting: 2",
        ),
        ({"a": np.zeros(0), "b": np.zeros(1)}, "inconsistent batch size: 1 expecting: 0"),
        ({"y": np.complex64([1])}, "Failed to write JSON value for tensor type: complex64"),
    ],
)
def test_refused_outputs(arrays: dict[str, Any], words: str) -> None:
    """In TensorFlow Serving's words."""
    with pytest.raises(ServingError) as refused:
        by_row(arrays)
    assert words in refused.value.message
