"""The policy of retries: when, how often, and never beyond the call's end."""

from __future__ import annotations

import itertools
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_protocol.errors import (
    AcceleratorError,
    AnswerLostError,
    BusyError,
    ConnectionLostError,
    CredentialsError,
    InternalError,
)
from client_runtime.transport.retrying import (
    BUDGET_TOKENS,
    LONGEST_HINT_SECONDS,
    LONGEST_PAUSE_SECONDS,
    Failure,
    RetryBudget,
    Ride,
    hint_of,
    pause_of,
    wait_after,
)

CHANCES = st.floats(0, 1)
HINTS = st.none() | st.integers(0, 10**9 - 1)
SECONDS = st.floats(0, 1000)


def lost() -> ConnectionLostError:
    """A broken connection, which hints nothing."""
    return ConnectionLostError("cut")


def busy(hint: int | None) -> BusyError:
    """No room, and the hint in milliseconds."""
    return BusyError("full", fields={} if hint is None else {"retry_after_ms": str(hint)})


@given(hint=HINTS, attempt=st.integers(1, 10**6), left=st.floats(-10, 1000), chance=CHANCES)
def test_no_wait_passes_the_end(hint: int | None, attempt: int, left: float, chance: float) -> None:
    """Whatever is hinted and drawn."""
    wait = wait_after(Failure(busy(hint), attempt, left, reached=True), lambda: chance)
    assert wait is None or 0 <= wait < left


@given(hint=st.integers(0, 10**9 - 1), attempt=st.integers(1, 50), chance=CHANCES)
def test_a_hint_is_the_least(hint: int, attempt: int, chance: float) -> None:
    """Up to the bound of hints; on top comes no more than a pause."""
    failure = Failure(busy(hint), attempt, 1e9, reached=False)
    wait = wait_after(failure, lambda: chance)
    least = min(hint / 1000, LONGEST_HINT_SECONDS)
    assert wait is not None
    assert least <= wait <= least + LONGEST_PAUSE_SECONDS


@given(
    tokens=st.integers(0, 20),
    callers=st.integers(1, 8),
    turns=st.lists(st.tuples(st.integers(0, 7), st.sampled_from(["fail", "succeed"]))),
)
def test_retries_are_bounded_by_the_budget(
    tokens: int, callers: int, turns: list[tuple[int, str]]
) -> None:
    """In whatever order callers fail and succeed: what was there, and a part for each success."""
    budget = RetryBudget(tokens, 0.5)
    rides = [Ride(budget, 1e9) for _ in range(callers)]
    retries = successes = 0
    for caller, turn in turns:
        if turn == "succeed":
            successes += 1
            budget.succeeded()
        elif rides[caller % callers].next_wait(lost(), 0.0, reached=True) is not None:
            retries += 1
        assert retries <= tokens + successes * 0.5


def test_threads_share_the_budget() -> None:
    """Threads that really run at the same time take each token once."""
    budget = RetryBudget(1000, 0.5)
    taken: list[bool] = []
    threads = [
        threading.Thread(target=lambda: taken.extend([budget.take() for _ in range(500)]))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(taken) == 1000


@given(draws=st.lists(CHANCES, min_size=1, max_size=20), patience=SECONDS)
def test_a_ride_ends(draws: list[float], patience: float) -> None:
    """The sum of all waits stays below patience, also where no time passes but the waits."""
    chances = itertools.cycle(draws)
    ride = Ride(RetryBudget(), patience, chance=lambda: next(chances))
    now = 0.0
    while (wait := ride.next_wait(lost(), now, reached=True)) is not None:
        now += wait
    assert now <= patience


@given(give_up_at=SECONDS, chance=CHANCES)
def test_a_ride_ends_with_the_call(give_up_at: float, chance: float) -> None:
    """Where the call's end comes before patience's."""
    ride, now = Ride(RetryBudget(), 1e9, give_up_at, lambda: chance), 0.0
    while (wait := ride.next_wait(lost(), now, reached=True)) is not None:
        now += wait
    assert now <= give_up_at


def test_one_restart_leaves_most_of_the_budget() -> None:
    """A dozen attempts of one caller."""
    budget = RetryBudget()
    ride = Ride(budget, 60.0)
    assert all(ride.next_wait(lost(), 0.0, reached=True) is not None for _ in range(12))
    assert [budget.take() for _ in range(int(BUDGET_TOKENS) - 12)].count(False) == 0


def test_an_empty_budget_is_told() -> None:
    """The error that happened says that retries are used up."""
    error = lost()
    assert Ride(RetryBudget(0), 60.0).next_wait(error, 0.0, reached=True) is None
    assert error.fields["retries"] == "exhausted"
    assert any("retries are used up" in note for note in error.__notes__)


def test_patience_that_ends_is_not_told_as_an_empty_budget() -> None:
    """Nothing is noted where there were retries left."""
    error = lost()
    assert Ride(RetryBudget(), 0.0).next_wait(error, 0.0, reached=True) is None
    assert "retries" not in error.fields


def test_progress_renews_patience() -> None:
    """An upload that breaks now and then goes on for longer than patience."""
    ride = Ride(RetryBudget(), 10.0, chance=lambda: 0.0)
    ride.next_wait(lost(), 0.0, reached=True)
    ride.came(5)
    assert ride.next_wait(lost(), 100.0, reached=True) is not None


def test_no_progress_renews_nothing() -> None:
    """What comes as far as before has not come further."""
    ride = Ride(RetryBudget(), 10.0, chance=lambda: 0.0)
    ride.came(5)
    ride.next_wait(lost(), 0.0, reached=True)
    ride.came(5)
    assert ride.next_wait(lost(), 100.0, reached=True) is None


def test_a_new_ticket_is_asked_for_once() -> None:
    """A restarted daemon signs with a new key; twice in one call is something else."""
    ride = Ride(RetryBudget(), 60.0)
    error = CredentialsError("old", reason="INVALID_TICKET")
    assert ride.next_wait(error, 0.0, reached=True) == 0.0
    assert ride.next_wait(error, 0.0, reached=True) is None


@pytest.mark.parametrize(
    "error",
    [
        CredentialsError("no", reason="SIGNATURE_MISMATCH"),
        AnswerLostError("may have run"),
        InternalError("a defect"),
    ],
)
def test_what_is_never_tried_again(error: AcceleratorError) -> None:
    """Repeating may do harm, or no good."""
    assert wait_after(Failure(error, 1, 60.0, reached=True)) is None


def test_nothing_was_ever_reached() -> None:
    """A wrong address is likelier than a restart."""
    assert wait_after(Failure(lost(), 1, 60.0, reached=False)) is None


def test_pauses_grow_to_a_bound() -> None:
    """Twice as long each time, however many there were."""
    assert [pause_of(n) for n in (1, 2, 3)] == [0.1, 0.2, 0.4]
    assert pause_of(10**9) == LONGEST_PAUSE_SECONDS


@pytest.mark.parametrize("hint", ["", "soon", "-5", "1e9", "٣", "9" * 5000])
def test_what_is_no_hint(hint: str) -> None:
    """Those that are no sensible numbers do not count."""
    error = BusyError("full", fields={"retry_after_ms": hint})
    assert hint_of(error) is None
