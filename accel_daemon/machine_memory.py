"""How much memory is left for this process: of the machine, of its control groups, of its limit.

Nothing here is exact: other programs take and free memory at the same time. So a reserve is kept,
for the daemon, for neighbours, and for what is taken between two looks.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accel_daemon.control_groups import MEMBERSHIP, MOUNTS, MemoryGroup, memory_groups

_MEMINFO, _STATM = "/proc/meminfo", "/proc/self/statm"
_PAGE = os.sysconf("SC_PAGE_SIZE")
_MOST_BYTES = 1 << 18
_RESERVED_PART = 16
_LEAST_RESERVE, _MOST_RESERVE = 256 << 20, 2 << 30


@dataclass(frozen=True)
class Bound:
    """One bound on memory, in bytes.

    Attributes:
        total: all that there may be.
        left: of it, what nobody has taken. May be negative.
        is_wall: whether the kernel ends someone where nothing is left.
    """

    total: int
    left: int
    is_wall: bool = True

    @property
    def reserve(self) -> int:
        """What is to be left over."""
        return min(max(self.total // _RESERVED_PART, _LEAST_RESERVE), _MOST_RESERVE)

    @property
    def room(self) -> int:
        """What may be taken. Negative where the reserve is touched."""
        return self.left - self.reserve


@dataclass(frozen=True)
class Memory:
    """What one look has shown: all bounds, of which there is one at least."""

    bounds: tuple[Bound, ...]

    @property
    def total(self) -> int:
        """Bytes that there may be at most."""
        return min(one.total for one in self.bounds)

    @property
    def room(self) -> int:
        """Bytes that may be taken; negative where a reserve is touched."""
        return min(one.room for one in self.bounds)

    @property
    def is_overdrawn(self) -> bool:
        """Whether more than half of a reserve is gone."""
        return any(one.room < -one.reserve // 2 for one in self.bounds)

    @property
    def is_critical(self) -> bool:
        """Whether that is so of a bound at which the kernel ends someone."""
        return any(one.is_wall and one.room < -one.reserve // 2 for one in self.bounds)

    @property
    def is_acute(self) -> bool:
        """Whether an eighth of a reserve is left, and the kernel is about to end someone."""
        return any(one.is_wall and one.left < one.reserve // 8 for one in self.bounds)


class MachineMemory:
    """Looks.

    Args:
        limit_bytes: what this process may take for itself; None for no such limit.
        root: of the file system, for tests.
    """

    def __init__(self, limit_bytes: int | None = None, root: str | Path = "") -> None:
        self._limit, self._root = limit_bytes, root
        total = self._machine().total
        groups = memory_groups(self._read(MEMBERSHIP), self._read(MOUNTS))
        # Looking costs time. A group without a bound is not looked at any more.
        self._groups = [one for one in groups if self._group(one, total) is not None]

    @property
    def group_files(self) -> tuple[str, ...]:
        """What of the control groups' files is read in a look."""
        return tuple(file for group in self._groups for file in group.files)

    def look(self) -> Memory:
        """What there is at this moment."""
        machine = self._machine()
        groups = (self._group(one, machine.total) for one in self._groups)
        bounds = [machine, *(one for one in groups if one is not None)]
        if self._limit is not None:
            bounds.append(Bound(self._limit, self._limit - self.taken(), is_wall=False))
        return Memory(tuple(bounds))

    def taken(self) -> int:
        """Bytes that this process has for itself: without libraries and other files in memory."""
        fields = self._read(_STATM).split()
        if len(fields) < 3:
            return int(_psutil().Process().memory_info().rss)
        return (int(fields[1]) - int(fields[2])) * _PAGE

    def _machine(self) -> Bound:
        lines = dict(_numbers(self._read(_MEMINFO)))
        try:
            return Bound(lines["MemTotal:"] << 10, lines["MemAvailable:"] << 10)
        except KeyError:  # not Linux, or a very old one
            memory = _psutil().virtual_memory()
            return Bound(memory.total, memory.available)

    def _group(self, group: MemoryGroup, machine_total: int) -> Bound | None:
        """None where the group has no bound below the machine's, or it cannot be read."""
        try:
            limit, usage = int(self._read(group.limit)), int(self._read(group.usage))
        except ValueError:
            return None
        if limit >= machine_total:
            return None
        freeable = dict(_numbers(self._read(group.statistics))).get(group.reclaimable, 0)
        return Bound(limit, limit - usage + freeable)

    def _read(self, path: str) -> str:
        """The text of a file; the system's own are short, or what matters stands in front."""
        try:
            descriptor = os.open(f"{self._root}{path}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return ""
        try:
            return os.read(descriptor, _MOST_BYTES).decode(errors="replace")
        except OSError:
            return ""
        finally:
            os.close(descriptor)


def give_back_freed() -> None:
    """Give the system what this process has freed and keeps: what of it is garbage, and the rest.

    The C library keeps what it was given back, for later use.
    """
    gc.collect()
    with contextlib.suppress(AttributeError, OSError):  # another C library than GNU's
        ctypes.CDLL(None).malloc_trim(0)


def _numbers(text: str) -> Iterator[tuple[str, int]]:
    """The first two words of each line whose second one is a number."""
    for line in text.splitlines():
        words = line.split()
        if len(words) > 1 and words[1].isdecimal():
            yield words[0], int(words[1])


def _psutil() -> Any:
    """Imported where /proc does not do: what a process imports before its sandbox is little."""
    import psutil

    return psutil
