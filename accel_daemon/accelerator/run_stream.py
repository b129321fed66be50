"""One Run stream as a pure state machine: messages in, whole calls out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from google.protobuf.message import DecodeError

from accel_daemon.engines.engine import Cost
from accel_protocol import frames, tensors
from accel_protocol.errors import AcceleratorError, StreamError
from accel_protocol.frames import Message
from accel_protocol.heads import result_head
from accel_protocol.limits import SMALL_BYTES, Limits
from accel_protocol.message_stream import Fill, Incoming, take_payload
from accel_protocol.payload import Assembly, check_headers, headers_from_wire
from accel_protocol.tensors import Array, TensorHeader
from accel_protocol.v1 import accelerator_pb2 as pb


class Call(NamedTuple):
    """One whole call.

    Attributes:
        call_id: the client's number for it.
        graph_id: 32 bytes.
        feeds: arrays by alias, views of the messages they came in.
        timeout: seconds the client gives it, None for no bound.
    """

    call_id: int
    graph_id: bytes
    feeds: Mapping[str, Array]
    timeout: float | None


class Timing(NamedTuple):
    """Where a call's time went, in seconds.

    Attributes:
        queue: waiting for a place to run.
        compute: inside the engine.
        load: loading the graph first, and working out what the run costs.
        paced: waiting until the emulated type would have answered.
        emulated: what that type takes for this run alone, by its published throughput.
        cost: of this run, where an emulated type made it out.
    """

    queue: float = 0.0
    compute: float = 0.0
    load: float = 0.0
    paced: float = 0.0
    emulated: float = 0.0
    cost: Cost | None = None


class _Start(NamedTuple):
    """A call's head: its bytes, what they say, and the bytes of the payload."""

    head: bytes
    graph_id: bytes
    feeds: tuple[TensorHeader, ...]
    total: int
    timeout: float | None


class CallReceiver:
    """Puts the calls of one stream together, one after the other."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._call_id = 0
        self._start: _Start | None = None
        self._latest: _Start | None = None
        self._assembly: Assembly | None = None
        self._small_frames = 0

    @property
    def is_midway(self) -> bool:
        """Whether a call has begun and is not whole."""
        return self._assembly is not None

    def receive(self, message: bytes) -> Call | None:
        """Take one message; the call when this message completed it.

        Raises:
            StreamError, LimitError, FeedError: the stream cannot go on.
        """
        self._limits.check("message_bytes", len(message))
        return self.take(Incoming(frames.decode(message), 0, len(message)), _read_nothing)

    def take(self, incoming: Incoming, fill: Fill) -> Call | None:
        """Take one message whose payload `fill` may have to read; see `receive`."""
        frame = incoming.frame
        assembly = self._begin(frame) if self._assembly is None else self._continue(frame)
        taken = take_payload(incoming, fill, assembly)
        if taken is not None:
            self._count(taken, assembly)
        return self._finish(assembly) if assembly.complete else None

    def _begin(self, frame: frames.Frame) -> Assembly:
        if frame.head is None:
            raise StreamError("A call does not begin with its start.")
        start = self._read_start(bytes(frame.head))
        self._call_id, self._start = frame.call_id, start
        self._assembly = Assembly(start.feeds, self._limits, start.total)
        self._small_frames = 0
        return self._assembly

    def _read_start(self, head: bytes) -> _Start:
        """A head, which most often is the one of the call before."""
        if self._latest is not None and self._latest.head == head:
            return self._latest
        try:
            start = pb.RunStart.FromString(head)
        except DecodeError:
            raise StreamError("A call's start cannot be read.") from None
        if len(start.graph_id) != 32:
            raise StreamError("A graph id has 32 bytes.")
        feeds = headers_from_wire(start.feeds)
        timeout = start.timeout_us / 1e6 if start.timeout_us else None
        total = check_headers(feeds, self._limits)
        self._latest = _Start(head, start.graph_id, feeds, total, timeout)
        return self._latest

    def _count(self, size: int, assembly: Assembly) -> None:
        if size < SMALL_BYTES and not assembly.complete:
            self._small_frames += 1
            self._limits.check("run_small_frames", self._small_frames)

    def _continue(self, frame: frames.Frame) -> Assembly:
        assert self._assembly is not None
        if frame.call_id != self._call_id or frame.head is not None or frame.payload is None:
            raise StreamError("A call begins before the one before it is whole.")
        return self._assembly

    def _finish(self, assembly: Assembly) -> Call:
        assert self._start is not None
        start, self._start, self._assembly = self._start, None, None
        return Call(self._call_id, start.graph_id, assembly.arrays(writable=False), start.timeout)


def _read_nothing(room: memoryview) -> None:
    """Of a message that is there."""


def answer(
    call: Call, fetches: Mapping[str, Array], timing: Timing, repeatable: bool, limits: Limits
) -> Iterator[bytes]:
    """The messages that answer a call, each in one piece; see `answer_parts`."""
    return map(b"".join, answer_parts(call, fetches, timing, repeatable, limits))


def answer_parts(
    call: Call, fetches: Mapping[str, Array], timing: Timing, repeatable: bool, limits: Limits
) -> Iterator[Message]:
    """The messages that answer a call.

    Raises:
        LimitError: the fetches are larger than one call may be.
    """
    encoded = [tensors.encode(name, value) for name, value in fetches.items()]
    limits.check("call_bytes", sum(header.size for header, _ in encoded))
    message = pb.Timing(
        queue_us=int(timing.queue * 1e6),
        compute_us=int(timing.compute * 1e6),
        load_us=int(timing.load * 1e6),
        paced_us=int(timing.paced * 1e6),
        emulated_us=int(timing.emulated * 1e6),
        operations=operations_message(timing.cost),
    )
    head = result_head([header for header, _ in encoded], message, repeatable)
    payload = [data for _, data in encoded]
    return frames.split_parts(call.call_id, head, payload, limits.piece_bytes)


def operations_message(cost: Cost | None) -> pb.Operations | None:
    """A cost's operations as they go on the wire."""
    if cost is None:
        return None
    return pb.Operations(flops_16=cost.flops_16, flops_32=cost.flops_32, incomplete=cost.incomplete)


def refusal(call_id: int, error: AcceleratorError) -> bytes:
    """The message that answers a call with an error."""
    return frames.encode(call_id, error=error_message(error).SerializeToString())


def error_message(error: AcceleratorError) -> pb.Error:
    """An error as it goes on the wire."""
    return pb.Error(
        reason=error.reason,
        message=error.message,
        remedy=error.remedy,
        request_id=error.request_id,
        fields=error.fields,
        status=int(error.status),
    )
