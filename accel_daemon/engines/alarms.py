"""Ends work whose time is over, from one thread beside all that work.

Handing a run to a thread of an engine, and waiting for it, takes longer than a small graph does. So
the engine works in its caller's thread, and here is who stops it when that takes too long.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

_AGAIN_SECONDS = 0.01


class Alarm:
    """One piece of work.

    Attributes:
        at: when it is to be stopped, by the monotonic clock.
        ring: stops it. Called again and again until the alarm is cleared, because work that is
            just about to begin cannot be stopped yet.
    """

    __slots__ = ("at", "ring")

    def __init__(self, at: float, ring: Callable[[], None]) -> None:
        self.at, self.ring = at, ring


class Alarms:
    """All alarms that are set. Setting and clearing one wakes no other thread, as a rule."""

    def __init__(self) -> None:
        self._set: dict[Alarm, None] = {}
        self._ringing = threading.Lock()
        self._news = threading.Event()
        self._thread: threading.Thread | None = None
        # When the thread looks next; it is told of alarms before that.
        self._next = math.inf
        self._told = -math.inf

    def set(self, at: float, ring: Callable[[], None]) -> Alarm:
        """Call `ring` from then on; `math.inf` for not before `hasten`."""
        alarm = Alarm(at, ring)
        self._set[alarm] = None
        if at < self._next:
            self._told = at
            self._wake()
        return alarm

    def clear(self, alarm: Alarm) -> None:
        """The work is over: afterwards nobody rings."""
        with self._ringing:
            self._set.pop(alarm, None)

    def hasten(self, alarm: Alarm) -> None:
        """Ring now."""
        alarm.at = -math.inf
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        with self._ringing:
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="alarms", daemon=True)
                self._thread.start()

    def _watch(self) -> None:
        while True:
            self._news.clear()
            self._next = math.inf  # until it is known again, whoever comes says so
            now = time.monotonic()
            at = self._ring_due(now)
            if at == math.inf and self._told > now:
                at = self._told  # although it is cleared already: the next call's is much the same
            self._next = at
            self._news.wait(None if at == math.inf else max(at - time.monotonic(), 0.0))

    def _ring_due(self, now: float) -> float:
        """Ring what is due; when to look next."""
        following = math.inf
        for alarm in list(self._set):
            if alarm.at > now:
                following = min(following, alarm.at)
                continue
            following = min(following, now + _AGAIN_SECONDS)
            with self._ringing:
                if alarm in self._set:
                    alarm.ring()
        return following


ALARMS = Alarms()
"""Those of this process."""
