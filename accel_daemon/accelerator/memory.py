"""What may be in an accelerator's memory: graphs and the runs on them. Pure.

On `host` idle graphs are evicted above the capacity and nothing is refused. On an emulated type the
capacity is the type's memory: what does not fit alone is refused for good, what does not fit beside
that which runs at present is refused for now.
"""

from __future__ import annotations

from collections import OrderedDict

from accel_daemon.accelerator.emulation import Emulation, too_large
from accel_daemon.accelerator.residency import Residency
from accel_protocol.errors import BusyError

_RETRY_AFTER_MS = 100
_MOST_REMEMBERED = 1024


class AcceleratorMemory:
    """The graphs that are in memory, and what runs on them take.

    Args:
        capacity_bytes: for all graphs together, on `host`; None for no bound of our own.
        emulation: the type whose memory bounds them instead; None on `host`.
    """

    def __init__(self, capacity_bytes: int | None, emulation: Emulation | None = None) -> None:
        if emulation is not None:
            capacity_bytes = emulation.published.memory_bytes
        self._emulation = emulation
        self.residency = Residency(capacity_bytes)
        self._refused: OrderedDict[bytes, int] = OrderedDict()

    def check_remembered(self, graph_id: bytes) -> None:
        """Refuse a graph that was found too large before.

        Raises:
            ModelError: MODEL_TOO_LARGE.
        """
        if self._emulation is not None and graph_id in self._refused:
            raise too_large(self._emulation.published, self._refused[graph_id])

    def check_files(self, size: int) -> None:
        """Refuse a graph on `host` whose files alone are more than pressure leaves.

        On an emulated type the files say nothing yet: they hold more than the graph that is wanted
        of them, and what it needs is weighed.

        Raises:
            ModelError: MODEL_TOO_LARGE.
        """
        if self._emulation is None:
            self.residency.check_pressure(size)

    def admit_graph(self, graph_id: bytes, needed: int) -> list[bytes]:
        """The idle graphs to unload before one that needs so many bytes is loaded.

        Raises:
            ModelError: MODEL_TOO_LARGE, it does not fit alone; that the type is too small for it
                is remembered.
            BusyError: it does not fit beside the graphs that run at present.
        """
        if self._emulation is None:
            return []
        if needed > self._emulation.published.memory_bytes:
            self._refused[graph_id] = needed
            while len(self._refused) > _MOST_REMEMBERED:
                self._refused.popitem(last=False)
            raise too_large(self._emulation.published, needed)
        self.residency.check_pressure(needed)
        return self._make_room(needed)

    def admit_run(self, graph_id: bytes, needed: int) -> list[bytes]:
        """The idle graphs to unload before a run on a loaded graph that needs so many bytes.

        Raises:
            ModelError: MODEL_TOO_LARGE, graph and run do not fit alone.
            BusyError: they do not fit beside what runs at present.
        """
        if self._emulation is None:
            return []
        together = self.residency.bytes_of(graph_id) + needed
        if together > self._emulation.published.memory_bytes:
            raise too_large(self._emulation.published, together, needed)
        self.residency.check_pressure(together)
        return self._make_room(needed)

    def _make_room(self, needed: int) -> list[bytes]:
        victims = self.residency.to_evict(needed)
        if not self.residency.has_room(needed, without=victims):
            raise BusyError(
                "What runs at present leaves too little of the accelerator's memory.",
                fields={"retry_after_ms": str(_RETRY_AFTER_MS)},
            )
        return victims
