"""Faults on demand at an accelerator's calls: the one place where messages wait and streams break.

The interceptor here is there only in a process that was started for faults (`--allow-faults`); in
any other one nothing stands between gRPC and the handlers. When a fault strikes is decided in
`accel_daemon.faults`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import Message

from accel_daemon.accelerator import run_stream
from accel_daemon.faults.board import is_unhealthy
from accel_daemon.faults.fault import Kind, parse_fault
from accel_daemon.faults.plan import Event, FaultPlan, Moment, Verdict
from accel_protocol.errors import AcceleratorError, ConnectionLostError, CredentialsError
from accel_protocol.methods import ERROR_METADATA, SERVICE
from accel_protocol.upload_frames import Chunk

Context = Any  # grpc.aio.ServicerContext, which has no usable types
_ADMISSION = Event(Moment.ADMISSION)


@dataclass(frozen=True)
class Disturbance:
    """A fault that holds here: its id, when it is over, and its decisions."""

    id: str
    until: float | None
    plan: FaultPlan

    @property
    def is_here(self) -> bool:
        """Whether it strikes here, and not at the control endpoint only."""
        return self.plan.fault.at != "control"

    def error(self) -> AcceleratorError:
        """What a caller gets when it strikes."""
        if self.plan.fault.kind is Kind.EXPIRED_CREDENTIALS:
            return CredentialsError(
                f"The ticket expired (fault {self.id} on demand).", reason="TICKET_EXPIRED"
            )
        if self.plan.fault.kind is Kind.DROP:
            return ConnectionLostError(f"The connection was cut (fault {self.id} on demand).")
        return ConnectionLostError(f"The accelerator is unavailable (fault {self.id} on demand).")


class Disturbances:
    """The faults that hold here now.

    Args:
        clock: that of the daemon's board; see `accel_daemon.faults.board`.

    Attributes:
        present: those of them that are told and not over.
        version: of the latest notice.
        changed: set when a notice was taken over.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.present: tuple[Disturbance, ...] = ()
        self.version = 0
        self.changed = asyncio.Event()

    def adopt(self, told: Sequence[Mapping[str, Any]]) -> tuple[Disturbance, ...]:
        """Take over what the supervisor says; those faults that are new here.

        Faults that were here already go on with their sequence of decisions.
        """
        known = {one.id: one for one in self.present}
        fresh = tuple(one for one in map(_read, told) if one.id not in known)
        ids = [str(one["id"]) for one in told]
        self.present = tuple(one for one in (*self.present, *fresh) if one.id in ids)
        return fresh

    def confirm(self, version: int) -> None:
        """All effects of a notice are there; the supervisor waits to be told so."""
        self.version = version
        self.changed.set()

    def prune(self) -> float | None:
        """Forget what is over; the seconds until the next one is, None when none will be."""
        now = self._clock()
        self.present = tuple(one for one in self.present if one.until is None or one.until > now)
        ends = [one.until for one in self.present if one.until is not None]
        return min(ends) - now if ends else None

    @property
    def is_unhealthy(self) -> bool:
        """Whether the health service says so."""
        return any(is_unhealthy(one.plan) for one in self.present)

    @property
    def capacity(self) -> int | None:
        """Bytes that graphs may take by fault; None for no such bound."""
        pressures = [
            one.plan.fault.bytes
            for one in self.present
            if one.plan.holds and one.plan.fault.bytes is not None
        ]
        return min(pressures, default=None)

    def clock_skew(self) -> float:
        """By how many seconds the clock is ahead by fault."""
        now = self._clock()
        ahead = (
            one.plan.fault.offset_seconds
            for one in self.present
            if one.until is None or one.until > now
        )
        return sum(ahead)

    def counters(self) -> dict[str, int]:
        """What the supervisor is told: which notice holds, and how often each fault has struck."""
        struck = {f"fault_{one.id}": one.plan.happened for one in self.present}
        return {"faults_version": self.version, **struck}

    async def meet(self, event: Event) -> None:
        """Let the faults strike at an event.

        Raises:
            ConnectionLostError, CredentialsError: the call does not go on.
        """
        seconds = 0.0
        for one in self.present:
            if not one.is_here:
                continue
            action = one.plan.decide(event, self._clock())
            if action.verdict in (Verdict.CUT, Verdict.REFUSE):
                raise one.error()
            seconds += action.seconds
        if seconds > 0:
            await asyncio.sleep(seconds)


def ending(fresh: Iterable[Disturbance]) -> AcceleratorError | None:
    """The error with which an open stream ends because of new faults; None: it goes on."""
    for one in fresh:
        if one.is_here and one.plan.decide(_ADMISSION).verdict is Verdict.REFUSE:
            return one.error()
    return None


def _read(told: Mapping[str, Any]) -> Disturbance:
    plan = FaultPlan(parse_fault(told["fault"]), str(told["place"]))
    until = None if told["until"] is None else float(told["until"])
    return Disturbance(str(told["id"]), until, plan)


class DisturbanceInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Puts the faults between gRPC and the handlers of our service."""

    def __init__(self, disturbances: Disturbances) -> None:
        self._disturbances = disturbances

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], details: Any
    ) -> Any:
        """See grpc.aio.ServerInterceptor."""
        handler = await continuation(details)
        if handler is None or not details.method.startswith(f"/{SERVICE}/"):
            return handler
        return _disturbed(handler, self._disturbances)


def _disturbed(handler: Any, disturbances: Disturbances) -> Any:
    """A handler of ours, all of which stream in both directions, around which faults are met."""

    async def handle(requests: Any, context: Context) -> None:
        wire = _Wire(disturbances, context)
        try:
            # Before the handler sends its first metadata: the client sees that nothing was begun.
            await disturbances.meet(_ADMISSION)
            await handler.stream_stream(wire.incoming(requests), wire)
        except AcceleratorError as error:
            await _abort(context, error)

    return grpc.stream_stream_rpc_method_handler(
        handle, handler.request_deserializer, handler.response_serializer
    )


async def _abort(context: Context, error: AcceleratorError) -> None:
    trailer = ((ERROR_METADATA, run_stream.error_message(error).SerializeToString()),)
    code = next(code for code in grpc.StatusCode if code.value[0] == int(error.status))
    await context.abort(code, error.message, trailer)


class _Wire:
    """The context of one call or stream, on whose messages the faults act."""

    def __init__(self, disturbances: Disturbances, context: Context) -> None:
        self._disturbances, self._context = disturbances, context
        self._received = 0
        self._is_inside_call = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def read(self) -> Any:
        """See grpc.aio.ServicerContext."""
        message = await self._context.read()
        if message is not grpc.aio.EOF:
            await self.came(message)
        return message

    async def write(self, message: Any) -> None:
        """See grpc.aio.ServicerContext."""
        await self.leaves(message)
        await self._context.write(message)

    async def incoming(self, messages: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """The messages of a client's stream, for handlers that iterate."""
        async for message in messages:
            await self.came(message)
            yield message

    async def came(self, message: Any) -> None:
        """A message came in."""
        self._received += 1
        if not self._disturbances.present:
            return
        if not self._is_inside_call:
            self._is_inside_call = True
            await self._disturbances.meet(Event(Moment.CALL))
        await self._meet_message(message, self._received)

    async def leaves(self, message: Any) -> None:
        """A message is about to leave."""
        if not self._disturbances.present:
            return
        if self._is_inside_call:
            self._is_inside_call = False
            await self._disturbances.meet(Event(Moment.ANSWER))
        await self._meet_message(message, 0)

    async def _meet_message(self, message: Any, number: int) -> None:
        await self._disturbances.meet(Event(Moment.MESSAGE, size_of(message), number))


def size_of(message: Any) -> int:
    """Bytes of a message as it was read; none of one that could not be."""
    if isinstance(message, bytes):
        return len(message)
    if isinstance(message, Chunk):
        return message.message_bytes
    return message.ByteSize() if isinstance(message, Message) else 0
