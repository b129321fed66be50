"""Messages that have to come, and be taken, in time: nobody holds a call by falling silent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import TypeVar

from accel_protocol.errors import DeadlineError

Message = TypeVar("Message")


async def in_time(message: Awaitable[Message], seconds: float) -> Message:
    """The message.

    Raises:
        DeadlineError: it did not come within so many seconds.
    """
    try:
        async with asyncio.timeout(seconds):
            return await message
    except TimeoutError:
        raise DeadlineError(f"The call's next message did not come within {seconds} s.") from None


async def taken_in_time(written: Awaitable[None], seconds: float) -> None:
    """Wait until a message that is written was taken.

    Raises:
        DeadlineError: it was not taken within so many seconds.
    """
    try:
        async with asyncio.timeout(seconds):
            await written
    except TimeoutError:
        raise DeadlineError(f"The call's answer was not read for {seconds} s.") from None


async def each_in_time(messages: AsyncIterator[Message], seconds: float) -> AsyncIterator[Message]:
    """Each message of a stream; the time that the receiver takes itself does not count.

    Raises:
        DeadlineError: the next one did not come within so many seconds.
    """
    while True:
        try:
            message = await in_time(anext(messages), seconds)
        except StopAsyncIteration:
            return
        yield message
