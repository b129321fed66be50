"""Messages on a stream of bytes: each has its length before it, four bytes, little-endian.

For lanes that are no gRPC. A large payload goes from where it is read to where it belongs; all else
goes through one small buffer that is kept.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

from accel_protocol import frames
from accel_protocol.errors import ConnectionLostError
from accel_protocol.frames import Frame, Message
from accel_protocol.limits import Limits
from accel_protocol.payload import Assembly
from accel_protocol.tensors import Buffer

_LENGTH = struct.Struct("<I")
# One record of TLS, which is all that one read brings.
_BUFFER_BYTES = 16 * 1024
# Below it joining is cheaper than writing twice.
_JOINED_BYTES = 16 * 1024
ReadInto = Callable[[memoryview], int]
Write = Callable[[Buffer], object]
Fill = Callable[[memoryview], None]


class Incoming(NamedTuple):
    """A message whose payload may still be on its way.

    Attributes:
        frame: the message; of the payload what is there.
        missing: bytes of the payload that are to be read with `MessageReader.fill`.
        size: bytes of the whole message.
    """

    frame: Frame
    missing: int
    size: int


class MessageReader:
    """Reads messages; waits where `read_into` waits.

    Args:
        read_into: fills the beginning of what it is given with what comes, and says how much that
            was; 0 at the end of the stream.
        limits: bound a message.
    """

    def __init__(self, read_into: ReadInto, limits: Limits) -> None:
        self._read_into, self._limits = read_into, limits
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))
        self._start = self._end = 0
        self._missing = 0

    @property
    def is_between(self) -> bool:
        """Whether the latest message is there as a whole, and nothing of the next one."""
        return self._start == self._end and not self._missing

    def next(self) -> Incoming | None:
        """The next message of a Run stream; None where the stream ends between two.

        Its parts are good until the next call, but the payload stays.

        Raises:
            ConnectionLostError: the stream ended within a message.
            StreamError, LimitError: it is none that may be sent.
        """
        size = self._read_size()
        if size is None:
            return None
        wanted = min(size, _BUFFER_BYTES - _LENGTH.size)
        while True:
            view = self._buffer[self._start : min(self._start + size, self._end)]
            try:
                frame, missing = frames.decode_beginning(view, size)
            except frames.IncompleteError:
                if len(view) >= wanted:
                    return Incoming(frames.decode(self._read_whole(size)), 0, size)
                # Twice as much: who sends single bytes must not have all read each time.
                self._read_until(min(wanted, 2 * len(view)))
            else:
                self._start += len(view)
                self._missing = missing
                return Incoming(_with_own_payload(frame), missing, size)

    def next_whole(self) -> bytes | None:
        """The next message, of any kind; None where the stream ends.

        Raises:
            ConnectionLostError, LimitError: see `next`.
        """
        size = self._read_size()
        return None if size is None else self._read_whole(size)

    def fill(self, room: memoryview) -> None:
        """Fill all of `room` with what a payload lacks.

        Raises:
            ConnectionLostError: the stream ended before.
        """
        position = 0
        while position < len(room):
            count = self._read_into(room[position:])
            if not count:
                raise _cut_off()
            position += count
        self._missing = max(0, self._missing - len(room))

    def _read_size(self) -> int | None:
        while self._end - self._start < _LENGTH.size:
            if not self._read_more():
                if self._end > self._start:
                    raise _cut_off()
                return None
        size: int = _LENGTH.unpack_from(self._buffer, self._start)[0]
        self._limits.check("message_bytes", size)
        self._start += _LENGTH.size
        return size

    def _read_whole(self, size: int) -> bytes:
        message = bytearray(size)
        there = min(size, self._end - self._start)
        message[:there] = self._buffer[self._start : self._start + there]
        self._start += there
        with memoryview(message) as view:
            self.fill(view[there:])
        return bytes(message)

    def _read_until(self, count: int) -> None:
        """Read until so many bytes are there, one more at least."""
        while self._read_more():
            if self._end - self._start >= count:
                return
        raise _cut_off()

    def _read_more(self) -> int:
        if self._start == self._end:
            self._start = self._end = 0
        elif self._end == _BUFFER_BYTES:
            rest = bytes(self._buffer[self._start : self._end])
            self._start, self._end = 0, len(rest)
            self._buffer[: self._end] = rest
        count = self._read_into(self._buffer[self._end :])
        self._end += count
        return count


def write_message(write: Write, message: Message) -> int:
    """Write a message and its length, copying no large payload; answers the message's bytes."""
    size = sum(map(len, message))
    if size <= _JOINED_BYTES:
        write(b"".join([_LENGTH.pack(size), *message]))
        return size
    write(b"".join([_LENGTH.pack(size), message[0]]))
    for part in message[1:]:
        write(part)
    return size


def take_payload(incoming: Incoming, fill: Fill, assembly: Assembly) -> int | None:
    """Bring a message's payload to where it belongs; its bytes, None where it has none.

    Args:
        incoming: the message.
        fill: reads what is missing of it.
        assembly: of the call.

    Raises:
        StreamError: see `Assembly.add` and `Assembly.room`.
        ConnectionLostError: the stream ended before.
    """
    payload, missing = incoming.frame.payload, incoming.missing
    if payload is None or not (len(payload) or missing or not assembly.complete):
        return None
    if len(payload) or not missing:
        assembly.add(payload)
    while missing:
        room = assembly.room(missing)
        fill(room)
        assembly.filled(len(room))
        missing -= len(room)
    return len(payload) + incoming.missing


def _with_own_payload(frame: Frame) -> Frame:
    """An engine may keep what it is fed, and the buffer is used again."""
    if frame.payload is None:
        return frame
    return Frame(frame.call_id, frame.head, memoryview(bytes(frame.payload)), frame.error)


def _cut_off() -> ConnectionLostError:
    return ConnectionLostError("The connection ended within a message.")
