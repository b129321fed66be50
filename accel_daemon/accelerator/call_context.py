"""gRPC's context of one call, on which nothing waits for ever for the other side."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc

from accel_daemon.accelerator.punctuality import in_time, taken_in_time
from accel_protocol.errors import StreamError

_LAST_WORD_SECONDS = 30.0
Context = Any  # grpc.aio.ServicerContext, which has no usable types


class CallContext:
    """Wraps a context; what is not here is the context's own.

    Args:
        context: of the call.
        seconds: how long a message may take to come that the call cannot go on without, and how
            long one that is written may wait to be taken.
        hang_up: ends a connection, by gRPC's name of it.
    """

    def __init__(self, context: Context, seconds: float, hang_up: Callable[[str], object]) -> None:
        self._context, self._seconds, self._hang_up = context, seconds, hang_up

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def request(self) -> Any:
        """The one request of a method that takes one.

        Raises:
            DeadlineError: it did not come in time.
            StreamError: the caller has ended its side without one.
        """
        request = await self.next_in_time()
        if request is grpc.aio.EOF:
            raise StreamError("The call carries no request.")
        return request

    async def next_in_time(self) -> Any:
        """The next message, or EOF.

        Raises:
            DeadlineError: it did not come in time.
        """
        return await in_time(self._context.read(), self._seconds)

    async def write(self, message: Any) -> None:
        """Write a message.

        Raises:
            DeadlineError: gRPC's buffers for this call are full, and the caller does not read.
        """
        await taken_in_time(self._context.write(message), self._seconds)

    async def abort(
        self, code: grpc.StatusCode, details: str = "", trailer: tuple[Any, ...] = ()
    ) -> None:
        """End the call with an error; and the connection of whoever does not even read that.

        For gRPC keeps all that was not read for as long as there is the connection.
        """
        try:
            async with asyncio.timeout(_LAST_WORD_SECONDS):
                await self._context.abort(code, details, trailer)
        except TimeoutError:
            self._hang_up(self._context.peer())
