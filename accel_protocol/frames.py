"""The messages of a Run stream, written and read without a protobuf object for the payload.

RunRequest and RunResponse share one layout: field 1 the call's id, field 2 the head (RunStart or
RunResult), field 3 the next bytes of the payload, field 4 an error (answers only). Writing them by
hand costs one copy of the payload, reading costs none; the bytes are ordinary protobuf, which the
tests hold against the generated classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from accel_protocol.errors import StreamError
from accel_protocol.tensors import Buffer

_CALL_ID, _HEAD, _PAYLOAD, _ERROR = 1, 2, 3, 4
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True, slots=True)
class Frame:
    """One message. `head` and `error` are serialized messages, None where absent."""

    call_id: int
    head: memoryview | None
    payload: memoryview | None
    error: memoryview | None


def encode(
    call_id: int, head: bytes | None = None, payload: Sequence[Buffer] = (), error: bytes = b""
) -> bytes:
    """One message; the parts of `payload` are joined, which is the one copy."""
    parts: list[Buffer] = [b"\x08", varint(call_id)]
    if head is not None:
        parts += [b"\x12", varint(len(head)), head]
    if payload:
        parts += [b"\x1a", varint(sum(map(len, payload))), *payload]
    if error:
        parts += [b"\x22", varint(len(error)), error]
    return b"".join(parts)


def split(
    call_id: int, head: bytes, payload: Sequence[Buffer], piece_bytes: int
) -> Iterator[bytes]:
    """The messages of one call: one when its payload fits into a piece, else several."""
    pieces = _pieces(payload, piece_bytes)
    yield encode(call_id, head, next(pieces, ()))
    for piece in pieces:
        yield encode(call_id, None, piece)


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
    view = memoryview(message)
    call_id = 0
    found: dict[int, memoryview] = {}
    position = 0
    while position < len(view):
        key, position = read_varint(view, position)
        field, wire_type = key >> 3, key & 7
        if field == 0:
            raise StreamError("A message has a field number 0.")
        if wire_type == _VARINT:
            value, position = read_varint(view, position)
            call_id = value if field == _CALL_ID else call_id
        else:
            start, position = extent(view, position, wire_type)
            if wire_type == _BYTES:
                found[field] = view[start:position]
    return Frame(call_id, found.get(_HEAD), found.get(_PAYLOAD), found.get(_ERROR))


def extent(view: memoryview, position: int, wire_type: int) -> tuple[int, int]:
    """Where the content of a field that is no varint starts and ends, which begins at `position`.

    Raises:
        StreamError: not a well-formed field.
    """
    if wire_type == _BYTES:
        length, position = read_varint(view, position)
    elif wire_type in (_FIXED64, _FIXED32):
        length = 8 if wire_type == _FIXED64 else 4
    else:
        raise StreamError(f"A message has wire type {wire_type}, which proto3 does not use.")
    if position + length > len(view):
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


def read_varint(view: memoryview, position: int) -> tuple[int, int]:
    """The number at `position`, and where it ends.

    Raises:
        StreamError: there is none.
    """
    result = 0
    for shift in range(0, 70, 7):
        if position >= len(view):
            raise StreamError("A message ends inside a number.")
        byte = view[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result & 0xFFFF_FFFF_FFFF_FFFF, position
    raise StreamError("A number in a message is longer than 64 bits.")
