"""What must not have happened: seven invariants, each a pure function of what did.

1. An answer is the one of the graph that was asked, for the feeds that were sent.
2. No answer after a denial was due.
3. What is said to be there can be run, or is missing with its own reason.
4. Each request has one outcome, in time, and runs at most once unless it may be repeated.
5. What a daemon uses while nobody uses it does not grow.
6. After the last fault everybody is served again within a bound.
7. A store holds whole files of the right digest only.

And each failure has a reason that a fault explains.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.chaos.history import OK, Begun, Ended, Event, History

# Of a call that was right, at an accelerator that everything happens to.
EXPLAINED = frozenset(
    {
        "ANSWER_LOST",
        "BUSY",
        "CANCELLED",
        "CREDENTIALS_EXPIRED",
        "DEADLINE_EXCEEDED",
        "DISK_FULL",
        "MODEL_MISSING",
        "MODEL_TOO_LARGE",
        "TICKET_EXPIRED",
        "UNAVAILABLE",
    }
)
# Of a call with a key that was revoked.
DENIALS = frozenset({"INVALID_TICKET", "SIGNATURE_MISMATCH", "TICKET_REVOKED"})
# What a counting graph begins anew after: its process or its Session is another one.
_RESTARTS = frozenset({"process", "unload", "pressure"})
# Other ways to say that a graph is not there than MODEL_MISSING.
_ABSENT = frozenset({"DIGEST_MISMATCH", "DISK_FULL", "INTERNAL", "INVALID_MODEL"})
# The longest fault, and what stopping takes after it.
_LATE_SECONDS = 30.0
_PAUSES = frozenset({"stop", "freeze", "slow-disk"})


@dataclass(frozen=True)
class Bounds:
    """Seconds that things may take.

    Attributes:
        denial: from the change of the identities until nobody is served any more.
        overdue: of an outcome, beyond the request's own time-out.
    """

    denial: float
    overdue: float


@dataclass(frozen=True)
class Violation:
    """Something that must not have happened; 0 stands for a failure without an explanation."""

    invariant: int
    text: str


def check(history: History, bounds: Bounds) -> list[Violation]:
    """All violations that a history shows by itself."""
    ended = history.outcomes()
    return [
        *wrong_answers(history.begun, ended),
        *served_after_denial(history.begun, ended, history.events, bounds.denial),
        *absent_graphs(history.begun, ended),
        *outcomes_of_requests(history, bounds.overdue),
        *miscounted(history.begun, ended, history.events),
        *unexplained(history.begun, ended, history.events),
    ]


def wrong_answers(begun: Iterable[Begun], ended: Mapping[int, Ended]) -> Iterator[Violation]:
    """Invariant 1."""
    for one in begun:
        outcome = ended.get(one.number)
        if outcome is not None and outcome.right is False:
            yield Violation(1, f"{_name(one)} got an answer of something else: {outcome.detail}")


def served_after_denial(
    begun: Iterable[Begun], ended: Mapping[int, Ended], events: Sequence[Event], seconds: float
) -> Iterator[Violation]:
    """Invariant 2: a request that began when its key had been gone for long was answered."""
    due = {one.subject: _due(one, events, seconds) for one in events if one.kind == "revoke"}
    for one in begun:
        outcome = ended.get(one.number)
        if outcome is None or outcome.outcome != OK or one.key_id not in due:
            continue
        if one.at > due[one.key_id]:
            late = one.at - due[one.key_id]
            yield Violation(2, f"{_name(one)} was answered {late:.1f} s after denial was due")


def _due(revocation: Event, events: Sequence[Event], seconds: float) -> float:
    """When nobody may be served any more: whoever is stopped cannot hear of it meanwhile."""
    due = revocation.begun + seconds
    for pause in sorted(events, key=lambda one: one.begun):
        if pause.kind in _PAUSES and pause.begun <= due:
            due = max(due, pause.ended + seconds)
    return due


def absent_graphs(begun: Iterable[Begun], ended: Mapping[int, Ended]) -> Iterator[Violation]:
    """Invariant 3: `present` runs what was listed, and sends nothing."""
    for one in begun:
        outcome = ended.get(one.number)
        if one.action == "present" and outcome is not None and outcome.outcome in _ABSENT:
            yield Violation(3, f"{_name(one)}, which was listed, is {outcome.outcome}")


def outcomes_of_requests(history: History, overdue: float) -> Iterator[Violation]:
    """Invariant 4, first half: one outcome each, in time."""
    counts = Counter(one.number for one in history.ended)
    ended = history.outcomes()
    for one in history.begun:
        if counts[one.number] != 1:
            yield Violation(4, f"{_name(one)} has {counts[one.number]} outcomes")
            continue
        took = ended[one.number].at - one.at
        if took > one.timeout + overdue:
            yield Violation(4, f"{_name(one)} took {took:.1f} s of {one.timeout:g} s")


def miscounted(
    begun: Iterable[Begun], ended: Mapping[int, Ended], events: Sequence[Event]
) -> Iterator[Violation]:
    """Invariant 4, second half: a graph that counts its runs tells lost and doubled ones.

    Between two answers the count grows by one for the later one, and by one for each request that
    failed before and ran all the same: each of those may, once, and also after later ones. It
    begins anew with another process or Session; and a run that was given up may have cost its
    graph the Session, because TensorFlow can stop all runs of a Session or none. Who was given up
    runs, or is stopped, within the time that a process is kept from it at most.
    """
    last: dict[int, tuple[int, float]] = {}
    given_up: defaultdict[int, list[float]] = defaultdict(list)
    for one in begun:
        outcome = ended.get(one.number)
        if one.action != "count" or outcome is None:
            continue
        if outcome.outcome != OK:
            given_up[one.client].append(outcome.at)
            continue
        count, at = last.get(one.client, (0, 0.0))
        value = outcome.value or 0
        unknown = [gone for gone in given_up[one.client] if gone > one.at - _LATE_SECONDS]
        may_begin = bool(unknown) or _restarted(one.accelerator, at, outcome.at, events)
        since = count if value > count or not may_begin else 0
        late = value - since - 1
        if not 0 <= late <= len(unknown):
            text = f"counted {value} after {count} and {len(unknown)} unknown ones"
            yield Violation(4, f"{_name(one)} {text}")
        given_up[one.client] = unknown[max(late, 0) :]
        last[one.client] = (value, one.at)


def _restarted(accelerator: int, since: float, until: float, events: Iterable[Event]) -> bool:
    return any(
        one.kind in _RESTARTS
        and one.accelerator in (None, accelerator)
        and one.begun <= until
        and one.ended >= since
        for one in events
    )


def unexplained(
    begun: Iterable[Begun], ended: Mapping[int, Ended], events: Iterable[Event]
) -> Iterator[Violation]:
    """A failure that no fault explains, or that is no error of this project."""
    revoked = {one.subject for one in events if one.kind == "revoke"}
    for one in begun:
        explained = EXPLAINED | {OK} | (DENIALS if one.key_id in revoked else frozenset())
        outcome = ended.get(one.number)
        if outcome is not None and outcome.outcome not in explained:
            yield Violation(0, f"{_name(one)}: {outcome.outcome}: {outcome.detail}")


def grown(
    before: Mapping[str, float], after: Mapping[str, float], allowed: Mapping[str, float]
) -> list[Violation]:
    """Invariant 5.

    Args:
        before: what was used while nobody used it, by name ("daemon descriptors").
        after: the same, later.
        allowed: by how much each may have grown, by its name or by the last word of it; else 0.
    """
    return [
        Violation(5, f"{name}: {before.get(name, 0):g} before, {value:g} after")
        for name, value in after.items()
        if value > before.get(name, 0) + allowed.get(name, allowed.get(name.split(" ")[-1], 0))
    ]


def slow_recovery(served: Mapping[int, float | None], bound: float) -> list[Violation]:
    """Invariant 6: `served` has each client's seconds until an answer, None for never."""
    return [
        Violation(6, f"client {client} was served after {seconds} s")
        for client, seconds in served.items()
        if seconds is None or seconds > bound
    ]


def damaged(files: Mapping[str, str]) -> list[Violation]:
    """Invariant 7: `files` has what is wrong with each file that a store should not hold."""
    return [Violation(7, f"{name}: {what}") for name, what in files.items()]


def _name(one: Begun) -> str:
    return f"request {one.number} ({one.action} of {one.graph} by client {one.client})"
