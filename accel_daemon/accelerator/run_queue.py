"""Who may run now, who waits, and who is sent away.

So many calls run at one time, so many wait; one more is refused at once with a hint when to come
back, because a queue longer than anyone's patience helps nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from accel_protocol.errors import BusyError, DeadlineError
from accel_protocol.limits import Limits

_RETRY_AFTER_MS = 100


class RunQueue:
    """Places to run, counted. Belongs to one event loop."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._places = asyncio.Semaphore(limits.concurrent_runs)
        self.waiting = 0

    @asynccontextmanager
    async def place(self, timeout: float | None) -> AsyncIterator[None]:
        """Hold a place while running.

        Args:
            timeout: seconds the call still has.

        Raises:
            BusyError: too many wait already.
            DeadlineError: the time ran out while waiting.
        """
        if self._places.locked():
            await self._wait(timeout)
        else:
            await self._places.acquire()
        try:
            yield
        finally:
            self._places.release()

    async def _wait(self, timeout: float | None) -> None:
        if self.waiting >= self._limits.queued_runs:
            raise BusyError(
                f"{self.waiting} calls wait already.",
                fields={"retry_after_ms": str(_RETRY_AFTER_MS)},
            )
        self.waiting += 1
        try:
            await asyncio.wait_for(self._places.acquire(), timeout)
        except TimeoutError:
            raise DeadlineError("The call's time ran out before it could run.") from None
        finally:
            self.waiting -= 1
