"""The messages of a Run stream are protobuf, written and read without a copy too many."""

from __future__ import annotations

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from accel_protocol import frames
from accel_protocol.errors import StreamError
from accel_protocol.v1 import accelerator_pb2 as pb

CALL_IDS = st.integers(0, 2**64 - 1)
PARTS = st.lists(st.binary(max_size=40), max_size=6)

requests = st.builds(
    lambda call_id, graph_id, timeout, payload: pb.RunRequest(
        call_id=call_id,
        start=pb.RunStart(graph_id=graph_id, timeout_us=timeout),
        payload=payload,
    ),
    CALL_IDS,
    st.binary(max_size=32),
    st.integers(0, 2**64 - 1),
    st.binary(max_size=300),
)
responses = st.builds(
    lambda call_id, compute, payload, reason: pb.RunResponse(
        call_id=call_id,
        result=pb.RunResult(timing=pb.Timing(compute_us=compute), repeatable=True),
        payload=payload,
        error=pb.Error(reason=reason, status=3),
    ),
    CALL_IDS,
    st.integers(0, 2**64 - 1),
    st.binary(max_size=300),
    st.text(max_size=20),
)


@given(CALL_IDS, st.binary(max_size=32), PARTS)
@settings(deadline=None)
def test_a_written_request_is_what_protobuf_reads(
    call_id: int, graph_id: bytes, parts: list[bytes]
) -> None:
    """What `encode` writes, the generated class reads."""
    start = pb.RunStart(graph_id=graph_id)
    message = pb.RunRequest.FromString(frames.encode(call_id, start.SerializeToString(), parts))
    assert (message.call_id, message.start, message.payload) == (call_id, start, b"".join(parts))


@given(CALL_IDS, st.text(max_size=30), PARTS)
@settings(deadline=None)
def test_a_written_answer_is_what_protobuf_reads(
    call_id: int, reason: str, parts: list[bytes]
) -> None:
    """An answer with all four fields is read by the generated class."""
    result, error = pb.RunResult(repeatable=True), pb.Error(reason=reason, status=3)
    message = pb.RunResponse.FromString(
        frames.encode(call_id, result.SerializeToString(), parts, error.SerializeToString())
    )
    assert message == pb.RunResponse(
        call_id=call_id, result=result, payload=b"".join(parts), error=error
    )


@given(requests)
@settings(deadline=None)
def test_a_request_of_protobuf_is_read(message: pb.RunRequest) -> None:
    """What the generated class writes, `decode` reads."""
    frame = frames.decode(message.SerializeToString())
    assert frame.call_id == message.call_id
    assert frame.head is not None
    assert pb.RunStart.FromString(bytes(frame.head)) == message.start
    assert bytes(frame.payload or b"") == message.payload
    assert frame.error is None


@given(responses)
@settings(deadline=None)
def test_an_answer_of_protobuf_is_read(message: pb.RunResponse) -> None:
    """What the generated class writes, `decode` reads, errors included."""
    frame = frames.decode(message.SerializeToString())
    assert frame.call_id == message.call_id
    assert frame.head is not None
    assert frame.error is not None
    assert pb.RunResult.FromString(bytes(frame.head)) == message.result
    assert pb.Error.FromString(bytes(frame.error)) == message.error
    assert bytes(frame.payload or b"") == message.payload


@given(st.binary(max_size=40), PARTS, st.integers(1, 60))
@settings(deadline=None)
def test_the_pieces_of_a_call_join_to_its_payload(
    head: bytes, parts: list[bytes], piece_bytes: int
) -> None:
    """Whatever the size of a piece, nothing is lost, repeated or reordered."""
    decoded = [frames.decode(m) for m in frames.split(7, head, parts, piece_bytes)]
    assert b"".join(bytes(frame.payload or b"") for frame in decoded) == b"".join(parts)


@given(st.binary(max_size=40), PARTS, st.integers(1, 60))
@settings(deadline=None)
def test_only_the_first_piece_has_the_head(
    head: bytes, parts: list[bytes], piece_bytes: int
) -> None:
    """The head travels once, the call's id in every message."""
    decoded = [frames.decode(m) for m in frames.split(7, head, parts, piece_bytes)]
    heads = [None if frame.head is None else bytes(frame.head) for frame in decoded]
    assert heads == [head] + [None] * (len(decoded) - 1)
    assert {frame.call_id for frame in decoded} == {7}


@given(PARTS, st.integers(1, 60))
@settings(deadline=None)
def test_pieces_are_full_but_for_the_last(parts: list[bytes], piece_bytes: int) -> None:
    """No piece is above the bound, and none is smaller than it has to be."""
    decoded = [frames.decode(m) for m in frames.split(7, b"", parts, piece_bytes)]
    sizes = [len(frame.payload or b"") for frame in decoded]
    total = sum(map(len, parts))
    assert len(sizes) == max(1, -(-total // piece_bytes))
    assert all(size == piece_bytes for size in sizes[:-1])
    assert sizes[-1] <= piece_bytes


@pytest.mark.parametrize(("size", "messages"), [(0, 1), (9, 1), (10, 1), (11, 2), (20, 2), (21, 3)])
def test_a_call_takes_as_few_messages_as_it_can(size: int, messages: int) -> None:
    """A payload of exactly one piece is one message, one byte more is two."""
    assert len(list(frames.split(1, b"h", [bytes(size)], 10))) == messages


@pytest.mark.parametrize(
    "unknown",
    [
        b"\x28\x05",  # field 5, a number
        b"\x2a\x03abc",  # field 5, bytes
        b"\x31" + bytes(8),  # field 6, 8 bytes
        b"\x3d" + bytes(4),  # field 7, 4 bytes
        b"\xfa\xff\xff\xff\x0f\x00",  # the largest field number, empty bytes
    ],
)
def test_unknown_fields_are_skipped(unknown: bytes) -> None:
    """A newer peer's fields change nothing, wherever they stand."""
    message = frames.encode(3, b"head", [b"payload"], b"error")
    plain = frames.decode(message)
    for mixed in (unknown + message, message + unknown):
        frame = frames.decode(mixed)
        assert (frame.call_id, frame.head, frame.payload, frame.error) == (
            plain.call_id,
            plain.head,
            plain.payload,
            plain.error,
        )


@pytest.mark.parametrize(
    "message",
    [
        b"\x08",  # ends after a key
        b"\x08\x80",  # ends inside a number
        b"\x08" + b"\xff" * 10,  # a number above 64 bits
        b"\x1a\x05abc",  # ends inside bytes
        b"\x1a\xff\xff\xff\xff\xff\xff\xff\xff\x7f",  # a length no message has
        b"\x09\x00",  # ends inside 8 bytes
        b"\x0d\x00",  # ends inside 4 bytes
        b"\x0b",  # a group begins
        b"\x0c",  # a group ends
        b"\x0e",  # no such wire type
        b"\x0f",  # no such wire type
    ],
)
def test_malformed_messages_are_refused(message: bytes) -> None:
    """Every way to break the encoding is a StreamError."""
    with pytest.raises(StreamError):
        frames.decode(message)


@given(st.binary(max_size=64))
@settings(deadline=None, max_examples=300)
def test_any_bytes_are_read_or_refused(message: bytes) -> None:
    """Bytes of a stranger give a frame or a StreamError, nothing else."""
    try:
        frame = frames.decode(message)
    except StreamError:
        return
    parts = (frame.head, frame.payload, frame.error)
    assert sum(len(part) for part in parts if part is not None) <= len(message)


@given(requests, st.data())
@settings(deadline=None)
def test_a_message_cut_short_is_refused_as_protobuf_does(
    message: pb.RunRequest, data: st.DataObject
) -> None:
    """A cut inside a field is a StreamError exactly where protobuf refuses it too."""
    whole = message.SerializeToString()
    cut = whole[: data.draw(st.integers(0, len(whole)))]
    try:
        pb.RunRequest.FromString(cut)
    except DecodeError:
        with pytest.raises(StreamError):
            frames.decode(cut)
    else:
        frames.decode(cut)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_reading_makes_no_copy_of_the_payload(kind: type) -> None:
    """The payload lies inside the message's own memory."""
    content = frames.encode(1, b"head", [bytes(range(256)) * 16])
    message = kind(content)
    payload = frames.decode(message).payload
    whole = np.frombuffer(message, np.uint8)
    assert np.shares_memory(whole, np.frombuffer(payload, np.uint8))


def test_parts_of_a_frame_are_views_of_the_message() -> None:
    """Head, payload and error are views whose owner is the message itself."""
    message = frames.encode(1, b"head", [b"payload"], b"error")
    frame = frames.decode(message)
    for part in (frame.head, frame.payload, frame.error):
        assert part is not None
        assert part.obj is message


def test_absent_fields_are_none() -> None:
    """An empty message has none of the parts, and a present empty payload is not absent."""
    assert frames.decode(b"") == frames.Frame(0, None, None, None)
    present = frames.decode(frames.encode(1, b"", [b""]))
    assert (present.head, present.payload, present.error) == (b"", b"", None)


def test_the_last_of_repeated_fields_counts() -> None:
    """As in protobuf, the last value of a number stands."""
    message = b"\x08\x01\x08\x02"
    assert frames.decode(message).call_id == pb.RunRequest.FromString(message).call_id == 2


def test_field_number_zero_is_refused() -> None:
    """Protobuf has no field 0; its parsers refuse such a message."""
    with pytest.raises(StreamError):
        frames.decode(b"\x02\x00")
