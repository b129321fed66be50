"""The gate and bounds around methods that gRPC's own packages serve here: health, reflection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from accel_daemon.accelerator.call_context import CallContext, Context
from accel_daemon.accelerator.handlers import UNREADABLE, Work, readable, refusing
from accel_daemon.accelerator.public_calls import (
    STRANGER_SECONDS,
    WATCH_SECONDS,
    PublicCalls,
)
from accel_daemon.accelerator.punctuality import each_in_time
from accel_daemon.accelerator.service import AcceleratorService
from accel_daemon.accelerator.visits import Doorkeeper, Visit
from accel_protocol.errors import ConnectionLostError, VersionError


class Lasting:
    """Calls that may go on for as long as a watch does, or until the process ends."""

    def __init__(self) -> None:
        self._bounds: set[asyncio.Timeout] = set()

    def bounded(self, work: Work) -> Work:
        """The same work, which ends in time.

        Raises:
            ConnectionLostError: it would have gone on.
        """

        async def until_it_is_time(visit: Visit) -> None:
            try:
                async with asyncio.timeout(WATCH_SECONDS) as bound:
                    self._bounds.add(bound)
                    try:
                        await work(visit)
                    finally:
                        self._bounds.discard(bound)
            except TimeoutError:
                if not bound.expired():
                    raise  # a typed refusal, which may be one as well
                raise ConnectionLostError(
                    "Such a call does not last.", remedy="Call again."
                ) from None

        return until_it_is_time

    def end(self) -> None:
        """End all of them."""
        now = asyncio.get_running_loop().time()
        for bound in self._bounds:
            bound.reschedule(now)


def unknown(door: Doorkeeper, path: str) -> Any:
    """A handler for what there is not: the gate refuses it, at the latest when it has a ticket."""

    async def handle(_: Any, context: Context) -> None:
        async def work(visit: Visit) -> None:
            await visit.admit()
            raise VersionError("There is no such method.", reason="UNKNOWN_METHOD")

        call = CallContext(context, STRANGER_SECONDS, door.hang_up)
        await refusing(door.visit(path, context), call, work)

    return grpc.stream_stream_rpc_method_handler(handle)


def guarded(
    door: Doorkeeper, service: AcceleratorService, lasting: Lasting, path: str, behind: Any
) -> Any:
    """A stream of requests and answers, for those who have a ticket; counted as any other call."""
    seconds = service.limits.idle_call_seconds

    async def handle(requests: Any, context: Context) -> None:
        call = CallContext(context, seconds, door.hang_up)

        async def work(visit: Visit) -> None:
            with service.in_progress(visit):
                await visit.admit()
                await lasting.bounded(answer)(visit)

        async def answer(_: Visit) -> None:
            asked = _each_readable(each_in_time(requests, seconds))
            async for one in behind.stream_stream(asked, call):
                await call.write(one)

        await refusing(door.visit(path, context), call, work)

    return _streaming(handle, behind)


def public(door: Doorkeeper, calls: PublicCalls, lasting: Lasting, path: str, behind: Any) -> Any:
    """One request by anyone, and one answer, or answers until the watch is over."""

    async def handle(_: Any, context: Context) -> None:
        call = CallContext(context, STRANGER_SECONDS, door.hang_up)

        async def work(_: Visit) -> None:
            with calls.entered(context.peer()):
                request = readable(await call.request())
                if behind.response_streaming:
                    await behind.unary_stream(request, call)
                else:
                    await call.write(await behind.unary_unary(request, call))

        await refusing(door.visit(path, context), call, lasting.bounded(work))

    return _streaming(handle, behind)


def _streaming(handle: Any, behind: Any) -> Any:
    reading = _reader(behind.request_deserializer)
    return grpc.stream_stream_rpc_method_handler(handle, reading, behind.response_serializer)


def _reader(read: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    def tolerant(data: bytes) -> Any:
        try:
            return read(data)
        except DecodeError:
            return UNREADABLE

    return tolerant


async def _each_readable(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        yield readable(request)
