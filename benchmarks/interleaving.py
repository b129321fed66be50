"""Who is measured when, and what the figures say together. Pure.

Machines are noisy for minutes at a time, so contestants take turns: each round visits all of them,
and what is compared is what was measured in the same round.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


def schedule(names: Sequence[str], rounds: int) -> Iterator[tuple[int, str]]:
    """The turns, as (round, name): each name once a round, in an order that changes.

    Each round begins with another name, and every second one goes backwards, so that nobody always
    comes after the same neighbour.
    """
    for number in range(rounds):
        first = number % len(names) if names else 0
        order = [*names[first:], *names[:first]]
        for name in order[:: 1 if number % 2 == 0 else -1]:
            yield number, name


@dataclass(frozen=True)
class Summary:
    """What many values are: the median, and what a tenth of them are below and above."""

    median: float
    p10: float
    p90: float
    count: int


def summary(values: Sequence[float]) -> Summary:
    """The figures of at least one value."""
    if len(values) == 1:
        return Summary(values[0], values[0], values[0], 1)
    tenths = statistics.quantiles(values, n=10, method="inclusive")
    return Summary(statistics.median(values), tenths[0], tenths[-1], len(values))


def pooled(rounds: Sequence[Sequence[float]]) -> list[float]:
    """The values of all rounds."""
    return [value for values in rounds for value in values]


def ratio(
    subject: Sequence[Sequence[float]], against: Sequence[Sequence[Sequence[float]]]
) -> Summary:
    """How a contestant compares with the sum of others.

    Args:
        subject: its values, by round.
        against: the same of each of the others; as many rounds.

    Returns:
        The ratio of the medians over all rounds, and the spread of the rounds' own ratios.
    """
    whole = statistics.median(pooled(subject)) / sum(statistics.median(pooled(o)) for o in against)
    each = [
        statistics.median(values) / sum(statistics.median(other[number]) for other in against)
        for number, values in enumerate(subject)
    ]
    spread = summary(each)
    return Summary(whole, spread.p10, spread.p90, spread.count)
