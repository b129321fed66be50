"""Stops work before the machine's memory runs out: a run if that is enough, else this process.

While an engine works, the memory that is left is looked at ten times a second, and more often when
there is little. Once a reserve is touched, idle graphs go first. Then the work during which the
process has grown is stopped, one piece after the other, and its caller is told. Work that goes on
all the same and takes half of the reserve ends the process: the kernel would do so otherwise, and
might choose another one.

Belongs to one event loop; work may be on other threads.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from accel_daemon.accelerator.memory import ran_out
from accel_daemon.machine_memory import MachineMemory, Memory, give_back_freed

# A machine of today fills some 4 GiB a second; more often than this nothing changes.
_FASTEST_GROWTH = 4 << 30
_SHORTEST_SECONDS, _LONGEST_SECONDS = 0.01, 0.1
# Work during which the process has grown by less is not to blame: somebody else takes the memory.
NOTABLE_GROWTH = 64 << 20
# What was stopped gets so long to free what it has, before anyone else suffers from that.
_FREEING_SECONDS = 1.0
# For stopped work to end, and for the answers to those who wait for it, before the process ends.
_ENDING_SECONDS = 0.25
_T = TypeVar("_T")


class _Outcome:
    """How a thread's work ends; what a thread needs of a future."""

    error: Exception | None = None

    def done(self) -> bool:
        """Whether it is decided."""
        return self.error is not None

    def set_exception(self, error: Exception) -> None:
        """It ends with this error."""
        self.error = error


@dataclass(eq=False)
class _Followed:
    """Work of an engine.

    Attributes:
        outcome: what its caller waits for.
        stop: tells the engine to stop it.
        taken: bytes that the process had taken when it began.
        stopped: when it was told to stop.
    """

    outcome: asyncio.Future[Any] | _Outcome
    stop: Callable[[], None]
    taken: int
    stopped: float | None = None


class MemoryWatch:
    """Follows the engine's work.

    Attributes:
        relieve: each unloads idle graphs of so many bytes if it has any, and says whether it did.

    Args:
        memory: looks.
        end: ends this process.
        clock: seconds.
    """

    def __init__(
        self,
        memory: MachineMemory | None = None,
        end: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.memory = memory or MachineMemory()
        self.relieve: list[Callable[[int], bool]] = []
        self._end, self._clock = end, clock
        self._work: list[_Followed] = []
        self._taken = self.memory.taken()
        self._timer: asyncio.TimerHandle | None = None
        self._is_scarce = False
        self._last_stop = -_FREEING_SECONDS

    @property
    def is_freeing(self) -> bool:
        """Whether memory may come back soon: something is at work, or was stopped just now."""
        return bool(self._work) or self._clock() - self._last_stop < _FREEING_SECONDS

    def follow(self, work: asyncio.Future[_T], stop: Callable[[], None]) -> asyncio.Future[_T]:
        """What to wait for instead of `work`, which goes on when nobody waits any more.

        Where memory runs out it is a ModelError (MODEL_TOO_LARGE), and `stop` has been called.
        """
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[_T] = loop.create_future()
        followed = _Followed(outcome, stop, self._taken)
        self._work.append(followed)
        work.add_done_callback(lambda done: self._is_done(followed, outcome, done))
        self._begin_looking()
        return outcome

    def follow_thread(
        self, stop: Callable[[Exception], None], loop: asyncio.AbstractEventLoop
    ) -> _Followed:
        """Follow what the current thread does until `leave_thread`.

        Where memory runs out `stop` is called with the error, on `loop`, which this belongs to.
        """
        outcome = _Outcome()
        followed = _Followed(outcome, lambda: stop(outcome.error or MemoryError()), self._taken)
        self._work.append(followed)
        if self._timer is None:
            loop.call_soon_threadsafe(self._begin_looking)
        return followed

    def leave_thread(self, followed: _Followed) -> None:
        """It is done.

        Raises:
            ModelError: memory ran out meanwhile (MODEL_TOO_LARGE).
        """
        self._work.remove(followed)
        if isinstance(followed.outcome, _Outcome) and followed.outcome.error is not None:
            raise followed.outcome.error

    def _begin_looking(self) -> None:
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(_LONGEST_SECONDS, self._look)

    def _is_done(
        self, followed: _Followed, outcome: asyncio.Future[Any], work: asyncio.Future[Any]
    ) -> None:
        self._work.remove(followed)
        if work.cancelled():
            outcome.cancel()
        elif (error := work.exception()) is not None:
            if not outcome.done():
                outcome.set_exception(error)
        elif not outcome.done():
            outcome.set_result(work.result())

    def _look(self) -> None:
        self._timer = None
        if not self._work:
            return
        memory = self.memory.look()
        self._taken = self.memory.taken()
        if memory.room < 0:
            self._make_room(memory)
        self._is_scarce = memory.room < 0
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(seconds_to_next_look(memory.room), self._look)

    def _make_room(self, memory: Memory) -> None:
        if not self._is_scarce:
            give_back_freed()
            return
        now = self._clock()
        since = [now - one.stopped for one in self._work if one.stopped is not None]
        if since and max(since) >= seconds_to_end(memory):
            self._end()
        elif not since and any(relieve(-memory.room) for relieve in self.relieve):
            give_back_freed()
        elif memory.is_acute or not since or min(since) >= _FREEING_SECONDS:
            self._stop_one(now)

    def _stop_one(self, now: float) -> None:
        going_on = [one for one in self._work if one.stopped is None]
        grown = [self._taken - one.taken for one in going_on]
        index = to_blame(grown)
        if index is None:
            return
        followed = going_on[index]
        followed.stopped = self._last_stop = now
        if not followed.outcome.done():
            followed.outcome.set_exception(ran_out(grown[index]))
        followed.stop()


def seconds_to_next_look(room: int) -> float:
    """No longer than it takes at least to fill so many bytes, within bounds."""
    return min(max(room / _FASTEST_GROWTH, _SHORTEST_SECONDS), _LONGEST_SECONDS)


def seconds_to_end(memory: Memory) -> float:
    """How long stopped work may go on before its process ends; without end while there is room."""
    if memory.is_acute:
        return 0.0
    if memory.is_critical:
        return _ENDING_SECONDS
    return _FREEING_SECONDS if memory.is_overdrawn else math.inf


def to_blame(grown: Sequence[int]) -> int | None:
    """Which work has most probably taken the memory; None where none of it has.

    Nobody can tell what of a process's growth is whose. What began before the growth has seen all
    of it, like whoever causes it; what began later has seen less. So it is the latest of those that
    have seen half of it at least.

    Args:
        grown: bytes by which the process has grown since each piece of work began, oldest first.
    """
    most = max(grown, default=0)
    if most < NOTABLE_GROWTH:
        return None
    return max(index for index, one in enumerate(grown) if one >= most / 2)
