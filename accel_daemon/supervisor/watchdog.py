"""When an accelerator process hangs, and which graphs are to blame. Pure.

A process shows in its flight record that its event loop lives and what its engine does until when.
What follows is counted in looks and not in seconds: after a pause of the host, of the supervisor or
of the process, nobody must be ended for what could not be done in the meantime.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass

from accel_daemon.flight_record import FlightRecord, Work
from accel_daemon.launch_order import OUT_OF_MEMORY

LOOK_SECONDS = 0.5
# 15 s: an engine that reads the largest model it may be sent holds Python's lock for some seconds.
MISSED_LOOKS = 30
# 3 s: in so many looks at a process that lives, work is late before its process is ended, because
# stopping takes an engine a moment.
LATE_LOOKS = 6
# What a process that is at fault itself ends with; anything else came from outside.
_FAULTS = frozenset(
    {
        signal.SIGABRT,
        signal.SIGSEGV,
        signal.SIGBUS,
        signal.SIGFPE,
        signal.SIGILL,
        signal.SIGSYS,
        signal.SIGTRAP,
    }
)
_WORDS: Mapping[str, str] = {
    "load": "loading it",
    "run": "running it",
    "compile": "compiling it",
}


@dataclass(frozen=True)
class Hang:
    """A process has to be ended.

    Attributes:
        why: for the log.
        blame: what each graph at fault did, by graph id; a sentence's end.
        is_certain: whether each of them is at fault; else one of them is, and nobody knows which.
    """

    why: str
    blame: Mapping[bytes, str]
    is_certain: bool = False


class Watchdog:
    """Judges one process, by one look after the other."""

    def __init__(self) -> None:
        self._beats = -1
        self._missed = 0
        self._late: dict[Work, int] = {}

    def look(self, record: FlightRecord | None, now: float, *, is_stopped: bool) -> Hang | None:
        """Judge what was read just now.

        Args:
            record: None where there is none (yet).
            now: by the clock of the record.
            is_stopped: whether someone stopped the process by a signal: its graphs are innocent.
        """
        if record is None:
            return None
        self._missed = self._missed + 1 if record.beats == self._beats else 0
        self._beats = record.beats
        if not is_stopped and self._missed == 0:
            overdue = [one for one in record.work if now > one.due]
            self._late = {one: self._late.get(one, 0) + 1 for one in overdue}
        late = [one for one, looks in self._late.items() if looks >= LATE_LOOKS]
        if late:
            return Hang("an engine did not end its work in time", _late(late, now), True)
        if self._missed >= MISSED_LOOKS:
            blame = {} if is_stopped else _silent(record.work)
            return Hang("it does not show that it lives", blame)
        return None


def blame_for_exit(
    status: int, record: FlightRecord | None, *, memory_ran_out: bool = False
) -> Mapping[bytes, str]:
    """Which graphs may be to blame for a process's end by itself: one of them is.

    Args:
        status: of the exit; the negative number of the signal that ended it.
        record: what the process left.
        memory_ran_out: whether SIGKILL came from the kernel, for want of memory.
    """
    is_killed = status == OUT_OF_MEMORY or (memory_ran_out and status == -signal.SIGKILL)
    if record is None or not (is_killed or -status in _FAULTS):
        return {}
    how = "for want of memory" if is_killed else f"with {signal.Signals(-status).name}"
    return {
        one.graph_id: f"the process ended {how} while {_WORDS[one.kind]}" for one in record.work
    }


def _late(work: list[Work], now: float) -> Mapping[bytes, str]:
    return {
        one.graph_id: f"{_WORDS[one.kind]} had not ended after {now - one.began:.0f} s"
        for one in work
    }


def _silent(work: tuple[Work, ...]) -> Mapping[bytes, str]:
    return {
        one.graph_id: f"the process answered nobody any more while {_WORDS[one.kind]}"
        for one in work
    }
