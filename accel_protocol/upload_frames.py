"""The messages of an Upload, written and read without a protobuf object for a file's bytes.

Writing them costs one copy of the bytes, reading costs none; they are ordinary protobuf, which the
tests hold against the generated class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from accel_protocol.frames import extent, read_varint, varint
from accel_protocol.tensors import Buffer
from accel_protocol.v1 import accelerator_pb2 as pb

_DATA_FIELD, _BYTES = 3, 2
_DATA_KEY = b"\x1a"


@dataclass(frozen=True, slots=True)
class Chunk:
    """One UploadRequest.

    Attributes:
        blob: the pb.Blob that announces the file.
        offset: where `data` starts in the file.
        data: the file's next bytes.
        message_bytes: of the whole message, which `data` may keep in memory.
    """

    blob: Any
    offset: int
    data: Buffer
    message_bytes: int


def encode(blob: Any, offset: int, data: Buffer) -> bytes:
    """One message; the copy of `data` into it is the only one.

    Args:
        blob: a pb.Blob.
        offset: where `data` starts in the file.
        data: the file's next bytes.
    """
    head = pb.UploadRequest(blob=blob, offset=offset).SerializeToString()
    return b"".join((head, _DATA_KEY, varint(len(data)), data))


def decode(message: bytes) -> Chunk:
    """Read one message; its data is a view of `message`.

    Raises:
        StreamError, DecodeError: not a well-formed message.
    """
    view, position, rest = memoryview(message), 0, list[memoryview]()
    data: memoryview = view[:0]
    while position < len(view):
        begin = position
        key, position = read_varint(view, position)
        if key & 7 == 0:
            _, position = read_varint(view, position)
        else:
            start, position = extent(view, position, key & 7)
            if key == _DATA_FIELD << 3 | _BYTES:
                data = view[start:position]
                continue
        rest.append(view[begin:position])
    # What is left is short, and protobuf's own business.
    head = pb.UploadRequest.FromString(b"".join(rest))
    return Chunk(head.blob, head.offset, data, len(message))
