"""Which loaded graphs may stay: least recently used first out, by measured bytes. Pure."""

from __future__ import annotations

from collections import OrderedDict

from accel_protocol.errors import ModelError


class Residency:
    """Accounts for loaded graphs.

    Args:
        capacity_bytes: what all graphs together may take; None for no bound of our own.
    """

    def __init__(self, capacity_bytes: int | None) -> None:
        self._capacity = capacity_bytes
        self._without_pressure = capacity_bytes
        self._bytes: OrderedDict[bytes, int] = OrderedDict()
        self._pins: dict[bytes, int] = {}

    @property
    def used_bytes(self) -> int:
        """Measured bytes of all loaded graphs."""
        return sum(self._bytes.values())

    def set_pressure(self, pressure_bytes: int | None) -> None:
        """Leave so much at most from now on; None: as much as at first. See `to_evict`."""
        bounds = (self._without_pressure, pressure_bytes)
        self._capacity = min((one for one in bounds if one is not None), default=None)

    def check_fits(self, size: int) -> None:
        """Check that a graph fits when no other is there.

        Raises:
            ModelError: it is larger than the capacity (MODEL_TOO_LARGE).
        """
        if self._capacity is not None and size > self._capacity:
            raise ModelError(
                f"The model takes {size} bytes, and the accelerator has {self._capacity} for it.",
                reason="MODEL_TOO_LARGE",
                fields={"needed_bytes": str(size), "limit_bytes": str(self._capacity)},
            )

    def add(self, graph_id: bytes, size: int) -> None:
        """A graph was loaded and took `size` bytes."""
        self._bytes[graph_id] = size

    def remove(self, graph_id: bytes) -> None:
        """A graph was unloaded."""
        self._bytes.pop(graph_id, None)

    def pin(self, graph_id: bytes) -> None:
        """A call runs on it: not to be evicted; it becomes the most recently used."""
        self._pins[graph_id] = self._pins.get(graph_id, 0) + 1
        if graph_id in self._bytes:
            self._bytes.move_to_end(graph_id)

    def unpin(self, graph_id: bytes) -> None:
        """That call ended."""
        left = self._pins[graph_id] - 1
        if left:
            self._pins[graph_id] = left
        else:
            del self._pins[graph_id]

    def to_evict(self) -> list[bytes]:
        """Idle graphs to unload, oldest first, until the rest fits (or only pinned ones stay)."""
        if self._capacity is None:
            return []
        excess = self.used_bytes - self._capacity
        chosen: list[bytes] = []
        for graph_id, size in self._bytes.items():
            if excess <= 0:
                break
            if graph_id not in self._pins:
                chosen.append(graph_id)
                excess -= size
        return chosen
