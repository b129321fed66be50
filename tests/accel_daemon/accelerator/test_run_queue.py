"""So many calls run, so many wait, the rest is sent away, and no place is ever lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accel_daemon.accelerator.run_queue import RunQueue
from accel_protocol.errors import BusyError, DeadlineError
from accel_protocol.limits import Limits


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run in an event loop of its own, not for ever."""
    asyncio.run(asyncio.wait_for(work, 20))


async def settle() -> None:
    """Let every task go on as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def hold(queue: RunQueue, until: asyncio.Event, timeout: float | None = None) -> None:
    """Hold a place until an event."""
    async with queue.place(timeout):
        await until.wait()


def test_at_most_so_many_run_at_one_time() -> None:
    """Of twenty calls three run at any time, and all run in the end."""

    async def work() -> None:
        queue = RunQueue(Limits(concurrent_runs=3, queued_runs=20))
        running, most, done = 0, 0, 0

        async def call() -> None:
            nonlocal running, most, done
            async with queue.place(None):
                running += 1
                most = max(most, running)
                await asyncio.sleep(0)
                running -= 1
                done += 1

        await asyncio.gather(*(call() for _ in range(20)))
        assert (most, done) == (3, 20)

    run(work())


def test_places_are_given_in_order() -> None:
    """Who came first runs first."""

    async def work() -> None:
        queue = RunQueue(Limits(concurrent_runs=1, queued_runs=9))
        order: list[int] = []

        async def call(number: int) -> None:
            async with queue.place(None):
                order.append(number)
                await asyncio.sleep(0)

        await asyncio.gather(*(call(number) for number in range(8)))
        assert order == list(range(8))

    run(work())


def test_a_greedy_graph_delays_others_by_one_turn() -> None:
    """Behind eight waiting calls of one graph, the first call of another one runs second."""

    async def work() -> None:
        queue = RunQueue(Limits(concurrent_runs=1, queued_runs=20))
        order: list[str] = []

        async def call(graph: str) -> None:
            async with queue.place(None, graph.encode()):
                order.append(graph)
                await asyncio.sleep(0)

        await asyncio.gather(*(call(graph) for graph in [*["greedy"] * 9, "small", "small"]))
        assert order[:5] == ["greedy", "greedy", "small", "greedy", "small"]
        assert len(order) == 11

    run(work())


@pytest.mark.parametrize("queued", [0, 1, 3])
def test_one_above_the_queue_is_sent_away(queued: int) -> None:
    """At once, with a hint when to come back; one fewer waits."""

    async def work() -> None:
        queue, end = RunQueue(Limits(concurrent_runs=2, queued_runs=queued)), asyncio.Event()
        tasks = [asyncio.create_task(hold(queue, end)) for _ in range(2 + queued)]
        await settle()
        assert queue.waiting == queued
        with pytest.raises(BusyError) as caught:
            await hold(queue, end)
        assert int(caught.value.fields["retry_after_ms"]) > 0
        end.set()
        await asyncio.gather(*tasks)

    run(work())


@pytest.mark.parametrize("timeout", [0.05, 0.0, -1.0])
def test_a_call_whose_time_runs_out_waits_no_longer(timeout: float) -> None:
    """The wait ends with a DeadlineError about when the time is over."""

    async def work() -> None:
        queue, end = RunQueue(Limits(concurrent_runs=1, queued_runs=1)), asyncio.Event()
        holder = asyncio.create_task(hold(queue, end))
        await settle()
        began = time.monotonic()
        with pytest.raises(DeadlineError):
            await hold(queue, end, timeout)
        assert time.monotonic() - began < 2
        assert queue.waiting == 0
        end.set()
        await holder

    run(work())


def test_a_deadline_does_not_end_a_call_that_runs() -> None:
    """The time-out of the queue is about waiting only."""

    async def work() -> None:
        async with RunQueue(Limits(concurrent_runs=1)).place(0.01):
            await asyncio.sleep(0.05)

    run(work())


def test_a_cancelled_waiter_gives_its_place_back() -> None:
    """The next one takes its place in the queue, and the place to run is not lost."""

    async def work() -> None:
        queue, end = RunQueue(Limits(concurrent_runs=1, queued_runs=1)), asyncio.Event()
        holder = asyncio.create_task(hold(queue, end))
        waiter = asyncio.create_task(hold(queue, end))
        await settle()
        waiter.cancel()
        await asyncio.gather(waiter, return_exceptions=True)
        assert queue.waiting == 0
        successor = asyncio.create_task(hold(queue, end))
        await settle()
        assert queue.waiting == 1
        end.set()
        await asyncio.gather(holder, successor)

    run(work())


def test_a_waiter_cancelled_when_its_turn_comes_loses_nothing() -> None:
    """The place is given and the call cancelled in one turn of the loop."""

    async def work() -> None:
        queue, end = RunQueue(Limits(concurrent_runs=1, queued_runs=1)), asyncio.Event()
        holder = asyncio.create_task(hold(queue, end))
        waiter = asyncio.create_task(hold(queue, asyncio.Event()))
        await settle()
        end.set()
        await holder
        waiter.cancel()
        await asyncio.gather(waiter, return_exceptions=True)
        async with queue.place(1.0):
            assert queue.waiting == 0

    run(work())


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError])
def test_a_call_that_fails_gives_its_place_back(error: type[BaseException]) -> None:
    """Failing and being cancelled while running free the place."""

    async def work() -> None:
        queue = RunQueue(Limits(concurrent_runs=1, queued_runs=0))
        for _ in range(3):
            with pytest.raises(error):
                async with queue.place(None):
                    raise error

    run(work())


STEPS = st.lists(st.sampled_from(["call", "finish", "cancel", "let run"]), max_size=40)


@given(STEPS, st.integers(1, 3), st.integers(0, 3))
@settings(deadline=None, max_examples=60)
def test_no_sequence_loses_a_place(steps: list[str], places: int, queued: int) -> None:
    """After any calls, ends and cancellations all places can be had again at once."""

    async def work() -> None:
        queue = RunQueue(Limits(concurrent_runs=places, queued_runs=queued))
        calls: list[tuple[asyncio.Task[None], asyncio.Event]] = []
        for step in steps:
            if step == "call":
                end = asyncio.Event()
                calls.append((asyncio.create_task(hold(queue, end)), end))
            elif step == "finish" and calls:
                calls[0][1].set()
            elif step == "cancel" and calls:
                calls.pop()[0].cancel()
            else:
                await settle()
                assert queue.waiting <= queued
        for task, end in calls:
            end.set()
            task.cancel()
        await settle()
        assert queue.waiting == 0
        async with AsyncExitStack() as stack:
            for _ in range(places):
                await stack.enter_async_context(queue.place(0.5))

    run(work())
