"""What may be in an accelerator's memory: graphs and the runs on them. Pure.

On an emulated type the capacity is the type's memory, on `host` it is what the machine has left:
what does not fit alone is refused for good, what does not fit beside that which runs at present is
refused for now. What other programs of the machine have taken does not come back by waiting for us.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from accel_daemon.accelerator.emulation import (
    COPIES_OF_CONSTANTS,
    Emulation,
    mebibytes,
    too_large,
)
from accel_daemon.accelerator.residency import Residency
from accel_protocol.accelerator_types import HOST_TYPE
from accel_protocol.errors import BusyError, ModelError
from accel_protocol.manifest import BundleFile

_RETRY_AFTER_MS = 100
_MOST_REMEMBERED = 1024
# Of a graph's definition TensorFlow keeps several copies, and with them of all constants in it.
_DEFINITIONS = (".pb", ".pbtxt")
_SMALLER = "Use a smaller model, or a machine whose memory has more room."


class AcceleratorMemory:
    """The graphs that are in memory, and what runs on them take.

    Args:
        capacity_bytes: what idle graphs are evicted above, on `host`; None for no such bound.
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

    def admit_on_host(self, needed: int, room: int, *, is_freeing: bool = False) -> list[bytes]:
        """The idle graphs to unload before one that needs so many bytes is loaded on `host`.

        Ask again once they are unloaded: how much that has freed can only be measured.

        Args:
            needed: bytes.
            room: bytes that may be taken at present; negative where a reserve is touched.
            is_freeing: whether more may be free soon, because runs end.

        Raises:
            ModelError: MODEL_TOO_LARGE, it does not fit even without all graphs that are loaded.
            BusyError: it does not fit beside what runs at present.
        """
        if needed <= room:
            return []
        all_room = room + self.residency.used_bytes
        if needed > all_room and not is_freeing:
            raise too_large_for_host(needed, all_room)
        victims = self.residency.to_free(needed - room)
        if sum(map(self.residency.bytes_of, victims)) < needed - room:
            raise _busy()
        return victims

    def admit_run(self, graph_id: bytes, needed: int) -> list[bytes]:
        """The idle graphs to unload before a run on a loaded graph that needs so many bytes.

        Raises:
            ModelError: MODEL_TOO_LARGE, graph and run do not fit alone.
            BusyError: they do not fit beside what runs at present.
        """
        if self._emulation is None:
            return []
        together = self.residency.bytes_with(graph_id) + needed
        if together > self._emulation.published.memory_bytes:
            raise too_large(self._emulation.published, together, needed)
        self.residency.check_pressure(together)
        return self._make_room(needed)

    def _make_room(self, needed: int) -> list[bytes]:
        victims = self.residency.to_evict(needed)
        if not self.residency.has_room(needed, without=victims):
            raise _busy()
        return victims


def needed_on_host(files: Iterable[BundleFile]) -> int:
    """The bytes that a graph needs at least, told from its files.

    Variables take as much as their files. What they do not tell (variables that are made while the
    graph is loaded, and what runs take) is seen by `MemoryWatch`.
    """
    return sum(
        file.size * (COPIES_OF_CONSTANTS if file.name.endswith(_DEFINITIONS) else 1)
        for file in files
    )


def too_large_for_host(needed: int, room: int) -> ModelError:
    """The refusal of a graph for which there is no room, however many others were unloaded."""
    room = max(0, room)
    return ModelError(
        f"The model needs at least {mebibytes(needed)} of memory, "
        f"and the accelerator's machine has {mebibytes(room, down=True)} for it.",
        reason="MODEL_TOO_LARGE",
        remedy=_SMALLER,
        fields={
            "needed_bytes": str(needed),
            "limit_bytes": str(room),
            "accelerator_type": HOST_TYPE,
        },
    )


def ran_out(grown: int) -> ModelError:
    """What the caller of work is told that was stopped for want of memory.

    Args:
        grown: bytes by which the process has grown since the work began.
    """
    return ModelError(
        f"The accelerator's memory ran out: it took {mebibytes(grown)} more during this call.",
        reason="MODEL_TOO_LARGE",
        remedy=f"{_SMALLER[:-1]}, or smaller feeds.",
        fields={"needed_bytes": str(grown), "accelerator_type": HOST_TYPE},
    )


def _busy() -> BusyError:
    return BusyError(
        "What runs at present leaves too little of the accelerator's memory.",
        fields={"retry_after_ms": str(_RETRY_AFTER_MS)},
    )
