"""The messages of a Run stream, written and read without a protobuf object for the payload.

RunRequest and RunResponse share one layout: field 1 the call's id, field 2 the head (RunStart or
RunResult), field 3 the next bytes of the payload, field 4 an error (answers only). Writing them by
hand copies no payload, and reading none; the bytes are ordinary protobuf, which the tests hold
against the generated classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from accel_protocol.errors import StreamError
from accel_protocol.tensors import Buffer

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


# The bytes of one message, in parts.
Message = Sequence[Buffer]


class IncompleteError(Exception):
    """More of a message is needed to read its beginning."""


class Frame(NamedTuple):
    """One message. `head` and `error` are serialized messages, None where absent."""

    call_id: int
    head: memoryview | None
    payload: memoryview | None
    error: memoryview | None


def encode(
    call_id: int, head: bytes | None = None, payload: Sequence[Buffer] = (), error: bytes = b""
) -> bytes:
    """One message in one piece: joining its parts is the one copy of the payload."""
    return b"".join(encode_parts(call_id, head, payload, error))


def encode_parts(
    call_id: int, head: bytes | None = None, payload: Sequence[Buffer] = (), error: bytes = b""
) -> Message:
    """One message, in which the parts of `payload` stand as they are."""
    start = b"\x08" + varint(call_id)
    if head is not None:
        start += b"\x12" + varint(len(head)) + head
    if payload:
        start += b"\x1a" + varint(sum(map(len, payload)))
    end = [b"\x22" + varint(len(error)) + error] if error else []
    return [start, *payload, *end]


def split(
    call_id: int, head: bytes, payload: Sequence[Buffer], piece_bytes: int
) -> Iterator[bytes]:
    """The messages of one call: one when its payload fits into a piece, else several."""
    return map(b"".join, split_parts(call_id, head, payload, piece_bytes))


def split_parts(
    call_id: int, head: bytes, payload: Sequence[Buffer], piece_bytes: int
) -> Iterator[Message]:
    """`split` without copying the payload."""
    pieces = _pieces(payload, piece_bytes)
    yield encode_parts(call_id, head, next(pieces, ()))
    for piece in pieces:
        yield encode_parts(call_id, None, piece)


def _pieces(payload: Sequence[Buffer], piece_bytes: int) -> Iterator[Sequence[Buffer]]:
    """Cut the concatenation of `payload` into runs of at most `piece_bytes`, without copying."""
    if sum(map(len, payload)) <= piece_bytes:
        yield payload
        return
    piece: list[Buffer] = []
    room = piece_bytes
    for part in payload:
        view = memoryview(part)
        while len(view) >= room:
            yield [*piece, view[:room]]
            view, piece, room = view[room:], [], piece_bytes
        if len(view):
            piece.append(view)
            room -= len(view)
    if piece:
        yield piece


def decode(message: Buffer) -> Frame:
    """Read one message; its parts are views of `message`. Unknown fields are skipped.

    Raises:
        StreamError: not a well-formed message.
    """
    frame, _ = decode_beginning(message, len(message))
    return frame


def decode_beginning(beginning: Buffer, size: int) -> tuple[Frame, int]:
    """Read a message of which only the payload may go on behind what is there.

    Args:
        beginning: the first bytes of the message, at least one field of it.
        size: bytes of the whole message.

    Returns:
        The message with what is there of its payload, and how many bytes of that are to come.

    Raises:
        StreamError: not a well-formed message.
        IncompleteError: something else than the payload goes on.
    """
    view = memoryview(beginning)
    call_id = position = 0
    head = payload = error = None
    end = len(view)
    while position < end:
        key = view[position]
        if key == 0x12 or key == 0x1A or key == 0x22:  # one of ours, which most are
            start, position = _length(view, position + 1, size)
        elif key == 0x08:
            call_id, position = read_varint(view, position + 1, size)
            continue
        else:
            key, start, position = _other_field(view, position, size)
            if key == 0x08:
                call_id = start
        if position > end and not (key == 0x1A and position == size):
            raise IncompleteError
        if key == 0x12:
            head = view[start:position]
        elif key == 0x1A:
            payload = view[start:position]
        elif key == 0x22:
            error = view[start:position]
    if position < size:
        raise IncompleteError
    return Frame(call_id, head, payload, error), position - end


def _other_field(view: memoryview, position: int, size: int) -> tuple[int, int, int]:
    """Key, start (of a number its value) and end of a field that is none of ours."""
    key, position = read_varint(view, position, size)
    wire_type = key & 7
    if key >> 3 == 0:
        raise StreamError("A message has a field number 0.")
    if wire_type == _VARINT:
        return key, *read_varint(view, position, size)
    return key, *extent(view, position, wire_type, size)


def _length(view: memoryview, position: int, size: int) -> tuple[int, int]:
    """Start and end of a field of bytes, from where its length stands."""
    length, position = read_varint(view, position, size)
    if position + length > size:
        raise StreamError("A message ends inside a field.")
    return position, position + length


def extent(view: memoryview, position: int, wire_type: int, size: int) -> tuple[int, int]:
    """Where the content of a field that is no number starts and ends, which begins at `position`.

    Raises:
        StreamError: not a well-formed field.
        IncompleteError: see `read_varint`.
    """
    if wire_type == _BYTES:
        return _length(view, position, size)
    if wire_type not in (_FIXED64, _FIXED32):
        raise StreamError(f"A message has wire type {wire_type}, which proto3 does not use.")
    length = 8 if wire_type == _FIXED64 else 4
    if position + length > size:
        raise StreamError("A message ends inside a field.")
    return position, position + length


def varint(value: int) -> bytes:
    """A number as protobuf writes it."""
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(view: memoryview, position: int, size: int) -> tuple[int, int]:
    """The number at `position`, and where it ends.

    Raises:
        StreamError: there is none.
        IncompleteError: it goes on behind `view`, of a message of `size` bytes.
    """
    if position < len(view) and (byte := view[position]) < 0x80:
        return byte, position + 1  # most are so short
    result = 0
    for shift in range(0, 70, 7):
        if position >= len(view):
            if len(view) < size:
                raise IncompleteError
            raise StreamError("A message ends inside a number.")
        byte = view[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result & 0xFFFF_FFFF_FFFF_FFFF, position
    raise StreamError("A number in a message is longer than 64 bits.")
