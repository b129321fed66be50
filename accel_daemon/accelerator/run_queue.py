"""Who may run now, who waits, and who is sent away.

So many calls run at one time, so many wait; one more is refused at once with a hint when to come
back, because a queue longer than anyone's patience helps nobody. Who is next is decided in
`fair_places`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from accel_daemon.accelerator.fair_places import FairPlaces, Verdict
from accel_protocol.errors import BusyError, DeadlineError
from accel_protocol.limits import Limits

_Turn = asyncio.Future[None]


@dataclass
class Place:
    """A place that a call has.

    Attributes:
        work: what goes on in it. The caller may give up at once, but a thread in an engine cannot:
            the place stays taken until it comes back.
    """

    work: asyncio.Future[Any] | None = None


class RunQueue:
    """Places to run, counted. Belongs to one event loop."""

    def __init__(self, limits: Limits) -> None:
        self._places: FairPlaces[_Turn] = FairPlaces(limits.concurrent_runs, limits.queued_runs)

    @property
    def waiting(self) -> int:
        """How many calls wait."""
        return self._places.waiting

    @asynccontextmanager
    async def place(self, timeout: float | None, graph_id: bytes = b"") -> AsyncIterator[Place]:
        """Hold a place while running, and until what was begun in it is over.

        Args:
            timeout: seconds the call still has.
            graph_id: what it runs; graphs take turns.

        Raises:
            BusyError: too many wait already.
            DeadlineError: the time ran out, before or while waiting.
        """
        await self._enter(timeout, graph_id)
        began, place = time.monotonic(), Place()
        try:
            yield place
        finally:
            if place.work is None or place.work.done():
                self._give_back(began)
            else:
                place.work.add_done_callback(lambda _: self._give_back(began))

    def _give_back(self, began: float) -> None:
        self._places.took(time.monotonic() - began)
        self._hand_on()

    async def _enter(self, timeout: float | None, graph_id: bytes) -> None:
        if timeout is not None and timeout <= 0:
            raise _too_late()
        turn: _Turn = asyncio.get_running_loop().create_future()
        verdict = self._places.enter(graph_id, turn)
        if verdict is Verdict.REFUSE:
            raise BusyError(
                f"{self.waiting} calls wait already.",
                fields={"retry_after_ms": str(self._places.retry_after_ms)},
            )
        if verdict is Verdict.WAIT:
            await self._wait(turn, timeout, graph_id)

    async def _wait(self, turn: _Turn, timeout: float | None, graph_id: bytes) -> None:
        try:
            done, _ = await asyncio.wait([turn], timeout=timeout)
        except asyncio.CancelledError:
            self._give_up(turn, graph_id)
            raise
        if not done:
            self._give_up(turn, graph_id)
            raise _too_late()

    def _give_up(self, turn: _Turn, graph_id: bytes) -> None:
        """The call is gone; its turn may have come in the same moment."""
        if turn.done():
            self._hand_on()
        else:
            self._places.give_up(graph_id, turn)

    def _hand_on(self) -> None:
        turn = self._places.leave()
        if turn is not None:
            turn.set_result(None)


def _too_late() -> DeadlineError:
    return DeadlineError("The call's time ran out before it could run.")
