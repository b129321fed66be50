"""When work is stopped for want of memory, and which."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_daemon.accelerator.memory_watch import (
    NOTABLE_GROWTH,
    MemoryWatch,
    seconds_to_end,
    seconds_to_next_look,
    to_blame,
)
from accel_daemon.machine_memory import Bound, MachineMemory, Memory
from accel_protocol.errors import ModelError

MIB, GIB = 1 << 20, 1 << 30
RESERVE = Bound(16 * GIB, 0).reserve


class Told(MachineMemory):
    """Says what it is told instead of looking."""

    def __init__(self) -> None:
        self.left = 8 * GIB
        self.own = 0
        self.looks = 0

    def look(self) -> Memory:
        """See MachineMemory."""
        self.looks += 1
        return Memory((Bound(16 * GIB, self.left),))

    def taken(self) -> int:
        """See MachineMemory."""
        return self.own

    def take(self, size: int) -> None:
        """The process takes so many bytes more."""
        self.own += size
        self.left -= size

    def leave(self, room: int) -> None:
        """The process takes all but so many bytes besides the reserve."""
        self.take(self.left - RESERVE - room)


class Job:
    """Work that goes on until it is told to end.

    Args:
        told: where what it has is given back when it is stopped; None: it cannot be stopped.
    """

    def __init__(self, watch: MemoryWatch, told: Told | None = None) -> None:
        self.told = told
        self.is_stopped = False
        self.work: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.outcome = watch.follow(self.work, self.stop)

    def stop(self) -> None:
        """Give back what was taken, and end."""
        self.is_stopped = True
        if self.told is not None:
            self.told.take(-self.told.own)
            self.work.set_exception(RuntimeError("stopped"))


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    while not holds():
        await asyncio.sleep(0.005)


def within(work: Callable[[], Awaitable[Any]]) -> None:
    """Do something on a loop, with a bound on its time."""

    async def waited() -> None:
        await asyncio.wait_for(work(), 60)

    asyncio.run(waited())


def test_work_that_ends_brings_its_result() -> None:
    """Or its error; whoever gave up is not told."""

    async def work() -> None:
        defects: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: defects.append(context))
        watch = MemoryWatch(Told())
        done, failed, left = Job(watch), Job(watch), Job(watch)
        left.outcome.cancel()
        done.work.set_result("answer")
        failed.work.set_exception(KeyError("x"))
        left.work.set_exception(KeyError("y"))
        assert await done.outcome == "answer"
        with pytest.raises(KeyError):
            await failed.outcome
        await asyncio.sleep(0)
        assert defects == []

    within(work)


def test_nobody_looks_while_nothing_is_at_work() -> None:
    """And short work costs no look."""

    async def work() -> None:
        told = Told()
        watch = MemoryWatch(told)
        for _ in range(100):
            job = Job(watch)
            job.work.set_result("")
            await job.outcome
        await asyncio.sleep(0.3)
        assert told.looks == 0

    within(work)


def test_while_there_is_room_nothing_is_stopped() -> None:
    """Up to the reserve, however much the work takes."""

    async def work() -> None:
        told = Told()
        job = Job(MemoryWatch(told))
        told.leave(0)
        await until(lambda: told.looks > 5)
        assert not job.is_stopped

    within(work)


def test_work_that_takes_the_reserve_is_stopped() -> None:
    """Its caller is told how much it took."""

    async def work() -> None:
        told = Told()
        job = Job(MemoryWatch(told), told)
        told.leave(-1)
        with pytest.raises(ModelError) as caught:
            await job.outcome
        assert caught.value.reason == "MODEL_TOO_LARGE"
        assert caught.value.fields["needed_bytes"] == str(8 * GIB - RESERVE + 1)
        assert job.is_stopped

    within(work)


def test_idle_graphs_go_before_work_is_stopped() -> None:
    """If they are enough, nothing is stopped."""

    async def work() -> None:
        told, asked = Told(), []

        def unload(size: int) -> bool:
            asked.append(size)
            told.left += 100 * MIB
            return True

        watch = MemoryWatch(told)
        watch.relieve.append(unload)
        job = Job(watch)
        told.leave(-50 * MIB)
        await until(lambda: bool(asked))
        looks = told.looks
        await until(lambda: told.looks > looks + 3)
        assert asked == [50 * MIB]
        assert not job.is_stopped

    within(work)


def test_work_of_the_innocent_goes_on() -> None:
    """The process has not grown: somebody else takes the memory."""

    async def work() -> None:
        told = Told()
        job = Job(MemoryWatch(told))
        told.left = 0
        await until(lambda: told.looks > 10)
        assert not job.is_stopped

    within(work)


def test_one_is_stopped_and_others_go_on() -> None:
    """What was stopped gives back memory; the rest is enough."""

    async def work() -> None:
        told = Told()
        watch = MemoryWatch(told)
        first = Job(watch)
        bomb = Job(watch, told)
        told.leave(-1)
        await until(lambda: bomb.is_stopped)
        looks = told.looks
        await until(lambda: told.looks > looks + 3)
        assert not first.is_stopped

    within(work)


def test_what_was_stopped_gets_time_to_free_what_it_has() -> None:
    """Before the next one is stopped, and before anyone is refused for good."""

    async def work() -> None:
        told, now = Told(), [10.0]
        watch = MemoryWatch(told, clock=lambda: now[0])
        assert not watch.is_freeing
        first, second = Job(watch), Job(watch)
        told.leave(-1)
        await until(lambda: second.is_stopped)
        looks = told.looks
        await until(lambda: told.looks > looks + 3)
        assert not first.is_stopped
        now[0] += 1
        await until(lambda: first.is_stopped)
        for job in (first, second):
            job.outcome.exception()
            job.work.set_result("")
        await asyncio.sleep(0.05)
        assert watch.is_freeing
        now[0] += 1
        assert not watch.is_freeing

    within(work)


def test_work_that_cannot_be_stopped_ends_the_process() -> None:
    """Once half of the reserve is gone; its caller is told before, and has time to hear it."""

    async def work() -> None:
        told, ends = Told(), []
        job = Job(MemoryWatch(told, lambda: ends.append(told.looks)))
        told.leave(-RESERVE // 2 - 1)
        await until(lambda: job.is_stopped)
        looks = told.looks
        await until(lambda: bool(ends))
        assert ends[0] > looks + 3
        assert isinstance(job.outcome.exception(), ModelError)

    within(work)


def test_a_process_about_to_be_ended_by_the_kernel_ends_itself() -> None:
    """Without waiting, but not before anyone was told."""

    async def work() -> None:
        told, ends = Told(), []
        job = Job(MemoryWatch(told, lambda: ends.append(told.looks)))
        told.leave(-RESERVE)
        await until(lambda: job.is_stopped)
        looks = told.looks
        await until(lambda: bool(ends))
        assert ends[0] == looks + 1
        assert isinstance(job.outcome.exception(), ModelError)

    within(work)


def test_the_process_does_not_end_while_half_of_the_reserve_is_left() -> None:
    """Whatever cannot be stopped may be over soon."""

    async def work() -> None:
        told, ends = Told(), []
        job = Job(MemoryWatch(told, lambda: ends.append(1)))
        told.leave(-RESERVE // 2)
        await until(lambda: job.is_stopped)
        looks = told.looks
        await until(lambda: told.looks > looks + 10)
        assert ends == []
        job.outcome.exception()

    within(work)


def test_looks_are_as_frequent_as_room_is_short() -> None:
    """Ten a second where there is enough, and a hundred at most."""
    assert seconds_to_next_look(8 * GIB) == 0.1
    assert seconds_to_next_look(GIB // 5) == pytest.approx(0.05)
    assert seconds_to_next_look(-GIB) == 0.01


@pytest.mark.parametrize(
    ("left", "is_wall", "seconds"),
    [
        (RESERVE // 2, True, math.inf),
        (RESERVE // 2 - 1, True, 0.25),
        (RESERVE // 8 - 1, True, 0.0),
        (RESERVE // 2, False, math.inf),
        (-GIB, False, 1.0),
    ],
)
def test_a_limit_of_our_own_is_less_urgent(left: int, is_wall: bool, seconds: float) -> None:
    """The kernel ends nobody at it."""
    assert seconds_to_end(Memory((Bound(16 * GIB, left, is_wall),))) == seconds


@pytest.mark.parametrize(
    ("grown", "index"),
    [
        ([], None),
        ([NOTABLE_GROWTH - 1], None),
        ([NOTABLE_GROWTH], 0),
        ([GIB, GIB, 10], 1),
        ([GIB, GIB // 2], 1),
        ([GIB, GIB // 2 - 1], 0),
        ([-GIB, GIB], 1),
    ],
)
def test_who_is_to_blame(grown: list[int], index: int | None) -> None:
    """The latest of those that have seen half of the growth at least."""
    assert to_blame(grown) == index


@given(st.lists(st.integers(-GIB, GIB)))
def test_whoever_is_to_blame_has_seen_growth(grown: list[int]) -> None:
    """Half of the most, and that is notable."""
    index = to_blame(grown)
    if index is None:
        assert all(one < NOTABLE_GROWTH for one in grown)
    else:
        assert grown[index] >= max(grown) / 2 >= NOTABLE_GROWTH / 2
