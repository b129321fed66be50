"""Messages on a stream of bytes, however it is cut: read back, refused, or said to be cut off."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_protocol import frames
from accel_protocol.errors import ConnectionLostError, LimitError, StreamError
from accel_protocol.frames import Frame
from accel_protocol.limits import DEFAULT_LIMITS, Limits
from accel_protocol.message_stream import Incoming, MessageReader, take_payload, write_message
from accel_protocol.payload import Assembly
from accel_protocol.tensors import TensorHeader

UINT8 = 4
BUFFER = 16 * 1024


def stream(data: bytes, cuts: Sequence[int] = ()) -> Callable[[memoryview], int]:
    """Reads the data, never across a cut."""
    edges = sorted({*(cut % (len(data) + 1) for cut in cuts), len(data)})
    position = 0

    def read_into(room: memoryview) -> int:
        nonlocal position
        end = next((edge for edge in edges if edge > position), position)
        count = min(len(room), end - position)
        room[:count] = data[position : position + count]
        position += count
        return count

    return read_into


def written(*messages: frames.Message) -> bytes:
    """The messages as they go over a stream."""
    out = bytearray()
    for message in messages:
        write_message(out.extend, message)
    return bytes(out)


def reader(data: bytes, cuts: Sequence[int] = (), limits: Limits = DEFAULT_LIMITS) -> MessageReader:
    """A reader of this stream."""
    return MessageReader(stream(data, cuts), limits)


def whole(one: Incoming | None, source: MessageReader) -> Frame:
    """A message with all of its payload."""
    assert one is not None
    rest = bytearray(one.missing)
    source.fill(memoryview(rest))
    payload = None if one.frame.payload is None else memoryview(bytes(one.frame.payload) + rest)
    head = None if one.frame.head is None else memoryview(bytes(one.frame.head))
    return Frame(one.frame.call_id, head, payload, one.frame.error)


SIZES = st.sampled_from([0, 1, 100, BUFFER - 40, BUFFER - 4, BUFFER, BUFFER + 1, 70_000])
MESSAGES = st.lists(
    st.tuples(st.integers(0, 2**64 - 1), st.none() | st.binary(max_size=30), SIZES), max_size=4
)


@given(MESSAGES, st.lists(st.integers(0, 300_000), max_size=12))
def test_what_is_written_is_read(
    told: list[tuple[int, bytes | None, int]], cuts: list[int]
) -> None:
    """Whatever the sizes, and wherever the stream is cut; then it ends between two messages."""
    payloads = [np.random.default_rng(size).bytes(size) for _, _, size in told]
    data = written(
        *(
            frames.encode_parts(call_id, head, [payload])
            for (call_id, head, _), payload in zip(told, payloads, strict=True)
        )
    )
    source = reader(data, cuts)

    for (call_id, head, _), payload in zip(told, payloads, strict=True):
        assert whole(source.next(), source) == Frame(call_id, head, payload, None)
    assert source.next() is None


def test_head_larger_than_the_buffer() -> None:
    """It is read as a whole; the payload behind it, too."""
    head, payload = bytes(3 * BUFFER), b"payload"
    source = reader(written(frames.encode_parts(1, head, [payload])))

    assert whole(source.next(), source) == Frame(1, head, payload, None)


def test_large_payload_goes_where_it_belongs() -> None:
    """It is read into the tensors' own memory, with no piece of its size in between."""
    sizes = (100_000, 7, 50_000)
    payload = np.random.default_rng(1).bytes(sum(sizes))
    source = reader(written(frames.encode_parts(1, b"h", [payload])), range(0, 150_000, 9_999))
    headers = [TensorHeader(str(n), UINT8, (size,), size) for n, size in enumerate(sizes)]
    assembly = Assembly(headers, DEFAULT_LIMITS)

    incoming = source.next()
    assert incoming is not None
    assert incoming.missing > sum(sizes) - BUFFER
    assert take_payload(incoming, source.fill, assembly) == sum(sizes)

    arrays = assembly.arrays(writable=True)
    assert b"".join(arrays[str(n)].tobytes() for n in range(3)) == payload
    assert all(array.ctypes.data % 64 == 0 for array in arrays.values())


def test_payload_larger_than_announced_is_refused() -> None:
    """Before anything is written behind the tensors' memory."""
    source = reader(written(frames.encode_parts(1, b"h", [bytes(50_000)])))
    assembly = Assembly([TensorHeader("x", UINT8, (40_000,), 40_000)], DEFAULT_LIMITS)
    incoming = source.next()
    assert incoming is not None

    with pytest.raises(StreamError, match="announced"):
        take_payload(incoming, source.fill, assembly)


def test_what_an_engine_keeps_is_not_overwritten() -> None:
    """A small payload stays as it was when the next message has come."""
    source = reader(
        written(frames.encode_parts(1, b"", [b"first"]), frames.encode_parts(2, b"", [b"other"]))
    )
    first = source.next()
    source.next()

    assert first is not None
    assert first.frame.payload == b"first"


@pytest.mark.parametrize("count", [1, 3, 4, 5, 20, 20_000, 39_999])
def test_stream_that_ends_within_a_message(count: int) -> None:
    """Is cut off, wherever in it: that is no end."""
    data = written(frames.encode_parts(1, b"head", [bytes(40_000)]))
    source = reader(data[:count])

    with pytest.raises(ConnectionLostError, match="within a message"):
        whole(source.next(), source)


@pytest.mark.parametrize(("size", "is_fine"), [(99, True), (100, True), (101, False)])
def test_message_is_bounded(size: int, is_fine: bool) -> None:
    """One byte above the limit is refused by its length alone."""
    data = written([bytes(size)])
    source = reader(data[:4] if not is_fine else data, limits=Limits(message_bytes=100))

    if is_fine:
        assert source.next_whole() == bytes(size)
    else:
        with pytest.raises(LimitError):
            source.next_whole()


@given(st.binary(max_size=60))
def test_bytes_of_anyone(data: bytes) -> None:
    """Are messages, or refused, or cut off; as they are where they come in one piece."""
    source = reader(len(data).to_bytes(4, "little") + data)
    try:
        expected: Frame | None = frames.decode(data)
    except StreamError:
        expected = None
    try:
        found: Frame | None = whole(source.next(), source)
    except StreamError:
        found = None

    assert found == expected


def test_whether_a_message_has_begun() -> None:
    """Is known: who is silent between two messages is not late."""
    data = written(frames.encode_parts(1, b"h", [b"p"]))
    large = written(frames.encode_parts(1, b"h", [bytes(30_000)]))
    source = reader(data + large + data[:6], [len(data), len(data) + len(large)])

    assert source.is_between
    source.next()
    assert source.is_between
    incoming = source.next()
    assert incoming is not None
    assert not source.is_between
    source.fill(memoryview(bytearray(incoming.missing)))
    assert source.is_between
