"""However a call's payload is cut, the same tensors come out; whatever does not fit is refused."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from accel_protocol import dtypes, tensors
from accel_protocol.errors import FeedError, LimitError, StreamError
from accel_protocol.limits import DEFAULT_LIMITS, Limits
from accel_protocol.payload import Assembly, headers_from_wire
from accel_protocol.tensors import Array, TensorHeader
from accel_protocol.v1 import accelerator_pb2 as pb

UINT8 = 4
THREE = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "nothing": np.zeros((0, 4), np.int64),
    "words": np.array([b"one", b"", b"three"], object),
}


def encoded(values: dict[str, Array]) -> tuple[list[TensorHeader], bytes]:
    """Headers and joined payload."""
    parts = [tensors.encode(name, value) for name, value in values.items()]
    return [header for header, _ in parts], b"".join(bytes(data) for _, data in parts)


def received(
    headers: Sequence[TensorHeader], pieces: Sequence[bytes], *, writable: bool = False
) -> dict[str, Array]:
    """The arrays after all pieces."""
    assembly = Assembly(headers, DEFAULT_LIMITS)
    for piece in pieces:
        assembly.add(memoryview(piece))
    assert assembly.complete
    return assembly.arrays(writable=writable)


def assert_equal(values: dict[str, Array], expected: dict[str, Array]) -> None:
    """Equal names in order, dtypes, shapes and elements."""
    assert list(values) == list(expected)
    for name, value in expected.items():
        assert values[name].dtype == value.dtype
        assert values[name].shape == value.shape
        assert values[name].tolist() == value.tolist()


NUMERIC = st.sampled_from([n for n in dtypes.supported() if n not in (dtypes.STRING, 14)])
ARRAYS = NUMERIC.flatmap(
    lambda number: hnp.arrays(
        dtypes.numpy_of(number),
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
        elements={"allow_nan": False} if dtypes.numpy_of(number).kind in "fc" else None,
    )
)
WORDS = st.lists(st.binary(max_size=9), max_size=4).map(
    lambda words: np.array([*words, None], object)[:-1]
)
CALLS = st.dictionaries(st.text(max_size=5), st.one_of(ARRAYS, WORDS), max_size=5)


@given(CALLS, st.data(), st.booleans())
@settings(deadline=None)
def test_any_cut_gives_equal_arrays(
    values: dict[str, Array], data: st.DataObject, writable: bool
) -> None:
    """Tensors may begin and end anywhere inside a message."""
    headers, payload = encoded(values)
    cuts = data.draw(st.sets(st.integers(1, max(1, len(payload) - 1)), max_size=8))
    ends = [0, *sorted(cut for cut in cuts if cut < len(payload)), len(payload)]
    pieces = [payload[a:b] for a, b in itertools.pairwise(ends)] if payload else []
    assert_equal(received(headers, pieces, writable=writable), values)


@pytest.mark.parametrize("size", [1, 2, 3, 24, 25])
def test_a_payload_in_pieces_of_one_size(size: int) -> None:
    """Byte by byte, and with cuts at the border of two tensors."""
    headers, payload = encoded(THREE)
    pieces = [payload[start : start + size] for start in range(0, len(payload), size)]
    assert_equal(received(headers, pieces), THREE)


def test_a_call_is_complete_with_its_last_byte() -> None:
    """Not before, and not only at the next message."""
    assembly = Assembly([TensorHeader("x", UINT8, (3,), 3)], DEFAULT_LIMITS)
    states = [assembly.complete]
    for piece in (b"a", b"bc"):
        assembly.add(memoryview(piece))
        states.append(assembly.complete)
    assert states == [False, False, True]


@pytest.mark.parametrize("headers", [[], [TensorHeader("x", 1, (0, 3), 0)]])
def test_a_call_without_bytes_is_complete_at_once(headers: list[TensorHeader]) -> None:
    """No payload has to come where none was announced."""
    assembly = Assembly(headers, DEFAULT_LIMITS)
    assert assembly.complete
    assert list(assembly.arrays(writable=False)) == [header.name for header in headers]


@pytest.mark.parametrize("pieces", [[b"abcd"], [b"abc", b"d"], [b"a", b"bcd"], [b"ab", b"cde"]])
def test_more_bytes_than_announced_are_refused(pieces: list[bytes]) -> None:
    """In one message, and in one after the call was whole."""
    assembly = Assembly([TensorHeader("x", UINT8, (3,), 3)], DEFAULT_LIMITS)
    for piece in pieces[:-1]:
        assembly.add(memoryview(piece))
    with pytest.raises(StreamError):
        assembly.add(memoryview(pieces[-1]))


@pytest.mark.parametrize("before", [[], [b"a"]])
def test_empty_pieces_are_refused(before: list[bytes]) -> None:
    """A message without bytes would let a call last for ever."""
    assembly = Assembly([TensorHeader("x", UINT8, (3,), 3)], DEFAULT_LIMITS)
    for piece in before:
        assembly.add(memoryview(piece))
    with pytest.raises(StreamError):
        assembly.add(memoryview(b""))


@pytest.mark.parametrize("pieces", [[b"ab"], [b"a", b"b"]])
def test_two_tensors_of_one_name_are_refused(pieces: list[bytes]) -> None:
    """A name says which feed it is, so it stands once."""
    header = TensorHeader("x", UINT8, (1,), 1)
    with pytest.raises(StreamError):
        received([header, header], pieces)


def test_malformed_strings_are_refused() -> None:
    """Lengths are read when all bytes are there."""
    with pytest.raises(StreamError):
        received([TensorHeader("x", dtypes.STRING, (1,), 5)], [b"\x09\x00\x00\x00a"])


@pytest.mark.parametrize(
    ("limits", "sizes", "allowed"),
    [
        (Limits(call_tensors=2), [1], True),
        (Limits(call_tensors=2), [1, 1], True),
        (Limits(call_tensors=2), [1, 1, 1], False),
        (Limits(call_bytes=8), [3, 4], True),
        (Limits(call_bytes=8), [3, 5], True),
        (Limits(call_bytes=8), [3, 6], False),
        (Limits(call_bytes=8), [9], False),
        (Limits(tensor_elements=4), [3], True),
        (Limits(tensor_elements=4), [4, 4], True),
        (Limits(tensor_elements=4), [1, 5], False),
    ],
)
def test_limits_are_refused_one_above(limits: Limits, sizes: list[int], allowed: bool) -> None:
    """A call below and at a limit is taken, one above is refused before any byte came."""
    headers = [TensorHeader(f"x{i}", UINT8, (size,), size) for i, size in enumerate(sizes)]
    if allowed:
        assert not Assembly(headers, limits).complete
    else:
        with pytest.raises(LimitError):
            Assembly(headers, limits)


@pytest.mark.parametrize(
    ("header", "error"),
    [
        (TensorHeader("x", 20, (), 4), FeedError),
        (TensorHeader("x", UINT8, (2,), 3), StreamError),
        (TensorHeader("x", UINT8, (1,) * 33, 1), LimitError),
        (TensorHeader("x", 2, (2**31,), 2**34), LimitError),
    ],
)
def test_headers_are_checked_first(header: TensorHeader, error: type[Exception]) -> None:
    """What no honest peer announces is refused before its bytes come."""
    with pytest.raises(error):
        Assembly([header], DEFAULT_LIMITS)


@pytest.mark.parametrize("cut", [None, 1, 24])
def test_writable_arrays_can_be_changed(cut: int | None) -> None:
    """With `writable` every array may be written to, however it came."""
    headers, payload = encoded(THREE)
    pieces = [payload] if cut is None else [payload[:cut], payload[cut:]]
    for array in received(headers, pieces, writable=True).values():
        assert array.flags.writeable
        array[...] = array


def test_writing_does_not_reach_the_message() -> None:
    """A writable array is the receiver's own."""
    value = np.arange(3, dtype=np.uint8)
    headers, payload = encoded({"x": value})
    message = bytearray(payload)
    assembly = Assembly(headers, DEFAULT_LIMITS)
    assembly.add(memoryview(message).toreadonly())
    assembly.arrays(writable=True)["x"][...] = 9
    assert bytes(message) == payload


def test_a_payload_of_one_piece_is_not_copied() -> None:
    """The arrays are read-only views of the message."""
    values = {"a": np.arange(5.0), "b": np.arange(7, dtype=np.int32)}
    headers, payload = encoded(values)
    memory = np.frombuffer(payload, np.uint8)
    for array in received(headers, [payload]).values():
        assert np.shares_memory(array, memory)
        assert not array.flags.writeable


def test_headers_come_from_messages() -> None:
    """Name, dtype, shape and size are taken over from the wire."""
    message = pb.TensorHeader(name="x", dtype=pb.DATA_TYPE_FLOAT32, shape=(2, 3), size=24)
    assert headers_from_wire([message]) == (TensorHeader("x", 1, (2, 3), 24),)


HEADERS = st.builds(
    TensorHeader,
    st.text(max_size=3),
    st.integers(-1, 25),
    st.lists(st.integers(1, 4), max_size=4).map(tuple),
    st.integers(0, 40),
)


@given(st.lists(HEADERS, max_size=3), st.lists(st.binary(max_size=30), max_size=5))
@settings(deadline=None, max_examples=300)
def test_any_call_is_taken_or_refused(headers: list[TensorHeader], pieces: list[bytes]) -> None:
    """Headers and bytes of a stranger give arrays, or one of three errors."""
    try:
        assembly = Assembly(headers, DEFAULT_LIMITS)
        for piece in pieces:
            assembly.add(memoryview(piece))
        if assembly.complete:
            arrays = assembly.arrays(writable=False)
            assert [a.shape for a in arrays.values()] == [h.shape for h in headers]
    except (StreamError, LimitError, FeedError):
        return
