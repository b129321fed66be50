"""Who may run now, who waits, and who is sent away.

So many calls run at one time, so many wait; one more is refused at once with a hint when to come
back, because a queue longer than anyone's patience helps nobody. Who is next is decided in
`fair_places`. Calls of gRPC's streams wait on the event loop, those of lanes on threads.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from accel_daemon.accelerator.fair_places import FairPlaces, Verdict
from accel_protocol.errors import AcceleratorError, BusyError, DeadlineError
from accel_protocol.limits import Limits


class _TaskTurn:
    """Stands for a call that waits on the event loop.

    Attributes:
        is_granted: whether it has a place, told or not.
    """

    def __init__(self) -> None:
        self.is_granted = False
        self.called = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def wake(self) -> None:
        """Tell it that it has a place now; once, on any thread."""
        self._loop.call_soon_threadsafe(self.called.set)


class _ThreadTurn:
    """Stands for a call that waits on a thread of its own; see `_TaskTurn`."""

    def __init__(self) -> None:
        self.is_granted = False
        self._turnstile = threading.Lock()
        self._turnstile.acquire()

    def wait(self, timeout: float | None) -> bool:
        """Whether it was woken in time."""
        return self._turnstile.acquire(timeout=-1 if timeout is None else timeout)

    def wake(self) -> None:
        """See `_TaskTurn.wake`."""
        self._turnstile.release()


_Turn = _TaskTurn | _ThreadTurn


@dataclass
class Place:
    """A place that a call has.

    Attributes:
        work: what goes on in it. The caller may give up at once, but a thread in an engine cannot:
            the place stays taken until it comes back.
    """

    work: asyncio.Future[Any] | None = None


class RunQueue:
    """Places to run, counted. Thread-safe."""

    def __init__(self, limits: Limits) -> None:
        self._places: FairPlaces[_Turn] = FairPlaces(limits.concurrent_runs, limits.queued_runs)
        self._lock = threading.Lock()

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
        turn = _TaskTurn()
        if self._enter(turn, timeout, graph_id):
            await self._wait(turn, timeout, graph_id)
        began, place = time.monotonic(), Place()
        try:
            yield place
        finally:
            if place.work is None or place.work.done():
                self._give_back(began)
            else:
                place.work.add_done_callback(lambda _: self._give_back(began))

    def enter_thread(self, timeout: float | None, graph_id: bytes = b"") -> None:
        """Take a place for the current thread, until `leave_thread`; see `place`."""
        turn = _ThreadTurn()
        if self._enter(turn, timeout, graph_id) and not turn.wait(timeout):
            self._be_late(turn, graph_id)

    def leave_thread(self, seconds: float) -> None:
        """Give it back after so many seconds."""
        with self._lock:
            self._places.took(seconds)
        self._hand_on()

    def _enter(self, turn: _Turn, timeout: float | None, graph_id: bytes) -> bool:
        """Whether the call has to wait.

        Raises:
            BusyError: there is no room to wait.
            DeadlineError: it has no time to.
        """
        if timeout is not None and timeout <= 0:
            raise _too_late()
        with self._lock:
            verdict = self._places.enter(graph_id, turn)
            if verdict is Verdict.REFUSE:
                raise self._is_full()
        return verdict is Verdict.WAIT

    def _is_full(self) -> AcceleratorError:
        return BusyError(
            f"{self.waiting} calls wait already.",
            fields={"retry_after_ms": str(self._places.retry_after_ms)},
        )

    async def _wait(self, turn: _TaskTurn, timeout: float | None, graph_id: bytes) -> None:
        try:
            async with asyncio.timeout(timeout):
                await turn.called.wait()
        except TimeoutError:
            self._be_late(turn, graph_id)
        except asyncio.CancelledError:
            if not self._leave_queue(turn, graph_id):
                self._hand_on()
            raise

    def _be_late(self, turn: _Turn, graph_id: bytes) -> None:
        """Time ran out: the call is gone, unless its turn came in the same moment.

        Raises:
            DeadlineError: it did not.
        """
        if self._leave_queue(turn, graph_id):
            raise _too_late()

    def _leave_queue(self, turn: _Turn, graph_id: bytes) -> bool:
        """Give up waiting; False where it has a place already."""
        with self._lock:
            if not turn.is_granted:
                self._places.give_up(graph_id, turn)
            return not turn.is_granted

    def _give_back(self, began: float) -> None:
        with self._lock:
            self._places.took(time.monotonic() - began)
        self._hand_on()

    def _hand_on(self) -> None:
        with self._lock:
            turn = self._places.leave()
            if turn is not None:
                turn.is_granted = True
        if turn is not None:
            turn.wake()


def _too_late() -> DeadlineError:
    return DeadlineError("The call's time ran out before it could run.")
