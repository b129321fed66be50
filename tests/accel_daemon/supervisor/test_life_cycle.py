"""The life of an accelerator process: every state against every event, and the delays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_daemon.supervisor.life_cycle import (
    HEALTHY_SECONDS,
    MAX_DELAY_SECONDS,
    TRANSITIONS,
    Event,
    State,
    failures_after_exit,
    next_state,
    restart_delay,
)

PAIRS = [(state, event) for state in State for event in Event]
HAS_PROCESS = {State.STARTING, State.READY, State.RESTARTING, State.FAILED, State.DRAINING}


@pytest.mark.parametrize(("state", "event"), PAIRS)
def test_every_pair_is_in_the_table_or_changes_nothing(state: State, event: Event) -> None:
    """No event can bring an accelerator into a state that the table does not name."""
    assert next_state(state, event) is TRANSITIONS.get((state, event), state)


@pytest.mark.parametrize("event", list(Event))
def test_stopped_is_final(event: Event) -> None:
    """Nothing starts a stopped accelerator again."""
    assert next_state(State.STOPPED, event) is State.STOPPED


@pytest.mark.parametrize("state", list(State))
def test_only_a_starting_process_becomes_ready(state: State) -> None:
    """A late report of readiness does not bring back what is draining or restarting."""
    becomes_ready = next_state(state, Event.REPORTED_READY) is State.READY
    assert becomes_ready == (state in (State.STARTING, State.READY))


@pytest.mark.parametrize("state", sorted(HAS_PROCESS, key=str))
def test_an_exit_leaves_every_state_that_has_a_process(state: State) -> None:
    """No state goes on as if its process still ran."""
    assert next_state(state, Event.EXITED) is not state


@given(st.lists(st.sampled_from(Event)))
def test_drain_and_exit_stop_after_any_history(history: list[Event]) -> None:
    """Whatever happened before, a drain leads to STOPPED and nowhere else."""
    state = State.STARTING
    for event in history:
        state = next_state(state, event)
    drained = next_state(state, Event.DRAIN)
    assert drained in (State.DRAINING, State.STOPPED)
    assert next_state(drained, Event.EXITED) is State.STOPPED


@given(st.lists(st.sampled_from([event for event in Event if event is not Event.DRAIN])))
def test_without_drain_it_can_always_become_ready_again(history: list[Event]) -> None:
    """No crash, failure or tenant change is the end of an accelerator."""
    state = State.STARTING
    for event in (*history, Event.EXITED, Event.DELAY_OVER, Event.REPORTED_READY):
        state = next_state(state, event)
    assert state is State.READY


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [(0, 0), (1, 0), (2, 0.5), (3, 1), (4, 2), (7, 16), (8, 30), (9, 30), (10_000, 30)],
)
def test_restart_delay(failures: int, seconds: float) -> None:
    """At once after the first failure, then doubling up to half a minute."""
    assert restart_delay(failures) == seconds


@given(st.integers(0, 10**9))
def test_restart_delay_never_falls_and_is_bounded(failures: int) -> None:
    """More failures never mean a shorter wait."""
    assert restart_delay(failures) <= restart_delay(failures + 1) <= MAX_DELAY_SECONDS


@pytest.mark.parametrize(
    ("before", "healthy", "after"),
    [(0, 0.0, 1), (5, 59.9, 6), (5, HEALTHY_SECONDS, 1), (0, 1e9, 1)],
)
def test_a_minute_of_health_forgives(before: int, healthy: float, after: int) -> None:
    """The row of failures starts again after a minute of running."""
    assert failures_after_exit(before, healthy) == after
