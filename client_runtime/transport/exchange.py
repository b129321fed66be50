"""One call on one lane: arrays to messages, messages to arrays, and where the time went."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from google.protobuf.message import DecodeError

from accel_protocol import frames, tensors
from accel_protocol.errors import AcceleratorError, CancelledError, DeadlineError, StreamError
from accel_protocol.frames import Message
from accel_protocol.heads import ResultHead, read_result, start_head
from accel_protocol.limits import DEFAULT_LIMITS
from accel_protocol.message_stream import take_payload
from accel_protocol.payload import Assembly
from accel_protocol.tensors import Array
from accel_protocol.v1 import accelerator_pb2 as pb
from client_runtime.transport.channel import from_message
from client_runtime.transport.lane import Lane

# What a call's answer may take beyond its time-out before the client stops waiting for it: the
# accelerator stops the work in time and says so, unless it or the network is gone.
_GRACE_SECONDS = 1.0


class CallTiming(NamedTuple):
    """Where one call's time went, in seconds; the parts add up to `total`.

    Attributes:
        total: as the caller saw it.
        serialize: turning feeds into messages.
        wire: network, encryption, and what the transports spend.
        queue: waiting on the accelerator for a place to run.
        load: loading the graph first, when that was needed.
        compute: inside the engine.
        parse: turning messages into fetches.
        paced: waiting on a paced accelerator until the emulated type would have answered.
        emulated: not a part: what the emulated type takes for this call alone, by its published
            throughput; 0 where nothing is emulated.
        flops_16, flops_32: operations of this call, by float width; 0 where nothing is emulated.
    """

    total: float
    serialize: float
    wire: float
    queue: float
    load: float
    compute: float
    parse: float
    paced: float = 0.0
    emulated: float = 0.0
    flops_16: int = 0
    flops_32: int = 0


class Answer(NamedTuple):
    """What a call brought: the fetches by alias, its timing, and whether it may be repeated."""

    fetches: dict[str, Array]
    timing: CallTiming
    repeatable: bool


class Stoppable(Protocol):
    """What a cancelled call is ended by."""

    def close(self) -> None:
        """End it; may be called from any thread."""


class Cancellation:
    """Lets one thread cancel the call of another. For one call only."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lane: Stoppable | None = None
        self._cancelled = threading.Event()

    @property
    def cancelled(self) -> bool:
        """Whether it was."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """Stop the call, on the accelerator too; nothing happens when it is over."""
        with self._lock:
            self._cancelled.set()
            if self._lane is not None:
                self._lane.close()

    def wait(self, seconds: float) -> None:
        """Wait between two attempts of the call.

        Raises:
            CancelledError: it was cancelled before or meanwhile.
        """
        if self._cancelled.wait(seconds):
            raise CancelledError("The call was cancelled.")

    def enter(self, lane: Stoppable | None) -> None:
        """The call is on this lane, or in the hands of this, from now on; None: of none any more.

        Raises:
            CancelledError: it was cancelled before.
        """
        with self._lock:
            self._lane = lane
            if self.cancelled and lane is not None:
                raise CancelledError("The call was cancelled.")


@dataclass(frozen=True)
class Call:
    """One inference to be made.

    Attributes:
        graph_id: 32 bytes.
        feeds: by alias.
        give_up_at: time.monotonic() until which an answer is of use; None: however long it takes.
        cancellation: through which it can be cancelled.
    """

    graph_id: bytes
    feeds: Mapping[str, Array]
    give_up_at: float | None = None
    cancellation: Cancellation | None = None

    def left(self) -> float | None:
        """Seconds left, None for no bound.

        Raises:
            DeadlineError: none.
        """
        if self.give_up_at is None:
            return None
        left = self.give_up_at - time.monotonic()
        if left <= 0:
            raise DeadlineError("The call's time ran out.")
        return left


@dataclass
class Sending:
    """How a call is sent, and how far it came on its way.

    Attributes:
        cautious: whether the last of it waits until the accelerator has taken up the lane. What is
            sent before that may run although nothing comes back that says so.
        whole: whether the transport was given the whole of it.
    """

    cautious: bool = False
    whole: bool = False


def exchange(
    lane: Lane, call_id: int, call: Call, sending: Sending | None = None
) -> Answer | AcceleratorError:
    """Make the call on a lane; an error that the accelerator answered with is returned.

    Args:
        lane: where.
        call_id: not used on this lane before; the answer has to carry it.
        call: what.
        sending: told how much was given to the lane, also where this raises.

    Raises:
        AcceleratorError: the lane broke, or the call was cancelled or out of time.
    """
    started = time.perf_counter()
    outgoing = _Outgoing(call_id, call, call.left(), sending or Sending())
    with _watched(lane, call):
        try:
            lane.send(outgoing.messages(lane))
            return _receive(lane, started, outgoing)
        except AcceleratorError:
            if lane.has_begun_nothing:
                outgoing.is_for_nothing()
            raise


class _Outgoing:
    """A call's messages, made while the transport takes them; knows how long that took."""

    def __init__(self, call_id: int, call: Call, timeout: float | None, sending: Sending) -> None:
        started = time.perf_counter()
        self.call_id, self._sending = call_id, sending
        encoded = [tensors.encode(name, value) for name, value in call.feeds.items()]
        timeout_us = 0 if timeout is None else max(1, int(timeout * 1e6))
        head = start_head(call.graph_id, [header for header, _ in encoded], timeout_us)
        payload = [data for _, data in encoded]
        piece = DEFAULT_LIMITS.piece_bytes
        self._left = max(1, math.ceil(sum(map(len, payload)) / piece))
        self._frames = frames.split_parts(call_id, head, payload, piece)
        self.seconds = time.perf_counter() - started

    def is_for_nothing(self) -> None:
        """The call was sent, and cannot have run."""
        self._sending.whole = False

    def messages(self, lane: Lane) -> Iterator[Message]:
        while True:
            started = time.perf_counter()
            message = next(self._frames, None)
            self.seconds += time.perf_counter() - started
            if message is None:
                return
            self._left -= 1
            if self._left <= 0:
                if self._sending.cautious and not lane.is_taken_up():
                    return
                self._sending.whole = True  # before it is: who sees it late takes it for sent
            yield message


class _watched:  # noqa: N801 - used like a function
    """Ends the lane when the call is cancelled or its answer is overdue, and says which it was."""

    def __init__(self, lane: Lane, call: Call) -> None:
        self._lane, self._call = lane, call
        self._timer: threading.Timer | None = None
        self._overdue = False

    def __enter__(self) -> None:
        if self._call.cancellation is not None:
            self._call.cancellation.enter(self._lane)
        left = self._call.left()
        if left is not None:
            self._timer = threading.Timer(left + _GRACE_SECONDS, self._end)
            self._timer.daemon = True
            self._timer.start()

    def _end(self) -> None:
        self._overdue = True
        self._lane.close()

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        cancellation = self._call.cancellation
        if cancellation is not None:
            cancellation.enter(None)
        if not isinstance(error, AcceleratorError):
            return
        if cancellation is not None and cancellation.cancelled:
            raise CancelledError("The call was cancelled.") from None
        if self._overdue:
            raise DeadlineError("The call's time ran out, and no answer came.") from None


def _receive(lane: Lane, started: float, outgoing: _Outgoing) -> Answer | AcceleratorError:
    assembly, result, parsing = None, None, 0.0
    while assembly is None or not assembly.complete:
        incoming = lane.receive()
        arrived = time.perf_counter()
        frame = incoming.frame
        if frame.call_id != outgoing.call_id:
            raise StreamError("An answer belongs to another call.")
        if frame.error is not None:
            return from_message(_read_error(frame.error))
        if (frame.head is None) != (assembly is not None):
            raise StreamError("An answer begins without its result, or within another answer.")
        if frame.head is not None:
            head = _read_head(frame.head)
            result, assembly = head.rest, Assembly(head.fetches, DEFAULT_LIMITS, head.total)
        elif frame.payload is None:
            raise StreamError("A message of an unfinished answer carries no bytes.")
        assert assembly is not None
        take_payload(incoming, lane.fill, assembly)
        parsing += time.perf_counter() - arrived
    assert result is not None
    arrived = time.perf_counter()
    fetches = assembly.arrays(writable=True)
    parsing += time.perf_counter() - arrived
    total = time.perf_counter() - started
    return Answer(
        fetches, _timing(total, outgoing.seconds, parsing, result.timing), result.repeatable
    )


def _read_head(data: memoryview) -> ResultHead:
    try:
        return read_result(bytes(data))
    except DecodeError:
        raise StreamError("An answer cannot be read.") from None


def _read_error(data: memoryview) -> pb.Error:
    try:
        return pb.Error.FromString(bytes(data))
    except DecodeError:
        raise StreamError("An answer cannot be read.") from None


def _timing(total: float, serialize: float, parse: float, far: pb.Timing) -> CallTiming:
    queue, load, compute = (t / 1e6 for t in (far.queue_us, far.load_us, far.compute_us))
    paced, emulated = far.paced_us / 1e6, far.emulated_us / 1e6
    wire = max(0.0, total - serialize - parse - queue - load - compute - paced)
    return CallTiming(
        total,
        serialize,
        wire,
        queue,
        load,
        compute,
        parse,
        paced,
        emulated,
        far.operations.flops_16,
        far.operations.flops_32,
    )
