"""An Upload's messages by hand are those of the generated class."""

from __future__ import annotations

import hashlib
import tracemalloc

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from accel_protocol import upload_frames
from accel_protocol.errors import StreamError
from accel_protocol.v1 import accelerator_pb2 as pb

BLOB = pb.Blob(sha256=hashlib.sha256(b"x").digest(), size=1 << 40)
OFFSETS = st.integers(0, 2**64 - 1)


@given(OFFSETS, st.binary(max_size=300))
def test_what_is_written_is_protobuf(offset: int, data: bytes) -> None:
    """The generated class reads the same."""
    message = upload_frames.encode(BLOB, offset, memoryview(data))
    assert pb.UploadRequest.FromString(message) == pb.UploadRequest(
        blob=BLOB, offset=offset, data=data
    )


@given(OFFSETS, st.binary(max_size=300))
def test_what_protobuf_writes_is_read(offset: int, data: bytes) -> None:
    """Every client's messages are understood, whatever wrote them."""
    message = pb.UploadRequest(blob=BLOB, offset=offset, data=data).SerializeToString()
    chunk = upload_frames.decode(message)
    assert (chunk.blob, chunk.offset, bytes(chunk.data)) == (BLOB, offset, data)
    assert chunk.message_bytes == len(message)


def test_data_is_not_copied() -> None:
    """It is a view of the message."""
    message = upload_frames.encode(BLOB, 0, b"data")
    data = upload_frames.decode(message).data
    assert isinstance(data, memoryview)
    assert data.obj is message


def test_reading_takes_no_memory_for_data() -> None:
    """Of a piece, not even a hundredth."""
    message = upload_frames.encode(BLOB, 0, bytes(1 << 20))
    tracemalloc.start()
    try:
        upload_frames.decode(message)
        assert tracemalloc.get_traced_memory()[1] < 10_000
    finally:
        tracemalloc.stop()


def test_fields_in_another_order_and_unknown_ones() -> None:
    """Are read as protobuf reads them: the last one counts, and parts of messages add up."""
    digest, size = pb.Blob(sha256=BLOB.sha256), pb.Blob(size=7)
    message = b"".join(
        (
            b"\x1a\x03old",
            b"\x7a\x02??",
            pb.UploadRequest(blob=digest).SerializeToString(),
            b"\x1a\x03new",
            pb.UploadRequest(blob=size, offset=9).SerializeToString(),
            b"\x1dfour",  # of another type, and so unknown
        )
    )
    chunk = upload_frames.decode(message)
    wanted = pb.UploadRequest.FromString(message)
    assert (chunk.blob.sha256, chunk.blob.size) == (wanted.blob.sha256, wanted.blob.size)
    assert (chunk.offset, bytes(chunk.data)) == (wanted.offset, wanted.data)


@given(st.binary(max_size=60))
def test_whatever_comes_is_read_as_protobuf_reads_it_or_refused(message: bytes) -> None:
    """Nothing means one thing here and another to the generated class."""
    try:
        chunk = upload_frames.decode(message)
    except (StreamError, DecodeError):
        return
    wanted = pb.UploadRequest.FromString(message)
    assert (chunk.offset, bytes(chunk.data)) == (wanted.offset, wanted.data)
    assert (chunk.blob.sha256, chunk.blob.size) == (wanted.blob.sha256, wanted.blob.size)


@pytest.mark.parametrize("message", [b"\x1a\x05ab", b"\x1a", b"\xff", b"\x0a\x01\xff"])
def test_what_is_no_message_is_refused(message: bytes) -> None:
    """With one of the two errors that a message's reader may raise."""
    with pytest.raises((StreamError, DecodeError)):
        upload_frames.decode(message)
