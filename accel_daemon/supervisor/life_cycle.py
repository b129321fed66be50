"""The life of one accelerator process as a table, and how long to wait before it is started again.

    STARTING ──ready──▶ READY ──tenant changes──▶ RESTARTING ──exited──▶ STARTING
       │ │               │
       │ └─exited──┐     └─exited──▶ BACKING_OFF ──delay over──▶ STARTING
       │           ▼
       │      BACKING_OFF ◀──exited── FAILED          any state ──drain──▶ DRAINING or STOPPED
       └─failed──▶ FAILED

Pure. An event that a state does not know changes nothing: reports and exits arrive late, and a
process that is being drained may still say that it is ready.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

FIRST_DELAY_SECONDS = 0.5
MAX_DELAY_SECONDS = 30.0
HEALTHY_SECONDS = 60.0


class State(enum.Enum):
    """Where an accelerator process is in its life."""

    STARTING = "starting"  # launched, does not accept requests yet
    READY = "ready"
    RESTARTING = "restarting"  # being ended so that another tenant starts from nothing
    FAILED = "failed"  # it said why it cannot start, and is about to end
    BACKING_OFF = "backing-off"  # ended by itself; waits to be started again
    DRAINING = "draining"  # finishes what it has, takes nothing new
    STOPPED = "stopped"  # ended for good


class Event(enum.Enum):
    """What happens to an accelerator process."""

    REPORTED_READY = "reported-ready"
    REPORTED_FAILED = "reported-failed"
    TENANT_CHANGED = "tenant-changed"
    EXITED = "exited"
    DELAY_OVER = "delay-over"
    DRAIN = "drain"


TRANSITIONS: Mapping[tuple[State, Event], State] = {
    (State.STARTING, Event.REPORTED_READY): State.READY,
    (State.STARTING, Event.REPORTED_FAILED): State.FAILED,
    (State.STARTING, Event.TENANT_CHANGED): State.RESTARTING,
    (State.STARTING, Event.EXITED): State.BACKING_OFF,
    (State.STARTING, Event.DRAIN): State.DRAINING,
    (State.READY, Event.TENANT_CHANGED): State.RESTARTING,
    (State.READY, Event.EXITED): State.BACKING_OFF,
    (State.READY, Event.DRAIN): State.DRAINING,
    (State.RESTARTING, Event.EXITED): State.STARTING,
    (State.RESTARTING, Event.DRAIN): State.DRAINING,
    (State.FAILED, Event.EXITED): State.BACKING_OFF,
    (State.FAILED, Event.DRAIN): State.DRAINING,
    (State.BACKING_OFF, Event.DELAY_OVER): State.STARTING,
    (State.BACKING_OFF, Event.DRAIN): State.STOPPED,
    (State.DRAINING, Event.EXITED): State.STOPPED,
}


def next_state(state: State, event: Event) -> State:
    """The state after an event; the same one when the event means nothing in it."""
    return TRANSITIONS.get((state, event), state)


def failures_after_exit(consecutive_failures: int, healthy_seconds: float) -> int:
    """How many failures in a row there are once the process has ended by itself.

    Args:
        consecutive_failures: before this exit.
        healthy_seconds: how long it had been ready; 0 when it never was.
    """
    return 1 if healthy_seconds >= HEALTHY_SECONDS else consecutive_failures + 1


def restart_delay(consecutive_failures: int) -> float:
    """Seconds to wait before the next start: none at first, then 0.5, 1, 2, … up to 30."""
    if consecutive_failures <= 1:
        return 0.0
    # The exponent is bounded before it is used: the count of failures is not.
    return min(MAX_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2.0 ** min(consecutive_failures - 2, 16))
