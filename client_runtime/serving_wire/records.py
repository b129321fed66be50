"""TFRecord files: TensorFlow's format for a row of records, used for warm-up and request logs.

Of each record: its length as 8 bytes, a checksum of these, its bytes, and a checksum of those. All
numbers are little-endian. The checksums are CRC-32C, rotated and shifted so that the checksum of
data which holds checksums is still of use.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

import google_crc32c

_HEAD = struct.Struct("<QI")
_LENGTH = struct.Struct("<Q")
_CHECKSUM = struct.Struct("<I")
_MASK = 0xA282EAD8
# Of a record whose length is believed at once: beyond it memory is taken as bytes come.
_PIECE_BYTES = 1 << 20


class RecordError(ValueError):
    """A file that is no TFRecord file, or one that is damaged, cut short, or over a bound."""


def write_record(stream: BinaryIO, data: bytes) -> None:
    """Append one record to a stream.

    Raises:
        OSError: it cannot be written.
    """
    length = _LENGTH.pack(len(data))
    head = _HEAD.pack(len(data), _masked_checksum(length))
    stream.write(b"".join((head, data, _CHECKSUM.pack(_masked_checksum(data)))))


def read_records(
    stream: BinaryIO, *, max_records: int | None = None, max_bytes: int = 1 << 31
) -> Iterator[bytes]:
    """The records of a stream, one after the other; each is checked before it is given out.

    Args:
        stream: at the beginning of a record.
        max_records: of the stream; None: as many as there are.
        max_bytes: of one record; a protobuf message cannot have more than the default.

    Raises:
        RecordError: damaged, cut short, or over a bound.
        OSError: it cannot be read.
    """
    count = 0
    while head := _read(stream, _HEAD.size):
        if count == max_records:
            raise RecordError(f"There are more than {max_records} records.")
        yield _record(stream, head, count, max_bytes)
        count += 1


def _record(stream: BinaryIO, head: bytes, index: int, max_bytes: int) -> bytes:
    if len(head) < _HEAD.size:
        raise RecordError(f"Record {index} is cut short.")
    length, checksum = _HEAD.unpack(head)
    if _masked_checksum(head[: _LENGTH.size]) != checksum:
        raise RecordError(f"The length of record {index} has another checksum.")
    if length > max_bytes:
        raise RecordError(f"Record {index} has {length} bytes, more than {max_bytes}.")
    data, tail = _read(stream, length), _read(stream, _CHECKSUM.size)
    if len(data) < length or len(tail) < _CHECKSUM.size:
        raise RecordError(f"Record {index} is cut short.")
    if _masked_checksum(data) != _CHECKSUM.unpack(tail)[0]:
        raise RecordError(f"Record {index} has another checksum.")
    return data


def _read(stream: BinaryIO, size: int) -> bytes:
    """So many bytes, fewer only at the stream's end."""
    parts = []
    while size and (part := stream.read(min(size, _PIECE_BYTES))):
        parts.append(part)
        size -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _masked_checksum(data: bytes) -> int:
    checksum: int = google_crc32c.value(data)
    rotated = (checksum >> 15) | (checksum << 17)
    return (rotated + _MASK) & 0xFFFFFFFF
