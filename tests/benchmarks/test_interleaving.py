"""Turns, and what the figures say together."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks.interleaving import Summary, ratio, schedule, summary


def test_each_round_visits_everyone_once() -> None:
    """Nobody is left out of a round, and nobody comes twice."""
    turns = Counter(schedule(["a", "b", "c"], 7))

    assert turns == {(number, name): 1 for number in range(7) for name in "abc"}


def test_rounds_come_one_after_the_other() -> None:
    """A round is over before the next begins, so what is compared was measured together."""
    numbers = [number for number, _ in schedule(["a", "b", "c"], 5)]

    assert numbers == sorted(numbers)


def test_nobody_always_comes_first_or_after_the_same_one() -> None:
    """Over some rounds everyone is first once, and has had several neighbours."""
    turns = list(schedule(["a", "b", "c"], 6))
    orders = [[name for number, name in turns if number == round_] for round_ in range(6)]

    assert {order[0] for order in orders} == {"a", "b", "c"}
    assert {order[order.index("a") - 1] for order in orders if order[0] != "a"} == {"b", "c"}


def test_without_contestants_there_are_no_turns() -> None:
    """Nothing to measure is no error."""
    assert list(schedule([], 3)) == []


def test_summary_is_not_moved_by_an_outlier() -> None:
    """The median and the spread are the middle's."""
    assert summary([*range(1, 11), 1e6]) == Summary(6, 2, 10, 11)


def test_summary_of_one_value_is_that_value() -> None:
    """One value has no spread."""
    assert summary([3.0]) == Summary(3.0, 3.0, 3.0, 1)


def test_ratio_adds_the_others_up() -> None:
    """A floor of two parts is their sum."""
    found = ratio([[6.0, 6.0], [6.0]], [[[1.0], [1.0]], [[2.0], [2.0]]])

    assert found.median == pytest.approx(2.0)


def test_ratio_spreads_over_rounds_and_not_over_the_noise_they_share() -> None:
    """Where a slow minute slowed both alike, their ratio has no spread."""
    found = ratio([[2.0], [20.0], [4.0]], [[[1.0], [10.0], [2.0]]])

    assert (found.median, found.p10, found.p90, found.count) == (2.0, 2.0, 2.0, 3)


def test_ratio_tells_the_rounds_in_which_it_differed() -> None:
    """A contestant that is slow in single rounds shows in the spread."""
    found = ratio([[1.0], [1.0], [3.0]], [[[1.0], [1.0], [1.0]]])

    assert found.median == 1.0
    assert found.p90 > 2.0
