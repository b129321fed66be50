"""The catalog's one thread that looks around: it sleeps until something is due."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from client_runtime.serving.models.jobs import guarded

_JOIN_SECONDS = 10.0


@dataclass
class Round:
    """Work that comes round.

    Attributes:
        first: seconds until it is done first.
        period: seconds between its end and the next time; 0: it is done once.
        work: what is done.
        due: time.monotonic() of the next time; None: never again.
    """

    first: float
    period: float
    work: Callable[[], None]
    due: float | None = None


class Rounds:
    """A thread that makes rounds, and in between settles what has become due in the ledger.

    It sleeps on the catalog's condition, so that a change of the ledger changes what it waits for.
    """

    def __init__(
        self,
        changed: threading.Condition,
        next_due: Callable[[float], float | None],
        settle: Callable[[], AbstractContextManager[object]],
    ) -> None:
        self._changed, self._next_due, self._settle = changed, next_due, settle
        self._rounds: list[Round] = []
        self._is_stopped = False
        self._thread = threading.Thread(target=self._run, name="model-catalog", daemon=True)

    def start(self, rounds: Iterable[Round]) -> None:
        """Begin."""
        now = time.monotonic()
        self._rounds = list(rounds)
        for round_ in self._rounds:
            round_.due = now + round_.first
        self._thread.start()

    def retire(self) -> None:
        """Make no more rounds; what becomes due in the ledger is still settled."""
        with self._changed:
            self._rounds = []
            self._changed.notify_all()

    def stop(self) -> None:
        """End the thread."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        while not self._is_stopped:
            for round_ in list(self._rounds):
                _make(round_)
            with self._settle():
                pass
            self._sleep()

    def _sleep(self) -> None:
        with self._changed:
            if self._is_stopped:
                return
            now = time.monotonic()
            dues = [round_.due for round_ in self._rounds] + [self._next_due(now)]
            due = min((due for due in dues if due is not None), default=None)
            if due is None or due > now:
                self._changed.wait(None if due is None else due - now)


def _make(round_: Round) -> None:
    if round_.due is None or round_.due > time.monotonic():
        return
    guarded(round_.work)
    round_.due = time.monotonic() + round_.period if round_.period > 0 else None
