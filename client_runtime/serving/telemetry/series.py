"""Counters, gauges and histograms, and Prometheus' text of them, as TensorFlow Serving writes it.

prometheus_client cannot write TensorFlow Serving's names: it ends every counter in `_total` and
writes counts as floats. Not thread-safe: `metrics.py` holds a lock around them. Pure.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Generic, Protocol, TypeVar

# Series of one family; beyond, the one that changed least recently is forgotten.
MOST_SERIES = 5000

_Labels = tuple[str, ...]
_Chosen = Callable[[dict[str, str]], bool]
_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Description:
    """What a family is called and means.

    Attributes:
        name: of the family, with ":" or "_".
        kind: "counter", "gauge" or "histogram".
        text: of its "# HELP" line.
        labels: names of its labels, in order.
    """

    name: str
    kind: str
    text: str
    labels: tuple[str, ...] = ()


class Family(Protocol):
    """One metric with all its series."""

    description: Description

    def lines(self) -> Iterator[str]:
        """Its samples in the exposition."""

    def forget(self, chosen: _Chosen) -> None:
        """Drop the series whose labels are chosen."""


class _Series(Generic[_Value]):
    """Values by label values, a bounded number of them."""

    def __init__(self, description: Description) -> None:
        self.description = description
        self._values: OrderedDict[_Labels, _Value] = OrderedDict()

    def forget(self, chosen: _Chosen) -> None:
        names = self.description.labels
        for labels in [key for key in self._values if chosen(dict(zip(names, key, strict=True)))]:
            del self._values[labels]

    def _keep(self, labels: _Labels, value: _Value) -> None:
        self._values[labels] = value
        self._values.move_to_end(labels)
        if len(self._values) > MOST_SERIES:
            self._values.popitem(last=False)

    def _sorted(self) -> list[tuple[_Labels, _Value]]:
        return sorted(self._values.items(), key=lambda item: item[0])


class Scalar(_Series[float]):
    """A counter or a gauge."""

    def add(self, *labels: str, amount: float = 1) -> None:
        """Add to a series, which begins at 0."""
        self._keep(labels, self._values.get(labels, 0) + amount)

    def set(self, *labels: str, value: float) -> None:
        """Give a series this value."""
        self._keep(labels, value)

    def total(self) -> float:
        """The sum of all series."""
        return sum(self._values.values())

    def lines(self) -> Iterator[str]:
        """One line for each series."""
        name, names = self.description.name, self.description.labels
        for labels, value in self._sorted():
            yield f"{name}{{{_pairs(names, labels)}}} {_number(value)}"


@dataclass
class _Distribution:
    counts: list[int]
    total: float = 0.0


class Histogram(_Series[_Distribution]):
    """Distributions over buckets whose upper bounds are part of them, and one for what is above."""

    def __init__(self, description: Description, bounds: Sequence[float]) -> None:
        super().__init__(description)
        self._bounds = tuple(bounds)
        # Six digits, as TensorFlow Serving writes them: dashboards select by these texts.
        self._limits = (*(f"{bound:g}" for bound in self._bounds), "+Inf")

    def observe(self, *labels: str, value: float) -> None:
        """Count a value."""
        one = self._values.get(labels) or _Distribution([0] * len(self._limits))
        one.counts[bisect_left(self._bounds, value)] += 1
        one.total += value
        self._keep(labels, one)

    def lines(self) -> Iterator[str]:
        """For each series its cumulative buckets, its sum and its count."""
        name, names = self.description.name, self.description.labels
        for labels, one in self._sorted():
            pairs = _pairs(names, labels)
            lead = f"{pairs}," if pairs else ""
            for limit, count in zip(self._limits, accumulate(one.counts), strict=True):
                yield f'{name}_bucket{{{lead}le="{limit}"}} {count}'
            yield f"{name}_sum{{{pairs}}} {_number(one.total)}"
            yield f"{name}_count{{{pairs}}} {sum(one.counts)}"


class Families:
    """Makes families, and keeps all that it made.

    Attributes:
        made: all of them.
    """

    def __init__(self, prefix: str = "") -> None:
        """`prefix` begins every name."""
        self.made: list[Family] = []
        self._prefix = prefix

    def counter(self, name: str, text: str, *labels: str) -> Scalar:
        """A new counter, described by a text."""
        return self._scalar(name, "counter", text, labels)

    def gauge(self, name: str, text: str, *labels: str) -> Scalar:
        """A new gauge."""
        return self._scalar(name, "gauge", text, labels)

    def histogram(self, name: str, text: str, bounds: Sequence[float], *labels: str) -> Histogram:
        """A new histogram over buckets of these upper bounds."""
        histogram = Histogram(Description(self._prefix + name, "histogram", text, labels), bounds)
        self.made.append(histogram)
        return histogram

    def _scalar(self, name: str, kind: str, text: str, labels: _Labels) -> Scalar:
        scalar = Scalar(Description(self._prefix + name, kind, text, labels))
        self.made.append(scalar)
        return scalar


def exponential(scale: float, growth: float, count: int) -> tuple[float, ...]:
    """`count` bounds, the first of them `scale`, each `growth` times the one before."""
    return tuple(accumulate([growth] * (count - 1), lambda bound, by: bound * by, initial=scale))


def exposition(families: Iterable[Family]) -> str:
    """The text format of Prometheus, families sorted by name; one without series has its head."""
    lines: list[str] = []
    for family in sorted(families, key=lambda one: one.description.name):
        one = family.description
        lines += [f"# HELP {one.name} {one.text}", f"# TYPE {one.name} {one.kind}"]
        lines += family.lines()
    return "\n".join(lines) + "\n"


def _pairs(names: Sequence[str], values: Sequence[str]) -> str:
    return ",".join(
        f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True)
    )


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))
