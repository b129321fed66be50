"""Notices that the other side of a lane is gone while the lane's own thread is inside an engine."""

from __future__ import annotations

import contextlib
import select
import threading
from collections.abc import Callable

_ENDS = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR | select.EPOLLONESHOT


class HangUps:
    """One thread that waits for the ends of connections. Linux only."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._told: dict[int, Callable[[], None]] = {}
        threading.Thread(target=self._watch, name="hang-ups", daemon=True).start()

    def watch(self, descriptor: int, tell: Callable[[], None]) -> None:
        """Call `tell` once, on another thread, when the other side has closed this connection."""
        self._told[descriptor] = tell
        self._epoll.register(descriptor, _ENDS)

    def forget(self, descriptor: int) -> None:
        """Do not; before the descriptor is closed."""
        self._told.pop(descriptor, None)
        with contextlib.suppress(OSError):
            self._epoll.unregister(descriptor)

    def _watch(self) -> None:
        while True:
            for descriptor, _ in self._epoll.poll():
                tell = self._told.get(descriptor)
                if tell is not None:
                    tell()
