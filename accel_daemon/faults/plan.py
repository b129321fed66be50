"""When one fault strikes at one place: a sequence of decisions that its seed determines."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from accel_daemon.faults.fault import STATES, Fault, Kind


class Moment(Enum):
    """Where in its life a call is."""

    ADMISSION = "a call or a stream begins"
    CALL = "the first message of a call is here, nothing was done yet"
    ANSWER = "the work is done, the first message of its answer is about to leave"
    MESSAGE = "a message came in, or is about to leave"


class Verdict(Enum):
    """What happens."""

    PASS = "nothing"  # noqa: S105 - no password
    DELAY = "it takes longer"
    CUT = "the connection is cut"
    REFUSE = "the caller is refused"


@dataclass(frozen=True)
class Event:
    """Something at which a fault may strike.

    Attributes:
        size: of a message, in bytes.
        number: of a message that came in on its stream, from 1; 0 for one that leaves.
    """

    moment: Moment
    size: int = 0
    number: int = 0


@dataclass(frozen=True)
class Action:
    """What happens at an event; `seconds` is how long a delay is."""

    verdict: Verdict
    seconds: float = 0.0


PASS = Action(Verdict.PASS)
_MOMENTS: Mapping[Kind, Moment] = {
    Kind.UNAVAILABLE: Moment.ADMISSION,
    Kind.EXPIRED_CREDENTIALS: Moment.ADMISSION,
    Kind.SLOW: Moment.MESSAGE,
}


class FaultPlan:
    """The decisions of a fault at one place, one after the other.

    Args:
        fault: which one.
        place: for instance an ordinal: places draw different chances from one seed.

    Attributes:
        happened: how often it has struck.
        holds: of a state: whether it is in force here.
    """

    def __init__(self, fault: Fault, place: str) -> None:
        self.fault = fault
        self.happened = 0
        self._chance = random.Random(f"{fault.seed}/{place}")  # noqa: S311 - wanted repeatable
        self._line_free_at = 0.0
        self.holds = fault.kind in STATES and self._draw()

    @property
    def is_used_up(self) -> bool:
        """Whether it has struck as often as it may."""
        return self.fault.count is not None and self.happened >= self.fault.count

    def decide(self, event: Event, now: float = 0.0) -> Action:
        """What happens at an event. Only events that concern the fault move the sequence on.

        Args:
            event: in the order in which they happen.
            now: seconds on any clock that does not go back; for bytes_per_second only.
        """
        if self.is_used_up or not self._concerns(event) or not self._draw():
            return PASS
        self.happened += 1
        if self.fault.kind is Kind.SLOW:
            return Action(Verdict.DELAY, self._delay(event, now))
        return Action(Verdict.CUT if self.fault.kind is Kind.DROP else Verdict.REFUSE)

    def _concerns(self, event: Event) -> bool:
        fault = self.fault
        if fault.kind is not Kind.DROP:
            return event.moment is _MOMENTS.get(fault.kind)
        if fault.messages is not None:
            return event.moment is Moment.MESSAGE and event.number == fault.messages
        return event.moment is (Moment.CALL if fault.when == "before" else Moment.ANSWER)

    def _draw(self) -> bool:
        return self._chance.random() < self.fault.probability

    def _delay(self, event: Event, now: float) -> float:
        fault = self.fault
        delay = (fault.latency_ms + fault.jitter_ms * self._chance.random()) / 1000
        if fault.bytes_per_second is not None:
            # One line for all streams: whoever comes while it is taken waits.
            self._line_free_at = max(now, self._line_free_at) + event.size / fault.bytes_per_second
            delay += self._line_free_at - now
        return delay
