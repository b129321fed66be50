"""A Run stream that is open, on any lane, for tests of what changes mean to it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import grpc
import pytest

from accel_protocol import frames
from accel_protocol.errors import AcceleratorError
from accel_protocol.lanes import KINDS
from accel_protocol.v1 import accelerator_pb2 as pb
from client_runtime.discovery.endpoints import Endpoint
from client_runtime.transport.channel import from_message
from client_runtime.transport.grants import Grant
from client_runtime.transport.lane import Lane
from client_runtime.transport.lane_choice import LaneChoice
from tests.conftest import patience

ONE = b"\x01" * 32


class Stream:
    """An open Run stream, on which calls of graphs that are not there can be made."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.count = 0

    def call(self, graph: bytes = ONE) -> pb.Error:
        """How a call is refused: MODEL_MISSING is behind the gate.

        Raises:
            AcceleratorError: the stream has ended.
        """
        self.count += 1
        head = pb.RunStart(graph_id=graph).SerializeToString()
        self.lane.send(iter([frames.encode_parts(self.count, head)]))
        frame = self.lane.receive().frame
        assert frame.call_id == self.count
        assert frame.error is not None
        return pb.Error.FromString(bytes(frame.error))

    def reason(self, graph: bytes = ONE) -> str:
        """The reason only."""
        return str(self.call(graph).reason)


@contextmanager
def streams(endpoint: Endpoint, channel: grpc.Channel, grant: Grant) -> Iterator[list[Stream]]:
    """An open stream on each kind of lane."""
    with ExitStack() as closing:
        made = []
        for kind in KINDS:
            lane = LaneChoice(endpoint, (kind,)).open(channel, grant)
            closing.callback(lane.close)
            made.append(Stream(lane))
        yield made


def outcome(lane: Lane, messages: list[bytes]) -> AcceleratorError:
    """How a call ends that brings these messages and gets no result."""
    overdue = threading.Timer(patience(20), lane.close)
    overdue.start()
    try:
        lane.send(iter([[message] for message in messages]))
        error = lane.receive().frame.error
    except AcceleratorError as ended:
        return ended
    finally:
        overdue.cancel()
    assert error is not None
    return from_message(pb.Error.FromString(bytes(error)))


def ending(stream: Stream) -> str:
    """Why a stream ends, which nothing is sent on any more."""
    with pytest.raises(AcceleratorError) as caught:
        stream.lane.receive()
    return caught.value.reason
