"""What many measured calls say together: percentiles, throughput, and where the time went. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from client_runtime.transport.exchange import CallTiming

PARTS = ("serialize", "wire", "queue", "load", "compute", "paced", "parse")


@dataclass(frozen=True)
class Latencies:
    """Seconds of one call, over many calls; each is one that really was measured."""

    minimum: float
    p50: float
    p90: float
    p99: float
    maximum: float


@dataclass(frozen=True)
class Part:
    """One part of a call: median seconds, and its share of all parts' medians, 0 to 1."""

    median: float
    share: float


@dataclass
class Measured:
    """What was measured of one side so far.

    Attributes:
        seconds: of each call, as its caller saw it.
        timings: of the same calls, where an accelerator told them.
        wall: seconds during which these calls were made, one or several at a time.
    """

    seconds: list[float] = field(default_factory=list)
    timings: list[CallTiming] = field(default_factory=list)
    wall: float = 0.0

    @property
    def throughput(self) -> float:
        """Calls a second."""
        return len(self.seconds) / self.wall if self.wall > 0 else 0.0


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The smallest value that so many percent of all do not exceed; of an ordered sequence."""
    rank = math.ceil(len(ordered) * percent / 100)
    return ordered[max(rank, 1) - 1]


def latencies(seconds: Sequence[float]) -> Latencies:
    """The figures of at least one call."""
    ordered = sorted(seconds)
    p50, p90, p99 = (percentile(ordered, percent) for percent in (50, 90, 99))
    return Latencies(ordered[0], p50, p90, p99, ordered[-1])


def split(timings: Sequence[CallTiming]) -> dict[str, Part]:
    """Where the time of at least one call went, by `PARTS`."""
    medians = {name: median(getattr(timing, name) for timing in timings) for name in PARTS}
    total = sum(medians.values())
    return {
        name: Part(value, value / total if total > 0 else 0.0) for name, value in medians.items()
    }
