"""A message that does not come in time ends its call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from accel_daemon.accelerator.punctuality import each_in_time, in_time
from accel_protocol.errors import DeadlineError

LONG = 20.0


async def sent(gaps: Sequence[float]) -> AsyncIterator[float]:
    """Messages, each after so many seconds."""
    for gap in gaps:
        await asyncio.sleep(gap)
        yield gap


async def taken(gaps: Sequence[float], seconds: float, work: float = 0.0) -> list[float]:
    """What a receiver gets that takes `work` seconds for each."""
    messages = []
    async for message in each_in_time(sent(gaps), seconds):
        messages.append(message)
        await asyncio.sleep(work)
    return messages


def test_a_message_in_time() -> None:
    """Is the answer."""
    assert asyncio.run(in_time(asyncio.sleep(0, "message"), LONG)) == "message"


def test_a_message_that_never_comes() -> None:
    """Ends with a typed error that says how long it was waited for."""
    with pytest.raises(DeadlineError, match=r"0\.01 s"):
        asyncio.run(in_time(asyncio.sleep(LONG), 0.01))


def test_a_stream_in_time() -> None:
    """Is the same stream, with its end."""
    assert asyncio.run(taken([0, 0, 0], LONG)) == [0, 0, 0]


def test_a_stream_that_falls_silent() -> None:
    """Ends after what came."""
    with pytest.raises(DeadlineError):
        asyncio.run(taken([0, 0, LONG], 0.01))


def test_the_work_of_the_receiver_does_not_count() -> None:
    """Only waiting for the sender does."""
    assert asyncio.run(taken([0, 0], 0.05, work=0.1)) == [0, 0]


def test_being_ended_from_outside_is_no_delay() -> None:
    """A revoked ticket's cancellation stays one."""

    async def scenario() -> None:
        waiting = asyncio.ensure_future(in_time(asyncio.sleep(LONG), LONG))
        await asyncio.sleep(0)
        waiting.cancel()
        await waiting

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(scenario())
