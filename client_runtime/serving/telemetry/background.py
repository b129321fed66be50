"""A thread that writes what others hand it without waiting, with a bound on what it holds."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

_Item = TypeVar("_Item")


class Background(Generic[_Item]):
    """Hands items to `work` in a thread of its own, as many at once as there are. Thread-safe."""

    def __init__(
        self,
        work: Callable[[list[_Item]], None],
        *,
        name: str,
        max_items: int,
        max_bytes: int | None = None,
    ) -> None:
        """`work` must not raise; the bounds are on items that were put and not yet worked on."""
        self._work, self._name = work, name
        self._max_items, self._max_bytes = max_items, max_bytes
        self._changed = threading.Condition()
        self._waiting: list[tuple[_Item, int]] = []
        self._items = self._bytes = 0
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def put(self, item: _Item, size: int = 0) -> bool:
        """Take an item of so many bytes; False where it would be over a bound, or it is closed."""
        with self._changed:
            if self._is_closed or self._items >= self._max_items:
                return False
            if self._max_bytes is not None and self._bytes + size > self._max_bytes:
                return False
            self._waiting.append((item, size))
            self._items += 1
            self._bytes += size
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            self._changed.notify()
            return True

    def close(self, seconds: float) -> bool:
        """Take no more; whether all that was taken was worked on in this time."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
            thread = self._thread
        if thread is None:
            return True
        thread.join(seconds)
        return not thread.is_alive()

    def _run(self) -> None:
        while taken := self._take():
            self._work([item for item, _ in taken])
            with self._changed:
                self._items -= len(taken)
                self._bytes -= sum(size for _, size in taken)

    def _take(self) -> list[tuple[_Item, int]]:
        """What waits; nothing once it is closed and all is done."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closed)
            taken, self._waiting = self._waiting, []
            return taken
