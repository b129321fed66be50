"""What happened in a campaign: requests, events, and measurements. Seconds are of one clock."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

OK = "ok"


@dataclass(frozen=True)
class Begun:
    """A request that a client is about to make."""

    number: int
    client: int
    accelerator: int
    key_id: str
    action: str
    graph: str
    at: float
    timeout: float


@dataclass(frozen=True)
class Ended:
    """The outcome of a request.

    Attributes:
        outcome: OK, or the reason of the error; "untyped …" where it had none.
        right: whether the answer is the one of the graph that was asked; None without an answer.
        value: what a counting graph answered.
        detail: for people, of what should not have been.
    """

    number: int
    at: float
    outcome: str
    right: bool | None = None
    value: int | None = None
    detail: str = ""


@dataclass(frozen=True)
class Event:
    """A fault, a process that was replaced, or an action that is no request.

    Attributes:
        kind: for instance "kill", "process", "unload".
        accelerator: its ordinal; None where it concerns all.
        begun, ended: between which it happened, or held.
        subject: for instance the id of the key that was revoked.
    """

    kind: str
    accelerator: int | None
    begun: float
    ended: float
    subject: str = ""


@dataclass
class History:
    """All of that, in the order in which it was written down. Thread-safe."""

    begun: list[Begun] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(
        self, client: int, accelerator: int, key_id: str, action: str, graph: str, timeout: float
    ) -> int:
        """A request is about to be made; its number."""
        with self._lock:
            number = next(self._numbers)
            self.begun.append(
                Begun(number, client, accelerator, key_id, action, graph, time.monotonic(), timeout)
            )
        return number

    def end(
        self,
        number: int,
        outcome: str,
        right: bool | None = None,
        value: int | None = None,
        detail: str = "",
    ) -> None:
        """It has an outcome."""
        with self._lock:
            self.ended.append(Ended(number, time.monotonic(), outcome, right, value, detail))

    def note(
        self, kind: str, accelerator: int | None, begun: float, ended: float, subject: str = ""
    ) -> None:
        """An event was seen."""
        with self._lock:
            self.events.append(Event(kind, accelerator, begun, ended, subject))

    @contextmanager
    def lasting(self, kind: str, accelerator: int | None, subject: str = "") -> Iterator[None]:
        """An event that lasts as long as the block, whatever comes of it."""
        begun = time.monotonic()
        try:
            yield
        finally:
            self.note(kind, accelerator, begun, time.monotonic(), subject)

    def forget(self) -> None:
        """Begin anew: what came before is not part of the campaign."""
        with self._lock:
            self.begun.clear()
            self.ended.clear()
            self.events.clear()

    def outcomes(self) -> dict[int, Ended]:
        """By number; of two outcomes the later one."""
        return {one.number: one for one in self.ended}
