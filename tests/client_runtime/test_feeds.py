"""Values become arrays of the graph's dtypes exactly as TensorFlow's Session.run does it."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from accel_protocol.errors import FeedError
from client_runtime.feeds import convert
from client_runtime.models.saved_model import TensorInfo

FLOAT32, FLOAT64, INT32, UINT8, INT8, STRING, COMPLEX64, INT64, BOOL = 1, 2, 3, 4, 6, 7, 8, 9, 10
BFLOAT16, FLOAT16, UNKNOWN = 14, 19, 0


def converted(value: Any, dtype: int) -> Any:
    """The array that is sent for a value."""
    return convert({"x": value}, {"x": TensorInfo("x:0", dtype)})["x"]


class WithArray:
    """What `np.asarray` takes, as TensorFlow's eager tensors are."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        """The array."""
        return np.array([1.0, 2.0], dtype)


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        (np.array([0.0, 1.9, 254.999]), UINT8, np.array([0, 1, 254], np.uint8)),
        (np.array([1.5, -1.5]), INT64, np.array([1, -1])),
        (np.array([1, 2]), FLOAT32, np.array([1, 2], np.float32)),
        (np.array([0.1]), FLOAT32, np.array([0.1], np.float32)),
        (np.array([300]), UINT8, np.array([44], np.uint8)),
        (np.array([0, 2]), BOOL, np.array([False, True])),
        (np.array([1, 2]), BFLOAT16, np.array([1, 2], ml_dtypes.bfloat16)),
        (np.array([1.5]), FLOAT16, np.array([1.5], np.float16)),
        (np.array([1.5]), COMPLEX64, np.array([1.5], np.complex64)),
        (np.array([1, 2], ">i4"), INT32, np.array([1, 2], np.int32)),
        ([1, 2.5], FLOAT32, np.array([1, 2.5], np.float32)),
        ([[1, 2], [3, 4]], UINT8, np.array([[1, 2], [3, 4]], np.uint8)),
        ((1, 2), INT64, np.array([1, 2])),
        ([], FLOAT32, np.array([], np.float32)),
        ([np.float64(1), np.float64(2)], FLOAT32, np.array([1, 2], np.float32)),
        (range(3), INT32, np.array([0, 1, 2], np.int32)),
        (5, FLOAT32, np.array(5, np.float32)),
        (True, BOOL, np.array(True)),
        (True, FLOAT32, np.array(1, np.float32)),
        (1, BOOL, np.array(True)),
        (1.9, INT32, np.array(1, np.int32)),
        (np.int64(300), UINT8, np.array(44, np.uint8)),
        ("1.5", FLOAT32, np.array(1.5, np.float32)),
        (WithArray(), FLOAT32, np.array([1, 2], np.float32)),
    ],
    ids=lambda value: str(value)[:30],
)
def test_values_convert_as_numpy_converts(value: Any, dtype: int, expected: Any) -> None:
    """Session.run leaves it to NumPy: floats are cut, too large elements of arrays wrap."""
    array = converted(value, dtype)
    assert array.dtype == expected.dtype
    assert array.shape == expected.shape
    assert array.tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (256, UINT8),
        (-1, UINT8),
        (128, INT8),
        (2**31, INT32),
        (2**63, INT64),
        (10**400, FLOAT64),
        (2, BOOL),
    ],
)
def test_a_python_integer_out_of_range_is_a_type_error(value: int, dtype: int) -> None:
    """In TensorFlow's words: what the dtype cannot hold exactly is not fed."""
    with pytest.raises(TypeError) as caught:
        converted(value, dtype)
    text = str(caught.value)
    assert text.startswith(f"Type of feed value {value} with type <class 'int'> is not compatible")
    assert text.endswith(
        "Try explicitly setting the type of the feed tensor to a larger type (e.g. int64)."
    )


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [([300, -1], UINT8, [44, 255]), ([2**31], INT32, [-(2**31)]), (1.5 + 2j, FLOAT32, 1.5)],
)
@pytest.mark.filterwarnings("ignore")
def test_lists_convert_as_arrays_do(value: Any, dtype: int, expected: Any) -> None:
    """TensorFlow makes an array first and casts it then, with every version of NumPy."""
    assert converted(value, dtype).tolist() == expected


@pytest.mark.parametrize("value", [255, 0])
def test_a_python_integer_in_range_is_fed(value: int) -> None:
    """Up to the limits of the dtype."""
    assert converted(value, UINT8) == value


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        ("abc", FLOAT32),
        (b"abc", INT32),
        (["1", "x"], FLOAT32),
        ([[1], [1, 2]], FLOAT32),
        ([2**70], INT64),
        (object(), FLOAT32),
        ({"a": 1}, FLOAT32),
        ([None], INT32),
    ],
    ids=lambda value: str(value)[:20].split(" at ")[0],
)
def test_values_that_do_not_convert_are_value_errors(value: Any, dtype: int) -> None:
    """Text to numbers, ragged lists, lists out of range, objects."""
    with pytest.raises(ValueError) as caught:
        converted(value, dtype)
    assert isinstance(caught.value, FeedError)
    assert "'x'" in str(caught.value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("größe", "größe"),
        (b"a\x00", b"a\x00"),
        (["a", b"b"], ["a", b"b"]),
        ([b"a\x00", b""], [b"a\x00", b""]),
        (np.array(["a", "bc"]), ["a", "bc"]),
        (np.array([b"a", b"bc"]), [b"a", b"bc"]),
        (np.array([["a"], ["b"]], object), [["a"], ["b"]]),
        ([], []),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_strings_become_object_arrays(value: Any, expected: Any) -> None:
    """Text and bytes, alone, in lists and in arrays; trailing zeros stay."""
    array = converted(value, STRING)
    assert array.dtype == object
    assert array.tolist() == expected


@pytest.mark.parametrize("value", [1, 1.5, [1], ["a", None], np.array([1.5]), [["a"], "b"]])
def test_string_tensors_hold_only_strings(value: Any) -> None:
    """Numbers, None and nested lists are no strings."""
    with pytest.raises(FeedError):
        converted(value, STRING)


def test_an_array_of_the_right_dtype_is_not_copied() -> None:
    """It goes onto the wire from where it lies."""
    value = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert np.shares_memory(converted(value, FLOAT32), value)


@pytest.mark.parametrize(
    ("value", "dtype"),
    [(np.array([1.5]), np.float64), ([1, 2], np.int64), (np.array([1], np.uint8), np.uint8)],
)
def test_values_for_inner_tensors_are_not_converted(value: Any, dtype: type) -> None:
    """The client does not know their dtype; the accelerator does."""
    assert converted(value, UNKNOWN).dtype == dtype


@pytest.mark.parametrize(
    ("feed_dict", "fed"),
    [
        ({}, set()),
        ({"x": 1.0}, {"x"}),
        ({"x": None}, set()),
        ({"x": None, "y": 2.0}, {"y"}),
        ({"x": 1.0, "y": 2.0}, {"x", "y"}),
        ({"x": 0.0, "y": []}, {"x", "y"}),
        ({"x": False}, {"x"}),
    ],
)
def test_keys_that_are_missing_or_none_are_not_fed(
    feed_dict: dict[str, Any], fed: set[str]
) -> None:
    """Zero and an empty list are values."""
    feeds = {"x": TensorInfo("x:0", FLOAT32), "y": TensorInfo("y:0", FLOAT32)}
    assert set(convert(feed_dict, feeds)) == fed


@pytest.mark.parametrize("value", [1.0, None])
def test_unknown_keys_are_told_in_the_original_words(value: float | None) -> None:
    """What was unexpected, and what would have been expected."""
    with pytest.raises(ValueError) as caught:
        convert({"x": 1.0, "image": value}, {"x": TensorInfo("x:0", FLOAT32)})
    assert str(caught.value.args[0]) == (
        "Got unexpected keys in input_dict: {'image'}\nexpected: {'x'}"
    )


@pytest.mark.parametrize("dtype", [20, 21])
def test_a_feed_that_cannot_travel_is_refused(dtype: int) -> None:
    """Resources and variants stay where they are."""
    with pytest.raises(FeedError):
        converted([1.0], dtype)
