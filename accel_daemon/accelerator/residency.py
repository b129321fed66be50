"""Which loaded graphs may stay: least recently used first out, by the bytes they take. Pure.

Thread-safe, because runs on lanes pin their graphs on threads of their own.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from accel_protocol.errors import ModelError


class Residency:
    """Accounts for loaded graphs, and for what runs on them take.

    Args:
        capacity_bytes: what everything together may take; None for no bound of our own.
    """

    def __init__(self, capacity_bytes: int | None) -> None:
        self._capacity = capacity_bytes
        self._without_pressure = capacity_bytes
        self._pressure: int | None = None
        self._bytes: OrderedDict[bytes, int] = OrderedDict()
        self._pins: dict[bytes, int] = {}
        self._running = 0
        self._lock = threading.RLock()

    @property
    def used_bytes(self) -> int:
        """Bytes of all loaded graphs, and of what runs on them."""
        with self._lock:
            return sum(self._bytes.values()) + self._running

    def bytes_of(self, graph_id: bytes) -> int:
        """Bytes of a loaded graph; 0 when it is not loaded."""
        return self._bytes.get(graph_id, 0)

    def set_pressure(self, pressure_bytes: int | None) -> None:
        """Leave so much at most from now on; None: as much as at first. See `to_evict`."""
        self._pressure = pressure_bytes
        bounds = (self._without_pressure, pressure_bytes)
        self._capacity = min((one for one in bounds if one is not None), default=None)

    def check_pressure(self, size: int) -> None:
        """Check that a graph fits into what pressure leaves, when no other is there.

        Raises:
            ModelError: it is larger (MODEL_TOO_LARGE).
        """
        if self._pressure is not None and size > self._pressure:
            raise ModelError(
                f"The model takes {size} bytes, and the accelerator has {self._pressure} for it.",
                reason="MODEL_TOO_LARGE",
                fields={"needed_bytes": str(size), "limit_bytes": str(self._pressure)},
            )

    def add(self, graph_id: bytes, size: int) -> None:
        """A graph was loaded and took `size` bytes."""
        with self._lock:
            self._bytes[graph_id] = size

    def remove(self, graph_id: bytes) -> None:
        """A graph was unloaded."""
        with self._lock:
            self._bytes.pop(graph_id, None)

    def remove_idle(self, graph_id: bytes) -> bool:
        """Take out a graph that is to be unloaded, unless a call runs on it; whether it did."""
        with self._lock:
            if graph_id not in self._pins:
                self._bytes.pop(graph_id, None)
            return graph_id not in self._pins

    def pin(self, graph_id: bytes) -> bool:
        """A call runs on it: not to be evicted; it becomes the most recently used.

        Answers whether it is loaded. It counts as pinned in either case.
        """
        with self._lock:
            self._pins[graph_id] = self._pins.get(graph_id, 0) + 1
            is_loaded = graph_id in self._bytes
            if is_loaded:
                self._bytes.move_to_end(graph_id)
            return is_loaded

    def unpin(self, graph_id: bytes) -> None:
        """That call ended."""
        with self._lock:
            left = self._pins[graph_id] - 1
            if left:
                self._pins[graph_id] = left
            else:
                del self._pins[graph_id]

    @contextmanager
    def running(self, size: int) -> Iterator[None]:
        """A run takes `size` bytes besides its graph's."""
        self._running += size
        try:
            yield
        finally:
            self._running -= size

    def has_room(self, incoming: int, without: Iterable[bytes] = ()) -> bool:
        """Whether so many bytes fit in, once some graphs are unloaded."""
        freed = sum(map(self.bytes_of, without))
        return self._capacity is None or self.used_bytes - freed + incoming <= self._capacity

    def to_evict(self, incoming: int = 0) -> list[bytes]:
        """Idle graphs to unload, oldest first, until the rest fits (or only pinned ones stay).

        Args:
            incoming: bytes that have to fit in besides.
        """
        if self._capacity is None:
            return []
        return self.to_free(self.used_bytes + incoming - self._capacity)

    def to_free(self, size: int) -> list[bytes]:
        """Idle graphs to unload, oldest first, until so many bytes are free or none is left."""
        chosen: list[bytes] = []
        with self._lock:
            for graph_id, own in self._bytes.items():
                if size <= 0:
                    break
                if graph_id not in self._pins:
                    chosen.append(graph_id)
                    size -= own
        return chosen
