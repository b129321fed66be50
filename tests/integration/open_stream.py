"""A Run stream that is open, for tests of what changes mean to it."""

from __future__ import annotations

from queue import SimpleQueue

import grpc
import pytest

from accel_protocol import frames
from accel_protocol.methods import METHODS
from accel_protocol.v1 import accelerator_pb2 as pb
from client_runtime.transport.channel import metadata, typed
from client_runtime.transport.grants import Grant

ONE = b"\x01" * 32


class Stream:
    """An open Run stream, on which calls of graphs that are not there can be made."""

    def __init__(self, channel: grpc.Channel, grant: Grant) -> None:
        self.calls: SimpleQueue[bytes | None] = SimpleQueue()
        self.count = 0
        opened = channel.stream_stream(METHODS["Run"].path)
        self.answers = opened(iter(self.calls.get, None), metadata=metadata(grant))

    def call(self, graph: bytes = ONE) -> pb.Error:
        """How a call is refused: MODEL_MISSING is behind the gate.

        Raises:
            grpc.RpcError: the stream has ended.
        """
        self.count += 1
        head = pb.RunStart(graph_id=graph).SerializeToString()
        self.calls.put(frames.encode(self.count, head))
        frame = frames.decode(next(self.answers))
        assert frame.call_id == self.count
        assert frame.error is not None
        return pb.Error.FromString(bytes(frame.error))

    def reason(self, graph: bytes = ONE) -> str:
        """The reason only."""
        return str(self.call(graph).reason)


def ending(stream: Stream) -> str:
    """Why a stream ends, which nothing is sent on any more."""
    with pytest.raises(grpc.RpcError) as caught:
        next(stream.answers)
    return typed(caught.value).reason
