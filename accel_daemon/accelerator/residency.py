"""Which loaded graphs may stay: least recently used first out, by the bytes they take. Pure.

Graphs that share their memory stay or go together.

Thread-safe, because runs on lanes pin their graphs on threads of their own.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from accel_protocol.errors import ModelError


@dataclass
class _Group:
    """Graphs in the order of loading, and the bytes that they take together."""

    size: int = 0
    members: list[bytes] = field(default_factory=list)


class Residency:
    """Accounts for loaded graphs, and for what runs on them take.

    Args:
        capacity_bytes: what everything together may take; None for no bound of our own.
    """

    def __init__(self, capacity_bytes: int | None) -> None:
        self._capacity = capacity_bytes
        self._without_pressure = capacity_bytes
        self._pressure: int | None = None
        # The least recently used first; a graph that shares nothing is a group of its own.
        self._groups: OrderedDict[Hashable, _Group] = OrderedDict()
        self._group_of: dict[bytes, Hashable] = {}
        self._pins: dict[bytes, int] = {}
        self._running = 0
        self._lock = threading.RLock()

    @property
    def used_bytes(self) -> int:
        """Bytes of all loaded graphs, and of what runs on them."""
        with self._lock:
            return sum(group.size for group in self._groups.values()) + self._running

    def bytes_of(self, graph_id: bytes) -> int:
        """Bytes of a loaded graph; 0 when it is not loaded.

        What graphs share counts for the one of them that was loaded first.
        """
        with self._lock:
            group = self._groups.get(self._group_of.get(graph_id))
            return group.size if group is not None and group.members[0] == graph_id else 0

    def bytes_with(self, graph_id: bytes) -> int:
        """Bytes of a loaded graph and of those that share with it."""
        with self._lock:
            return self.bytes_together(self._group_of.get(graph_id))

    def bytes_together(self, group: Hashable) -> int:
        """Bytes of all graphs that share this; 0 when there are none."""
        with self._lock:
            return self._groups[group].size if group in self._groups else 0

    def sharers_of(self, group: Hashable) -> list[bytes]:
        """The loaded graphs that share this."""
        with self._lock:
            return list(self._groups[group].members) if group in self._groups else []

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

    def add(self, graph_id: bytes, size: int, group: Hashable = None) -> None:
        """A graph was loaded.

        Args:
            graph_id: its id.
            size: the bytes that it takes; together with those that share with it, if any.
            group: what they share; None for nothing.
        """
        with self._lock:
            self.remove(graph_id)
            key = graph_id if group is None else group
            self._group_of[graph_id] = key
            one = self._groups.setdefault(key, _Group())
            one.size = size
            one.members.append(graph_id)

    def remove(self, graph_id: bytes) -> None:
        """A graph was unloaded."""
        with self._lock:
            key = self._group_of.pop(graph_id, None)
            if key is not None:
                self._groups[key].members.remove(graph_id)
                if not self._groups[key].members:
                    del self._groups[key]

    def remove_idle(self, graph_id: bytes) -> bool:
        """Take out a graph that is to be unloaded, unless a call runs on it; whether it did."""
        with self._lock:
            if graph_id in self._pins:
                return False
            self.remove(graph_id)
            return True

    def pin(self, graph_id: bytes) -> bool:
        """A call runs on it: not to be evicted; it becomes the most recently used.

        Answers whether it is loaded. It counts as pinned in either case.
        """
        with self._lock:
            self._pins[graph_id] = self._pins.get(graph_id, 0) + 1
            is_loaded = graph_id in self._group_of
            if is_loaded:
                self._groups.move_to_end(self._group_of[graph_id])
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
            for group in self._groups.values():
                if size <= 0:
                    break
                if not any(graph_id in self._pins for graph_id in group.members):
                    chosen += group.members
                    size -= group.size
        return chosen
