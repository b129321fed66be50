"""TFRecords are read as they were written; damage of any kind is noticed."""

from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_runtime.serving_wire.records import RecordError, read_records, write_record

# The record "hello", as tf.io.TFRecordWriter writes it.
HELLO = bytes.fromhex("0500000000000000eab2043e68656c6c6fbb1f1c19")


def written(*records: bytes) -> bytes:
    """A file with these records."""
    stream = io.BytesIO()
    for record in records:
        write_record(stream, record)
    return stream.getvalue()


def test_a_record_is_laid_out_as_tensorflow_does() -> None:
    """Byte by byte, checksums included."""
    assert written(b"hello") == HELLO


@given(st.lists(st.binary(max_size=50), max_size=5))
def test_records_are_read_as_written(records: list[bytes]) -> None:
    """All of them, in order, empty ones too."""
    assert list(read_records(io.BytesIO(written(*records)))) == records


def test_a_large_record_is_put_together() -> None:
    """From more than one piece."""
    data = bytes(3 << 20)
    assert list(read_records(io.BytesIO(written(data, b"x")))) == [data, b"x"]


@pytest.mark.parametrize("index", range(len(HELLO)))
def test_a_changed_byte_is_noticed(index: int) -> None:
    """Wherever it stands."""
    damaged = bytearray(HELLO)
    damaged[index] ^= 0x10
    with pytest.raises(RecordError, match="ecord 1"):
        list(read_records(io.BytesIO(HELLO + bytes(damaged))))


@pytest.mark.parametrize("size", range(1, len(HELLO)))
def test_a_record_cut_short_is_noticed(size: int) -> None:
    """Wherever it ends; what stands before it is given out."""
    records = read_records(io.BytesIO(HELLO + HELLO[:size]))
    assert next(records) == b"hello"
    with pytest.raises(RecordError, match="cut short"):
        next(records)


def test_a_length_is_not_believed_before_its_bytes_came() -> None:
    """A right checksum over a length of exabytes takes no memory."""
    length = struct.pack("<Q", 1 << 30)
    head = length + struct.pack("<I", 0x52CC61CB)
    with pytest.raises(RecordError, match="cut short"):
        list(read_records(io.BytesIO(head + b"x" * 100)))


def test_records_have_a_bound() -> None:
    """In bytes of one, and in number."""
    data = written(b"123", b"456")
    assert len(list(read_records(io.BytesIO(data), max_records=2, max_bytes=3))) == 2
    with pytest.raises(RecordError, match="more than 2"):
        list(read_records(io.BytesIO(data), max_bytes=2))
    with pytest.raises(RecordError, match="more than 1"):
        list(read_records(io.BytesIO(data), max_records=1))
