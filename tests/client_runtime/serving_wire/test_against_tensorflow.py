"""TensorFlow writes the same TensorProtos and reads the same arrays, bit by bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from accel_protocol import dtypes
from accel_protocol.tensors import Array
from client_runtime.serving_wire.tensor_protos import to_array, to_proto
from client_runtime.serving_wire.tensors_pb2 import TensorProto

tf: Any = pytest.importorskip("tensorflow")

NUMERIC = [number for number in dtypes.supported() if number != dtypes.STRING]
shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)


@st.composite
def numbers(draw: st.DrawFn) -> Array:
    """An array of any dtype with any bits, denormal numbers among them.

    Of NaNs only the usual one: TensorFlow reads through Python's floats, which change the bits of
    others.
    """
    dtype, shape = dtypes.numpy_of(draw(st.sampled_from(NUMERIC))), draw(shapes)
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    elements = st.integers(0, 1 if dtype == np.bool_ else 255)
    bits = draw(hnp.arrays(np.uint8, size, elements=elements))
    array = bits.view(dtype).reshape(shape)
    if np.isnan(array).any():
        array = np.where(np.isnan(array), np.array(np.nan).astype(dtype), array)
    return array


@st.composite
def strings(draw: st.DrawFn) -> Array:
    """An array of bytes of any length."""
    shape = draw(shapes)
    array: Array = np.empty(int(np.prod(shape, dtype=np.int64)), dtype=object)
    array[:] = [draw(st.binary(max_size=5)) for _ in array]
    return array.reshape(shape)


def theirs(proto: TensorProto) -> Any:
    """The same message as TensorFlow has it."""
    return tf.make_tensor_proto(0).__class__.FromString(proto.SerializeToString())


def assert_same(value: Array, expected: Array) -> None:
    """Equal dtype, shape and bits."""
    assert (value.dtype, value.shape) == (expected.dtype, expected.shape)
    if value.dtype == object:
        # For an element that is not there TensorFlow has an empty str among the bytes.
        assert value.reshape(-1).tolist() == [element or b"" for element in expected.reshape(-1)]
    else:
        assert value.tobytes() == expected.tobytes()


@given(numbers() | strings(), st.booleans())
def test_tensorflow_reads_what_is_written(value: Array, content: bool) -> None:
    """In both forms."""
    proto = to_proto(value, content=content)
    assert_same(to_array(proto), value)
    assert_same(tf.make_ndarray(theirs(proto)), value)


@given(numbers() | strings())
def test_what_tensorflow_writes_is_read(value: Array) -> None:
    """And written alike: the message has the same bytes as theirs where it has the same form."""
    message = tf.make_tensor_proto(value)
    assert_same(to_array(TensorProto.FromString(message.SerializeToString())), value)
    ours = theirs(to_proto(value, content=bool(message.tensor_content)))
    assert ours.SerializeToString(deterministic=True) == message.SerializeToString(
        deterministic=True
    )


@given(numbers() | strings(), st.integers(0, 3))
def test_values_are_repeated_alike(value: Array, more: int) -> None:
    """When a message has fewer values than elements, or none."""
    proto = to_proto(value.reshape(-1), content=False)
    proto.tensor_shape.dim[0].size += more
    assert_same(to_array(proto), tf.make_ndarray(theirs(proto)))


@given(st.sampled_from([11, 12, 13, 15, 16]), st.lists(st.integers(0, 127), max_size=4))
def test_quantised_numbers_are_read_alike(number: int, values: list[int]) -> None:
    """Except that TensorFlow names their dtype."""
    proto = TensorProto(dtype=number, int_val=values)  # type: ignore[arg-type]
    proto.tensor_shape.dim.add(size=4)
    expected = tf.make_ndarray(theirs(proto))
    assert to_array(proto).tobytes() == expected.tobytes()
