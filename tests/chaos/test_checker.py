"""The checker: each invariant has a history that breaks it, and one that only seems to."""

from __future__ import annotations

import pytest

from tests.chaos import checker
from tests.chaos.checker import Bounds
from tests.chaos.history import OK, Begun, Ended, Event, History

BOUNDS = Bounds(denial=3, overdue=5)
Outcome = str | int | None


def begun(number: int, at: float = 0.0, action: str = "run", key: str = "KEY") -> Begun:
    """A request of client 1 on accelerator 0."""
    return Begun(number, 1, 0, key, action, "graph", at, timeout=10)


def history(*requests: tuple[Begun, Ended], events: tuple[Event, ...] = ()) -> History:
    """A history of requests with their outcomes."""
    return History([one for one, _ in requests], [end for _, end in requests], list(events))


def broken(what: History) -> list[int]:
    """The invariants that a history breaks."""
    return [one.invariant for one in checker.check(what, BOUNDS)]


def counted(*outcomes: Outcome, events: tuple[Event, ...] = ()) -> list[int]:
    """What is broken where a counting graph answered so, once a second; None: with an error."""
    requests = [
        (
            begun(number, at=number, action="count"),
            Ended(number, number + 0.5, OK, True, value)
            if isinstance(value, int)
            else Ended(number, number + 0.5, "ANSWER_LOST"),
        )
        for number, value in enumerate(outcomes, 1)
    ]
    return broken(history(*requests, events=events))


def test_a_good_history() -> None:
    """Breaks nothing."""
    assert broken(history((begun(1), Ended(1, 1, OK, True)))) == []


def test_a_wrong_answer() -> None:
    """Is never excused."""
    assert broken(history((begun(1), Ended(1, 1, OK, False)))) == [1]


@pytest.mark.parametrize(("at", "expected"), [(99, []), (102.9, []), (103.1, [2]), (200, [2])])
def test_an_answer_after_a_denial(at: float, expected: list[int]) -> None:
    """Who is revoked at 100 is not served from 103 on."""
    gone = Event("revoke", 0, 100, 100, "KEY")
    assert broken(history((begun(1, at), Ended(1, at + 1, OK, True)), events=(gone,))) == expected


@pytest.mark.parametrize(("until", "expected"), [(105, []), (101, [2])])
def test_who_is_stopped_does_not_hear_of_a_denial(until: float, expected: list[int]) -> None:
    """It is due once the accelerator has had its time to hear."""
    events = (Event("revoke", 0, 100, 100, "KEY"), Event("stop", 0, 99, until))
    assert broken(history((begun(1, 107), Ended(1, 108, OK, True)), events=events)) == expected


def test_another_key_is_not_denied() -> None:
    """One user's keys are revoked one by one."""
    gone = Event("revoke", 0, 100, 100, "OTHER")
    assert broken(history((begun(1, 200), Ended(1, 201, OK, True)), events=(gone,))) == []


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [("MODEL_MISSING", []), ("UNAVAILABLE", []), ("DISK_FULL", [3]), ("INTERNAL", [3, 0])],
)
def test_a_listed_graph_that_cannot_be_run(outcome: str, expected: list[int]) -> None:
    """Is missing, or the accelerator cannot be reached."""
    assert broken(history((begun(1, action="present"), Ended(1, 1, outcome)))) == expected


def test_a_request_without_an_outcome() -> None:
    """Was lost."""
    assert broken(History([begun(1)])) == [4]


def test_a_request_with_two_outcomes() -> None:
    """Was answered twice."""
    assert broken(History([begun(1)], [Ended(1, 1, OK, True)] * 2)) == [4]


@pytest.mark.parametrize(("took", "expected"), [(14.9, []), (15.1, [4])])
def test_an_outcome_that_is_overdue(took: float, expected: list[int]) -> None:
    """Time-out 10, and 5 beyond."""
    assert broken(history((begun(1), Ended(1, took, "DEADLINE_EXCEEDED")))) == expected


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ((1, 2, 3), []),
        ((1, None, 2), []),  # it was lost before it ran
        ((1, None, 3), []),  # it ran, its answer was lost
        ((1, 3), [4]),  # it ran twice
        ((1, None, 4), [4]),
        ((1, None, 2, 4), []),  # it ran after the next one
        ((1, None, 3, 5), [4]),  # it ran before and after it
        ((1, None, 2, 5), [4]),
        ((7, None, 1), [4]),  # the first answer already was somebody else's
        ((1, 2, 3, 4, None, 1), []),  # who was given up cost the graph its Session
        ((1, 2, 3, 4, None, 3), [4]),  # which counts from there on
        ((1, 2, 2), [4]),  # the same answer twice
        ((5, 6), [4]),  # somebody else's count
        ((1, 2, 1), [4]),  # what it counted is forgotten, without a reason
    ],
)
def test_counts(outcomes: tuple[Outcome, ...], expected: list[int]) -> None:
    """Each answer counts one on; each unknown outcome may have, once."""
    assert counted(*outcomes) == expected


def test_what_was_given_up_long_ago_explains_nothing() -> None:
    """It has run or it never will."""
    requests = [
        (begun(1, at=0, action="count"), Ended(1, 0.5, OK, True, 1)),
        (begun(2, at=1, action="count"), Ended(2, 1.5, "ANSWER_LOST")),
        (begun(3, at=31, action="count"), Ended(3, 31.4, OK, True, 2)),
        (begun(4, at=32, action="count"), Ended(4, 32.5, OK, True, 4)),
    ]
    assert broken(history(*requests)) == [4]


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (Event("process", 0, 3.0, 3.2), []),
        (Event("unload", 0, 3.0, 3.2), []),
        (Event("process", 1, 3.0, 3.2), [4]),  # of the other accelerator
        (Event("process", 0, 1.0, 1.2), [4]),  # before both
        (Event("process", 0, 9.0, 9.2), [4]),  # after both
        (Event("cut", 0, 3.0, 3.2), [4]),  # forgets nothing
    ],
)
def test_counts_begin_anew(event: Event, expected: list[int]) -> None:
    """Only with another process or Session between two answers."""
    assert counted(1, 2, 1, events=(event,)) == expected


def test_a_count_that_begins_anew_too_high() -> None:
    """Was doubled all the same."""
    assert counted(1, 2, 5, events=(Event("process", 0, 3.0, 3.2),)) == [4]


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [("UNAVAILABLE", []), ("INTERNAL", [0]), ("untyped TypeError", [0]), ("TICKET_REVOKED", [0])],
)
def test_failures_without_an_explanation(outcome: str, expected: list[int]) -> None:
    """Are violations, whatever else is going on."""
    assert broken(history((begun(1), Ended(1, 1, outcome)))) == expected


def test_a_revoked_key_explains_its_refusal() -> None:
    """And no other key's."""
    gone = Event("revoke", 0, 0, 0, "KEY")
    refused = history((begun(1), Ended(1, 1, "TICKET_REVOKED")), events=(gone,))
    assert broken(refused) == []


def test_growth() -> None:
    """By the last word of a name; what is new has grown from nothing."""
    before = {"daemon threads": 4.0, "daemon MiB": 60.0}
    after = {"daemon threads": 5.0, "daemon MiB": 90.0, "scratch files": 1.0}
    found = checker.grown(before, after, {"MiB": 16, "daemon MiB": 32})
    assert [one.text for one in found] == [
        "daemon threads: 4 before, 5 after",
        "scratch files: 0 before, 1 after",
    ]


def test_recovery() -> None:
    """Late, and never."""
    found = checker.slow_recovery({1: 29.0, 2: 31.0, 3: None}, 30)
    assert [one.text for one in found] == [
        "client 2 was served after 31.0 s",
        "client 3 was served after None s",
    ]


def test_damage() -> None:
    """Each file by name."""
    assert [one.invariant for one in checker.damaged({"ab": "holds cd"})] == [7]
