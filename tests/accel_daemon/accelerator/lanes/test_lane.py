"""Lanes keep the rules of Run: tickets, revocation, draining, places, bounds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from accel_protocol.errors import (
    AcceleratorError,
    AnswerLostError,
    BusyError,
    ConnectionLostError,
    CredentialsError,
    DeadlineError,
    ModelError,
)
from accel_protocol.limits import Limits
from accel_protocol.v1 import accelerator_pb2 as pb
from client_runtime.transport.exchange import Answer, Call, exchange
from client_runtime.transport.socket_lane import NoLaneError, SocketLane
from tests.accel_daemon.accelerator.served_accelerator import (
    KEY_ID,
    ServedAccelerator,
    served,
)
from tests.accel_daemon.accelerator.test_slow_readers import call_of
from tests.conftest import eventually, patience

LIMITS = Limits(idle_call_seconds=1, concurrent_runs=2, queued_runs=64, streams=8)


@pytest.fixture
def accelerator(tmp_path: Path) -> Iterator[ServedAccelerator]:
    """An accelerator with few places and little patience."""
    with served(tmp_path, replace(LIMITS, idle_call_seconds=round(patience(1)))) as running:
        yield running


@pytest.fixture(params=["tls", "local"])
def opened(
    accelerator: ServedAccelerator, request: pytest.FixtureRequest
) -> Iterator[Callable[[], SocketLane]]:
    """Opens lanes of each kind."""
    with ExitStack() as closing:

        def open_one() -> SocketLane:
            lane = accelerator.lane(kind=request.param)
            closing.callback(lane.close)
            return lane

        yield open_one


def ask(lane: SocketLane, graph_id: bytes, size: int = 10, number: int = 1) -> Answer:
    """One call whose answer has so many bytes."""
    answer = exchange(lane, number, Call(graph_id, {"x": np.array([size], np.float64)}))
    if isinstance(answer, AcceleratorError):
        raise answer
    return answer


class Held:
    """Keeps runs inside the engine until they may go on."""

    def __init__(self, accelerator: ServedAccelerator) -> None:
        self.inside = self.most = 0
        self._may_end, self._lock = threading.Event(), threading.Lock()
        accelerator.engine.before_run = self._wait

    def _wait(self) -> None:
        with self._lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        assert self._may_end.wait(60)
        with self._lock:
            self.inside -= 1

    def let_go(self) -> None:
        """They may."""
        self._may_end.set()


@pytest.mark.parametrize("size", [0, 10, 100_000, 3_000_000])
def test_calls_are_answered(
    accelerator: ServedAccelerator, opened: Callable[[], SocketLane], size: int
) -> None:
    """Answers of every size come back whole; one line of audit for all calls of a lane."""
    graph_id, lane = accelerator.store_graph(), opened()

    for number in (1, 2, 3):
        assert ask(lane, graph_id, size, number).fetches["y"].size == size

    runs = accelerator.look(lambda: accelerator.service.counters.runs)
    assert runs == 3
    assert [(one.action, one.allowed) for one in accelerator.decisions] == [
        ("elastic-inference:Run", True)
    ]


@pytest.mark.parametrize("kind", ["tls", "local"])
@pytest.mark.parametrize("ticket", ["", "x", "other"])
def test_no_lane_without_a_good_ticket(
    accelerator: ServedAccelerator, ticket: str, kind: str
) -> None:
    """Anything else is refused as by gRPC, and audited."""
    other = accelerator.token("eia-" + "b" * 32)
    with pytest.raises(CredentialsError) as caught:
        accelerator.lane(other if ticket == "other" else ticket, kind)

    assert caught.value.reason in ("MISSING_TICKET", "INVALID_TICKET")
    eventually(lambda: [one.allowed for one in accelerator.decisions] == [False])
    assert caught.value.request_id == accelerator.decisions[0].request_id


def test_lanes_count_as_streams(
    accelerator: ServedAccelerator, opened: Callable[[], SocketLane]
) -> None:
    """One more than there may be is refused; one that is closed makes room."""
    lanes = [opened() for _ in range(LIMITS.streams)]
    with pytest.raises(BusyError, match="streams"):
        opened()

    lanes[0].close()
    eventually(lambda: len(accelerator.gate.streams) < LIMITS.streams)
    opened()


def test_revoked_key_ends_an_idle_lane(
    accelerator: ServedAccelerator, opened: Callable[[], SocketLane]
) -> None:
    """The lane says why, and no other opens."""
    graph_id, lane = accelerator.store_graph(), opened()
    ask(lane, graph_id)
    assert lane.is_open()

    accelerator.look(lambda: accelerator.gate.revoke([KEY_ID]))

    eventually(lambda: not lane.is_open())
    with pytest.raises(CredentialsError) as caught:
        ask(lane, graph_id, number=2)
    assert caught.value.reason == "TICKET_REVOKED"
    assert lane.has_begun_nothing
    with pytest.raises(CredentialsError):
        opened()


def test_revoked_key_interrupts_a_call(
    accelerator: ServedAccelerator, opened: Callable[[], SocketLane]
) -> None:
    """The lane does not wait for the engine, and does not say that nothing was begun."""
    graph_id, lane, held = accelerator.store_graph(), opened(), Held(accelerator)
    with ThreadPoolExecutor(1) as caller:
        held.let_go()
        caller.submit(ask, lane, graph_id).result(patience(20))  # the next one runs on its thread
        held = Held(accelerator)
        call = caller.submit(ask, lane, graph_id, number=2)
        eventually(lambda: held.inside == 1)
        accelerator.look(lambda: accelerator.gate.revoke([KEY_ID]))
        with pytest.raises(CredentialsError) as caught:
            call.result(patience(20))
        held.let_go()

    assert caught.value.reason == "TICKET_REVOKED"
    assert not lane.has_begun_nothing


def test_who_hangs_up_cancels_the_call(
    accelerator: ServedAccelerator, opened: Callable[[], SocketLane]
) -> None:
    """The graph is stopped while its thread is still inside, as TensorFlow can only do it."""
    graph_id, lane, held = accelerator.store_graph(), opened(), Held(accelerator)
    tenant = next(iter(accelerator.service.tenants.values()))
    lane.send(iter([[call_of(graph_id, 10)]]))
    eventually(lambda: held.inside == 1)
    assert accelerator.look(lambda: tenant.graphs.is_loaded(graph_id))

    lane.close()

    eventually(lambda: not accelerator.look(lambda: tenant.graphs.is_loaded(graph_id)))
    held.let_go()
    eventually(lambda: len(accelerator.gate.streams) == 0)


def test_call_for_which_memory_runs_out(
    accelerator: ServedAccelerator, opened: Callable[[], SocketLane]
) -> None:
    """Is answered although the engine goes on; once it has let go of it the lane is good again."""
    graph_id, lane = accelerator.store_graph(), opened()
    ask(lane, graph_id)
    held, watch = Held(accelerator), accelerator.service.watch
    with ThreadPoolExecutor(1) as caller:
        call = caller.submit(ask, lane, graph_id, number=2)
        eventually(lambda: held.inside == 1)

        def starve() -> None:
            (followed,) = watch._work
            followed.outcome.set_exception(ModelError("The memory ran out."))
            followed.stop()

        accelerator.look(starve)
        with pytest.raises(ModelError, match="memory ran out"):
            call.result(patience(20))
        assert held.inside == 1
        held.let_go()
    assert ask(lane, graph_id, number=3).fetches["y"].size == 10


def test_draining_answers_what_runs(
    accelerator: ServedAccelerator, opened: Callable[[], SocketLane]
) -> None:
    """A call that runs is answered; its lane and idle ones end, and no other opens."""
    graph_id, busy, idle = accelerator.store_graph(), opened(), opened()
    held, answer = Held(accelerator), Future[Answer]()
    caller = threading.Thread(target=lambda: answer.set_result(ask(busy, graph_id)), daemon=True)
    caller.start()
    eventually(lambda: held.inside == 1)

    draining = threading.Thread(
        target=lambda: accelerator.do(accelerator.server.drain(patience(20))), daemon=True
    )
    draining.start()
    eventually(lambda: not idle.is_open())
    with pytest.raises(NoLaneError):
        opened()
    held.let_go()

    assert answer.result(patience(20)).fetches["y"].size == 10
    eventually(lambda: not busy.is_open())
    with pytest.raises(ConnectionLostError, match="shutting down"):
        ask(busy, graph_id, number=2)
    draining.join(patience(20))


def test_calls_of_all_lanes_share_the_places(
    accelerator: ServedAccelerator, opened: Callable[[], SocketLane]
) -> None:
    """More lanes than places: never more runs than places, and each call is answered."""
    graph_id, held = accelerator.store_graph(), Held(accelerator)
    lanes = [opened() for _ in range(LIMITS.streams)]

    with ThreadPoolExecutor(len(lanes)) as callers:
        answers = [callers.submit(ask, lane, graph_id) for lane in lanes]
        eventually(lambda: held.inside == LIMITS.concurrent_runs)
        held.let_go()
        assert all(one.result(patience(30)).fetches["y"].size == 10 for one in answers)
    assert held.most == LIMITS.concurrent_runs


def test_call_that_falls_silent_is_ended(
    accelerator: ServedAccelerator, opened: Callable[[], SocketLane]
) -> None:
    """A call that has begun has to go on; before it began, a lane may be silent for longer."""
    graph_id, lane = accelerator.store_graph(), opened()
    ask(lane, graph_id)
    threading.Event().wait(patience(1.5))
    ask(lane, graph_id, number=2)

    start = pb.RunStart(graph_id=graph_id, feeds=[pb.TensorHeader(name="x", dtype=1, size=40)])
    start.feeds[0].shape.append(10)
    half = pb.RunRequest(call_id=3, start=start, payload=bytes(8))
    lane.send(iter([[half.SerializeToString()]]))

    with pytest.raises(DeadlineError):
        lane.receive()


def test_late_caller_is_told(
    accelerator: ServedAccelerator, opened: Callable[[], SocketLane]
) -> None:
    """A call whose time runs out while it waits for a place is answered in time."""
    graph_id, held = accelerator.store_graph(), Held(accelerator)
    lanes = [opened() for _ in range(LIMITS.concurrent_runs + 1)]
    with ThreadPoolExecutor(len(lanes)) as callers:
        running = [callers.submit(ask, lane, graph_id) for lane in lanes[:-1]]
        eventually(lambda: held.inside == LIMITS.concurrent_runs)
        call = Call(graph_id, {"x": np.array([1.0])}, time.monotonic() + 0.2)
        late = exchange(lanes[-1], 1, call)
        held.let_go()
        assert all(one.result(patience(30)) for one in running)

    assert isinstance(late, DeadlineError)
    assert ask(lanes[-1], graph_id, number=2)


def test_stopped_graph_is_loaded_for_others(
    accelerator: ServedAccelerator, opened: Callable[[], SocketLane]
) -> None:
    """A call that meets a graph which was just unloaded loads it again."""
    graph_id, lane = accelerator.store_graph(), opened()
    ask(lane, graph_id)
    tenant = next(iter(accelerator.service.tenants.values()))
    accelerator.look(lambda: tenant.graphs.unload(graph_id))

    assert ask(lane, graph_id, number=2).fetches["y"].size == 10
    assert accelerator.look(lambda: tenant.graphs.loads) == 2


def test_lost_lane_is_lost(
    accelerator: ServedAccelerator, opened: Callable[[], SocketLane]
) -> None:
    """After the end, a call on it is a lost connection and no answer of another call."""
    lane = opened()
    lane.close()

    with pytest.raises(ConnectionLostError) as caught:
        ask(lane, bytes(32))
    assert not isinstance(caught.value, AnswerLostError)
    assert not lane.is_open()
