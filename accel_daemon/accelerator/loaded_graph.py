"""A loaded graph, what is known of it, and what a run on it brings."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import psutil

from accel_daemon.accelerator.run_costs import RunCosts
from accel_daemon.accelerator.run_stream import Timing
from accel_daemon.engines.engine import Graph
from accel_daemon.engines.sharing import Shared
from accel_protocol.errors import DeadlineError
from accel_protocol.tensors import Array


@dataclass
class Loaded:
    """One loaded graph and what is known of it. Times in seconds. Runs are counted on any thread.

    Attributes:
        memory_bytes: what it counts as: on an emulated type by `counted_bytes`, else what the
            process grew by. Together with those that share with it.
        shared: what it has in common with others; None for nothing.
    """

    graph_id: bytes
    graph: Graph
    memory_bytes: int
    load_time: float
    costs: RunCosts
    shared: Shared | None = None
    runs: int = 0
    failed_runs: int = 0
    queue_time: float = 0.0
    compute_time: float = 0.0
    stopped: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def count(self, timing: Timing) -> None:
        """A run was answered."""
        with self._lock:
            self.runs += 1
            self.queue_time += timing.queue
            self.compute_time += timing.compute

    def count_failure(self) -> None:
        """A run was not."""
        with self._lock:
            self.failed_runs += 1


class Outcome(NamedTuple):
    """What a call brought."""

    fetches: Mapping[str, Array]
    timing: Timing
    repeatable: bool


def left_of(timeout: float | None, since: float) -> float | None:
    """Seconds left of a time-out that began at `since`.

    Raises:
        DeadlineError: none.
    """
    if timeout is None:
        return None
    left = timeout - (time.monotonic() - since)
    if left <= 0:
        raise DeadlineError("The call's time ran out before it could run.")
    return left


def resident_bytes() -> int:
    """Resident memory of this process."""
    return int(psutil.Process().memory_info().rss)
