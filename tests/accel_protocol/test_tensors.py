"""Tensors become bytes and come back equal; headers that no honest peer sends are refused."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from accel_protocol import dtypes, tensors
from accel_protocol.errors import FeedError, LimitError, StreamError
from accel_protocol.limits import DEFAULT_LIMITS, Limits
from accel_protocol.tensors import Array, TensorHeader

VECTORS = json.loads(
    (Path(__file__).parents[2] / "protos" / "vectors" / "tensors.json").read_text("utf-8")
)
NUMERIC = [number for number in dtypes.supported() if number != dtypes.STRING]
SMALL = Limits(tensor_rank=3, tensor_elements=12)
names = [dtypes.name_of(number) for number in NUMERIC]


def sample(number: int, shape: tuple[int, ...]) -> Array:
    """An array of a dtype whose elements differ where the dtype allows it."""
    count = int(np.prod(shape, dtype=np.int64))
    values: Any = np.arange(count) % 100
    if dtypes.numpy_of(number).kind == "c":
        values = values - 1j * values
    return values.astype(dtypes.numpy_of(number)).reshape(shape)


def round_trip(value: Array, limits: Limits = DEFAULT_LIMITS) -> Array:
    """Encode, check the header as a receiver does, decode."""
    header, data = tensors.encode("x", value)
    tensors.check_header(header, limits)
    assert header.size == len(data)
    return tensors.decode(header, bytes(data))


def checked(header: TensorHeader) -> TensorHeader:
    """The header, when a receiver lets it through."""
    tensors.check_header(header, DEFAULT_LIMITS)
    return header


def assert_same(value: Array, expected: Array) -> None:
    """Equal dtype, shape and bits."""
    assert value.dtype == expected.dtype
    assert value.shape == expected.shape
    assert value.tobytes() == expected.tobytes()


@pytest.mark.parametrize("shape", [(), (1,), (7,), (2, 3), (0,), (3, 0, 2), (1, 1, 1, 5)])
@pytest.mark.parametrize("number", NUMERIC, ids=names)
def test_every_dtype_and_shape_comes_back(number: int, shape: tuple[int, ...]) -> None:
    """Scalars, empty arrays and arrays of several ranks, of every dtype that can travel."""
    value = sample(number, shape)
    assert_same(round_trip(value), value)


@given(
    st.sampled_from([n for n in NUMERIC if n != 14]).flatmap(
        lambda number: hnp.arrays(
            dtypes.numpy_of(number), hnp.array_shapes(min_dims=0, max_dims=4, max_side=4)
        )
    )
)
@settings(deadline=None)
def test_any_bits_come_back(value: Array) -> None:
    """Every bit pattern survives: NaN, infinities, subnormal numbers."""
    assert_same(round_trip(value), value)


@given(st.binary(max_size=40).filter(lambda data: len(data) % 2 == 0))
@settings(deadline=None)
def test_any_bits_of_bfloat16_come_back(data: bytes) -> None:
    """The one dtype that NumPy does not have itself survives as well."""
    value = np.frombuffer(data, ml_dtypes.bfloat16)
    assert_same(round_trip(value), value)


ELEMENTS = st.one_of(st.binary(max_size=20), st.text(st.characters(codec="utf-8"), max_size=20))


@given(st.lists(ELEMENTS, max_size=8))
@settings(deadline=None)
def test_strings_come_back_as_bytes(elements: list[bytes | str]) -> None:
    """Bytes stay what they are, zeros included, and text becomes UTF-8."""
    value = np.empty(len(elements), object)
    value[:] = elements
    expected = [e.encode("utf-8") if isinstance(e, str) else e for e in elements]
    assert round_trip(value).tolist() == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.array(["a", "Größe", ""]), [b"a", "Größe".encode(), b""]),
        (np.array([b"a", b"bc"]), [b"a", b"bc"]),
        (np.array("☃", object), "☃".encode()),
        (np.array([["a"], ["b"]]), [[b"a"], [b"b"]]),
        (np.array([], object), []),
        (np.empty((0, 3), object), []),
        (np.array(["ab"], ">U2"), [b"ab"]),
    ],
)
def test_string_arrays_of_every_kind_come_back(value: Array, expected: object) -> None:
    """Object, bytes and str arrays, scalars and empty arrays, in their shapes."""
    result = round_trip(value)
    assert result.dtype == object
    assert result.shape == value.shape
    assert result.tolist() == expected


@pytest.mark.parametrize("number", NUMERIC, ids=names)
def test_arrays_that_do_not_lie_in_one_piece_come_back(number: int) -> None:
    """Strides, steps and column-major order are undone."""
    value = sample(number, (6, 4))
    for view in (
        value[::2, ::-1],
        value.T,
        np.asfortranarray(value),
        np.broadcast_to(value[0], (3, 4)),
    ):
        assert_same(round_trip(view), np.ascontiguousarray(view))


@pytest.mark.parametrize("dtype", [">i2", ">u4", ">i8", ">f2", ">f4", ">f8", ">c8", ">c16"])
def test_big_endian_arrays_come_back_little(dtype: str) -> None:
    """The values stay, the order of the bytes is the wire's."""
    value = np.array([1, 2, 300]).astype(dtype)
    header, data = tensors.encode("x", value)
    assert bytes(data) == value.astype(value.dtype.newbyteorder("<")).tobytes()
    np.testing.assert_array_equal(tensors.decode(header, data), value)


@pytest.mark.parametrize("number", NUMERIC, ids=names)
def test_a_contiguous_array_is_not_copied_to_send_it(number: int) -> None:
    """The bytes to send are the array's own memory."""
    value = sample(number, (5, 2))
    _, data = tensors.encode("x", value)
    assert np.shares_memory(np.frombuffer(data, np.uint8), value)


@pytest.mark.parametrize("number", NUMERIC, ids=names)
def test_received_bytes_are_not_copied(number: int) -> None:
    """The array is a read-only view of the bytes that came."""
    header, sent = tensors.encode("x", sample(number, (5, 2)))
    data = bytes(sent)
    value = tensors.decode(header, data)
    assert np.shares_memory(np.frombuffer(data, np.uint8), value.view(np.uint8))
    assert not value.flags.writeable


def test_bytes_at_an_odd_address_are_read() -> None:
    """A tensor that follows an odd number of bytes is read all the same."""
    header, data = tensors.encode("x", np.arange(3, dtype=np.float64))
    odd = memoryview(b"?" + bytes(data))[1:]
    np.testing.assert_array_equal(tensors.decode(header, odd), np.arange(3.0))


@pytest.mark.parametrize(
    ("shape", "allowed"),
    [
        ((1, 1), True),
        ((1, 1, 1), True),
        ((1, 1, 1, 1), False),
        ((11,), True),
        ((3, 4), True),
        ((13,), False),
        ((2**40, 2**40), False),
    ],
)
def test_rank_and_elements_are_limited(shape: tuple[int, ...], allowed: bool) -> None:
    """One below and at the limit pass, one above does not."""
    header = TensorHeader("x", 4, shape, int(np.prod(np.array(shape, dtype=object))))
    if allowed:
        tensors.check_header(header, SMALL)
    else:
        with pytest.raises(LimitError):
            tensors.check_header(header, SMALL)


@pytest.mark.parametrize("shape", [(), (3,), (2, 0), (2, 2)])
@pytest.mark.parametrize("number", NUMERIC, ids=names)
def test_the_size_has_to_fit_dtype_and_shape(number: int, shape: tuple[int, ...]) -> None:
    """One byte less or more than the elements take is refused."""
    exact = sample(number, shape).nbytes
    tensors.check_header(TensorHeader("x", number, shape, exact), DEFAULT_LIMITS)
    for wrong in {exact + 1, max(0, exact - 1), exact + 2**63} - {exact}:
        with pytest.raises(StreamError):
            tensors.check_header(TensorHeader("x", number, shape, wrong), DEFAULT_LIMITS)


@pytest.mark.parametrize(
    ("shape", "size", "allowed"),
    [((2,), 8, True), ((2,), 9, True), ((2,), 7, False), ((0,), 0, True), ((0,), 1, False)],
)
def test_strings_have_room_for_their_lengths(
    shape: tuple[int, ...], size: int, allowed: bool
) -> None:
    """A string element takes four bytes at least; no element takes none."""
    header = TensorHeader("x", dtypes.STRING, shape, size)
    if allowed:
        tensors.check_header(header, DEFAULT_LIMITS)
    else:
        with pytest.raises(StreamError):
            tensors.check_header(header, DEFAULT_LIMITS)


@pytest.mark.parametrize("number", [0, 11, 12, 13, 15, 16, 20, 21, 24, 101, -1])
def test_other_element_types_are_refused(number: int) -> None:
    """Quantized types, resources, variants and references do not travel."""
    with pytest.raises(FeedError):
        tensors.check_header(TensorHeader("x", number, (), 4), DEFAULT_LIMITS)


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x00\x00",  # ends inside the first length
        b"\x02\x00\x00\x00a",  # ends inside the first element
        b"\xff\xff\xff\xffa",  # a length far beyond the end
        b"\x01\x00\x00\x00a",  # the second element is not there
        b"\x01\x00\x00\x00a\x00\x00\x00\x00!",  # a byte too much
    ],
)
def test_malformed_strings_are_refused(data: bytes) -> None:
    """Lengths that do not add up are a StreamError."""
    with pytest.raises(StreamError):
        tensors.decode(TensorHeader("x", dtypes.STRING, (2,), len(data)), data)


@given(st.binary(max_size=60), st.integers(0, 5))
@settings(deadline=None)
def test_any_bytes_are_strings_or_refused(data: bytes, count: int) -> None:
    """Bytes of a stranger give as many strings as announced, or a StreamError."""
    try:
        value = tensors.decode(TensorHeader("x", dtypes.STRING, (count,), len(data)), data)
    except StreamError:
        return
    assert sum(4 + len(element) for element in value.tolist()) == len(data)


@pytest.mark.parametrize(
    "value",
    [
        np.array(["2026-01-01"], "datetime64[D]"),
        np.array([1], "timedelta64[s]"),
        np.zeros(2, np.longdouble),
        np.zeros(2, [("a", "f4")]),
        np.zeros(2, "V4"),
        np.zeros(2, ml_dtypes.float8_e4m3fn),
    ],
    ids=lambda value: str(value.dtype),
)
def test_dtypes_that_tensorflow_lacks_are_refused(value: Array) -> None:
    """NumPy knows more types than can travel."""
    with pytest.raises(FeedError):
        tensors.encode("x", value)


@pytest.mark.parametrize("element", [1, None, 1.5, [b"a"]])
def test_string_tensors_hold_only_strings(element: object) -> None:
    """An object array with anything else is no string tensor."""
    value = np.empty(2, object)
    value[0], value[1] = b"fine", element
    with pytest.raises(FeedError):
        tensors.encode("x", value)


@pytest.mark.parametrize("shape", [(2**63, 0), (2**64 - 1, 0), (2**40, 2**40, 0), (0, 2**64 - 1)])
@pytest.mark.parametrize("number", [1, dtypes.STRING])
def test_sizes_that_numpy_cannot_hold_are_refused(number: int, shape: tuple[int, ...]) -> None:
    """A zero in a shape hides its other sizes from the count; they are bounded all the same."""
    header = TensorHeader("x", number, shape, 0)
    with pytest.raises((LimitError, StreamError)):
        tensors.decode(checked(header), b"")


def test_text_that_utf8_cannot_hold_is_refused() -> None:
    """A lone surrogate has no UTF-8 form, which is the feed's fault."""
    with pytest.raises(FeedError):
        tensors.encode("x", np.array(["\ud800"], object))


def vector_array(vector: dict[str, Any]) -> Array:
    """The array that a test vector stands for."""
    number = dtypes_by_name()[vector["dtype"]]
    if number == dtypes.STRING:
        value = np.empty(len(vector["values"]), object)
        value[:] = [base64.b64decode(element) for element in vector["values"]]
        return value.reshape(vector["shape"])
    values = vector["values"]
    if dtypes.numpy_of(number).kind == "c":
        values = [complex(real, imaginary) for real, imaginary in values]
    return np.array(values).astype(dtypes.numpy_of(number)).reshape(vector["shape"])


def dtypes_by_name() -> dict[str, int]:
    """The wire numbers by TensorFlow's names."""
    return {dtypes.name_of(number): number for number in dtypes.supported()}


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: str(vector["dtype"]))
def test_the_vectors_are_written_so(vector: dict[str, Any]) -> None:
    """Every tensor of the test vectors has exactly these bytes."""
    _, data = tensors.encode("x", vector_array(vector))
    assert bytes(data).hex() == vector["bytes_hex"]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: str(vector["dtype"]))
def test_the_vectors_are_read_so(vector: dict[str, Any]) -> None:
    """The bytes of the test vectors are these values."""
    expected = vector_array(vector)
    data = bytes.fromhex(vector["bytes_hex"])
    header = TensorHeader("x", dtypes.number_of(expected.dtype), expected.shape, len(data))
    tensors.check_header(header, DEFAULT_LIMITS)
    value = tensors.decode(header, data)
    assert value.dtype == expected.dtype
    assert value.tolist() == expected.tolist()


def test_the_vectors_hold_every_dtype_once() -> None:
    """A dtype added later needs a vector."""
    assert sorted(vector["dtype"] for vector in VECTORS) == sorted(dtypes_by_name())
