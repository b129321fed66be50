"""Arrays become TensorProtos and come back equal; what is no tensor is refused unallocated."""

from __future__ import annotations

import contextlib
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from accel_protocol import dtypes
from accel_protocol.tensors import Array
from client_runtime.serving_wire.tensor_protos import TensorProtoError, to_array, to_proto
from client_runtime.serving_wire.tensors_pb2 import TensorProto

NUMERIC = [number for number in dtypes.supported() if number != dtypes.STRING]
SHAPES = [(), (1,), (7,), (2, 3), (0,), (3, 0, 2), (1, 1, 5)]
names = [dtypes.name_of(number) for number in NUMERIC]


def sample(number: int, shape: tuple[int, ...]) -> Array:
    """An array whose elements differ where the dtype allows it."""
    values: Any = np.arange(int(np.prod(shape, dtype=np.int64))) % 100
    if dtypes.numpy_of(number).kind == "c":
        values = values - 1j * values
    return values.astype(dtypes.numpy_of(number)).reshape(shape)


def assert_same(value: Array, expected: Array) -> None:
    """Equal dtype, shape and bits."""
    assert value.dtype == expected.dtype
    assert value.shape == expected.shape
    assert value.tobytes() == expected.tobytes()


def tensor(dtype: int, shape: tuple[int, ...] = (), **fields: Any) -> TensorProto:
    """A message by its fields."""
    proto = TensorProto(dtype=dtype, **fields)  # type: ignore[arg-type]
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    return proto


@pytest.mark.parametrize("content", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("number", NUMERIC, ids=names)
def test_numbers_come_back_equal(number: int, shape: tuple[int, ...], content: bool) -> None:
    """Through the bytes, of every dtype and in both forms."""
    value = sample(number, shape)
    sent = to_proto(value, content=content).SerializeToString()
    assert_same(to_array(TensorProto.FromString(sent)), value)


@pytest.mark.parametrize("content", [False, True])
@pytest.mark.parametrize("shape", [(), (3,), (0,), (2, 2)])
def test_strings_come_back_equal(shape: tuple[int, ...], content: bool) -> None:
    """As bytes, with zeros and what is no UTF-8 in them."""
    count = int(np.prod(shape, dtype=np.int64))
    value: Array = np.empty(count, dtype=object)
    value[:] = [b"\x00\xff\x00" * index for index in range(count)]
    got = to_array(to_proto(value.reshape(shape), content=content))
    assert got.shape == shape
    assert got.reshape(-1).tolist() == value.tolist()


@pytest.mark.parametrize("value", ["ä", np.array(["ä"]), np.array(["ä".encode()])], ids=repr)
def test_text_is_sent_as_utf8(value: Any) -> None:
    """NumPy's own arrays of str and bytes are strings too."""
    assert to_array(to_proto(np.asarray(value), content=False)).reshape(-1).tolist() == [
        b"\xc3\xa4"
    ]


@given(
    hnp.arrays(
        st.sampled_from(["f4", ">f4", "f8", "f2", "i1", "u2", ">i8", "u8", "c8", "c16", "?"]),
        hnp.array_shapes(min_dims=0, min_side=0),
    ),
    st.booleans(),
)
def test_bits_survive(value: Array, content: bool) -> None:
    """NaNs with their payload, negative zeros, any byte order, arrays that are not contiguous."""
    got = to_array(to_proto(value.T, content=content))
    assert_same(got, np.asarray(value.T, value.dtype.newbyteorder("=")))


@pytest.mark.parametrize("number", NUMERIC, ids=names)
def test_the_last_value_stands_for_those_that_follow(number: int) -> None:
    """As it is, with its bits, in every field."""
    proto = to_proto(sample(number, (2,)), content=False)
    proto.tensor_shape.dim[0].size = 5
    value = sample(number, (2,))
    assert_same(to_array(proto), value[[0, 1, 1, 1, 1]])


@pytest.mark.parametrize("number", NUMERIC, ids=names)
def test_no_values_are_zeros(number: int) -> None:
    """A tensor without any values is zero all over."""
    assert_same(to_array(tensor(number, (2, 2))), np.zeros((2, 2), dtypes.numpy_of(number)))


def test_no_strings_are_empty_strings() -> None:
    """And the last one is repeated."""
    assert to_array(tensor(dtypes.STRING, (2,))).tolist() == [b"", b""]
    proto = tensor(dtypes.STRING, (3,), string_val=[b"a", b"b"])
    assert to_array(proto).tolist() == [b"a", b"b", b"b"]


def test_no_shape_is_a_scalar() -> None:
    """A TensorProto that has one value only."""
    assert to_array(tensor(1, float_val=[2.5])).shape == ()


def test_half_precision_is_sent_by_its_bits() -> None:
    """float16 and bfloat16 share a field."""
    assert to_proto(np.array([1.0], np.float16), content=False).half_val == [0x3C00]
    assert to_proto(np.array([1.0], ml_dtypes.bfloat16), content=False).half_val == [0x3F80]


@pytest.mark.parametrize(("number", "dtype"), [(11, "i1"), (12, "u1"), (13, "i4"), (15, "i2")])
def test_quantised_numbers_are_read_as_integers(number: int, dtype: str) -> None:
    """NumPy has no other types for them."""
    assert_same(to_array(tensor(number, (2,), int_val=[1, 7])), np.array([1, 7], dtype))


def test_packed_strings_are_read() -> None:
    """As TensorFlow Serving answers with --enable_serialization_as_tensor_content."""
    content = bytes([1, 0, 0x80, 0x01]) + b"a" + b"x" * 128
    got = to_array(tensor(dtypes.STRING, (3,), tensor_content=content))
    assert got.tolist() == [b"a", b"", b"x" * 128]


def test_unknown_fields_are_passed_over() -> None:
    """A newer peer's fields stand between ours."""
    unknown = b"\x98\x06\x01" + b"\xa1\x06" + b"8" * 8 + b"\xad\x06" + b"4444" + b"\xb2\x06\x01x"
    unknown += b"\xbb\x06" + b"\x2a\x04ABCD" + b"\xbc\x06"  # a group with a field of our number
    sent = unknown + to_proto(np.arange(3, dtype=np.float32), content=False).SerializeToString()
    assert to_array(TensorProto.FromString(sent + unknown)).tolist() == [0, 1, 2]


HUGE = 2**31
BROKEN: dict[str, TensorProto] = {
    "no dtype": tensor(0),
    "a resource": tensor(20),
    "a reference": tensor(101),
    "an unknown dtype": tensor(999),
    "too many values": tensor(1, (1,), float_val=[1, 2]),
    "too many strings": tensor(7, (1,), string_val=[b"", b""]),
    "too many for a scalar": tensor(9, int64_val=[1, 2]),
    "values for nothing": tensor(3, (0,), int_val=[1]),
    "half a complex number": tensor(8, (2,), scomplex_val=[1, 2, 3]),
    "a negative size": tensor(1, (-1,), float_val=[1]),
    "two negative sizes": tensor(1, (-1, -1), float_val=[1]),
    "sizes that overflow": tensor(1, (2**62, 2**62), float_val=[1]),
    "sizes that wrap to nothing": tensor(1, (2**32, 2**32), float_val=[1]),
    "sizes that a zero hides": tensor(1, (0, 2**62, 2**62)),
    "few values for many elements": tensor(1, (HUGE,), float_val=[1]),
    "few strings for many elements": tensor(7, (HUGE,), string_val=[b""]),
    "none for many elements": tensor(10, (HUGE,)),
    "too many dimensions": tensor(1, (1,) * 33, float_val=[1]),
    "no rank": TensorProto(dtype=1, tensor_shape={"unknown_rank": True}),  # type: ignore[arg-type]
    "short content": tensor(1, (2,), tensor_content=b"1234567"),
    "long content": tensor(1, (2,), tensor_content=b"123456789"),
    "content for nothing": tensor(1, (0,), tensor_content=b"1234"),
    "content for many elements": tensor(1, (HUGE,), tensor_content=b"1234"),
    "content that is no truth": tensor(10, (1,), tensor_content=b"\x02"),
    "int8 out of range": tensor(6, int_val=[128]),
    "uint8 out of range": tensor(4, int_val=[-1]),
    "half out of range": tensor(19, half_val=[65536]),
    "packed strings cut short": tensor(7, (2,), tensor_content=b"\x01\x01a"),
    "packed strings too long": tensor(7, (1,), tensor_content=b"\x01ab"),
    "packed strings fewer than elements": tensor(7, (HUGE,), tensor_content=b"\x00"),
    "packed lengths without end": tensor(7, (1,), tensor_content=b"\xff" * 20),
}


@pytest.mark.parametrize("proto", BROKEN.values(), ids=BROKEN)
def test_what_is_no_tensor_is_refused(proto: TensorProto) -> None:
    """With one class of error, which is a ValueError, before memory is taken."""
    with pytest.raises(TensorProtoError):
        to_array(proto)


def test_only_missing_values_count_towards_the_bound() -> None:
    """What the message holds is bounded by its size already."""
    assert to_array(tensor(1, (3,), float_val=[1, 2, 3]), max_elements=2).shape == (3,)
    assert to_array(tensor(1, (2,), float_val=[1]), max_elements=2).shape == (2,)
    with pytest.raises(TensorProtoError, match="more than 2"):
        to_array(tensor(1, (3,), float_val=[1, 2]), max_elements=2)


@pytest.mark.parametrize("value", [np.array(["2020"], "M8[D]"), np.array([1], object)], ids=repr)
def test_an_array_that_is_no_tensor_is_refused(value: Array) -> None:
    """TensorFlow has neither dates nor objects."""
    with pytest.raises(TensorProtoError):
        to_proto(value, content=False)


@given(st.binary(max_size=60))
def test_any_message_is_read_or_refused(data: bytes) -> None:
    """Nothing else ever comes out of what a stranger sends."""
    try:
        proto = TensorProto.FromString(b"\x08\x01" + data)
    except Exception:
        return
    with contextlib.suppress(TensorProtoError):
        to_array(proto, max_elements=1000)
