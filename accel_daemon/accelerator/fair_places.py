"""Who gets the next place to run. Pure.

Places go round between the graphs that wait, and inside one graph to whoever came first: a graph
with hundreds of waiting calls delays a call of another graph by one turn, not by hundreds. A small
reserve behind the queue's end is open only to graphs that wait less than their share, so that one
graph cannot fill the queue and shut the others out.
"""

from __future__ import annotations

import enum
from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Generic, TypeVar

_RESERVE = 4  # the reserve is this part of the queue
_SOONEST_MS, _LATEST_MS = 50, 5000
_WEIGHT = 0.2  # of the newest run in the mean

Ticket = TypeVar("Ticket", bound=Hashable)


class Verdict(enum.Enum):
    """What happens to a call that comes."""

    RUN = "run"
    WAIT = "wait"
    REFUSE = "refuse"


class FairPlaces(Generic[Ticket]):
    """Places to run, and the calls that wait for one.

    Args:
        places: calls that run at one time.
        queued: calls that wait at one time, without the reserve.
    """

    def __init__(self, places: int, queued: int) -> None:
        self._places, self._free, self._queued = places, places, queued
        self._waiting: OrderedDict[bytes, deque[Ticket]] = OrderedDict()
        self._mean_seconds = 0.0
        self.waiting = 0

    def enter(self, graph_id: bytes, ticket: Ticket) -> Verdict:
        """A call comes; where it has to wait, `ticket` stands for it."""
        if self._free:
            self._free -= 1
            return Verdict.RUN
        if not self._may_wait(graph_id):
            return Verdict.REFUSE
        self._waiting.setdefault(graph_id, deque()).append(ticket)
        self.waiting += 1
        return Verdict.WAIT

    def _may_wait(self, graph_id: bytes) -> bool:
        if self.waiting < self._queued:
            return True
        if self.waiting >= self._queued + self._queued // _RESERVE:
            return False
        graphs = len(self._waiting.keys() | {graph_id})
        return len(self._waiting.get(graph_id, ())) < self._queued // graphs

    def leave(self) -> Ticket | None:
        """A call has run; whoever has its place now, None when it is free."""
        if not self._waiting:
            self._free += 1
            return None
        graph_id, tickets = self._waiting.popitem(last=False)
        ticket = tickets.popleft()
        self.waiting -= 1
        if tickets:
            self._waiting[graph_id] = tickets  # behind the others: it had its turn
        return ticket

    def give_up(self, graph_id: bytes, ticket: Ticket) -> None:
        """A call does not wait any more."""
        tickets = self._waiting[graph_id]
        tickets.remove(ticket)
        self.waiting -= 1
        if not tickets:
            del self._waiting[graph_id]

    def took(self, seconds: float) -> None:
        """How long a call held its place."""
        self._mean_seconds += _WEIGHT * (seconds - self._mean_seconds)

    @property
    def retry_after_ms(self) -> int:
        """When there will probably be room, told from the queue and the latest runs."""
        seconds = self._mean_seconds * max(1, self.waiting) / self._places
        return min(_LATEST_MS, max(_SOONEST_MS, round(seconds * 1000)))
