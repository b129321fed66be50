"""What carries the calls of one thread at a time: the narrow interface every transport fits."""

from __future__ import annotations

from collections.abc import Iterable
from queue import SimpleQueue
from typing import Protocol

import grpc

from accel_protocol import frames
from accel_protocol.errors import ConnectionLostError
from accel_protocol.frames import Message
from accel_protocol.message_stream import Incoming
from accel_protocol.methods import METHODS
from client_runtime.transport import channel as channels
from client_runtime.transport.grants import Grant


class Lane(Protocol):
    """An open, authorised stream. Used by one call at a time.

    Attributes:
        grant: whose ticket it shows.
        has_begun_nothing: whether the accelerator ended it, and said that it had begun nothing that
            it had not answered.
    """

    grant: Grant
    has_begun_nothing: bool

    def is_taken_up(self) -> bool:
        """Wait until the accelerator has taken up this stream; False: it ended before that."""

    def send(self, messages: Iterable[Message]) -> None:
        """Send a call's messages; they are encoded as the transport takes them.

        Raises:
            AcceleratorError: the stream ended.
        """

    def receive(self) -> Incoming:
        """The next message, of whose payload `fill` may have to read the rest.

        Raises:
            AcceleratorError: the stream ended.
        """

    def fill(self, room: memoryview) -> None:
        """Fill `room` with what the payload of the latest message lacks.

        Raises:
            AcceleratorError: the stream ended.
        """

    def is_open(self) -> bool:
        """Whether the stream has not ended yet, as far as is known here."""

    def close(self) -> None:
        """Give the stream up; a call on it is cancelled."""


class GrpcLane:
    """A Run stream on gRPC."""

    has_begun_nothing = False  # gRPC may end a stream with the accelerator's word on another matter

    def __init__(self, channel: grpc.Channel, grant: Grant) -> None:
        self.grant = grant
        self._calls: SimpleQueue[Iterable[Message] | None] = SimpleQueue()
        invoke = channel.stream_stream(METHODS["Run"].path)
        try:
            self._stream = invoke(self._messages(), metadata=channels.metadata(grant))
        except ValueError as error:
            raise channels.closed(error) from error
        channels.keep_past_exit(self._stream)

    def _messages(self) -> Iterable[bytes]:
        while (call := self._calls.get()) is not None:
            yield from map(b"".join, call)

    def is_taken_up(self) -> bool:
        """See `Lane.is_taken_up`."""
        # The first thing that the accelerator does on a stream is to send them.
        return bool(self._stream.initial_metadata())

    def send(self, messages: Iterable[Message]) -> None:
        """See `Lane.send`."""
        self._calls.put(messages)

    def receive(self) -> Incoming:
        """See `Lane.receive`."""
        try:
            message: bytes = next(self._stream)
        except grpc.RpcError as error:
            raise channels.typed(error) from error
        except StopIteration:
            raise ConnectionLostError("The accelerator ended the stream.") from None
        return Incoming(frames.decode(message), 0, len(message))

    def fill(self, room: memoryview) -> None:
        """See `Lane.fill`; gRPC's messages come whole."""

    def is_open(self) -> bool:
        """See `Lane.is_open`."""
        return bool(self._stream.is_active())

    def close(self) -> None:
        """See `Lane.close`."""
        self._calls.put(None)
        self._stream.cancel()
