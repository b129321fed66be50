"""What an accelerator process is doing at this moment, in a small file that outlives the process.

The process writes it through a memory map, without a system call; the supervisor reads it to tell a
hang, and after a crash whose graphs were at work. The process runs strangers' graphs, so nothing in
the file is trusted: a lie in it can only harm the one tenant of that process.

    header  "ACFR", the number of slots, how often the event loop has shown that it lives
    slot    kind (0: free), graph id, when it began, when it has to be over

Times are seconds of CLOCK_MONOTONIC, which all processes of a host share.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import struct
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FILE_NAME = "flight-record"
MAX_SLOTS = 1024
_MAGIC = b"ACFR"
_HEADER = struct.Struct("<4sIQ")
_SLOT = struct.Struct("<B32s7xdd")
_DUE = struct.Struct("<d")
_KINDS = ("", "load", "run", "compile")


@dataclass(frozen=True)
class Work:
    """Something that an engine does: its kind, for which graph, since and until when."""

    kind: str
    graph_id: bytes
    began: float
    due: float


@dataclass(frozen=True)
class FlightRecord:
    """What was read.

    Attributes:
        beats: how often the event loop has shown that it lives.
        work: what engines do.
    """

    beats: int
    work: tuple[Work, ...]


def read_record(data: bytes) -> FlightRecord | None:
    """The record in a file's bytes; None where there is none. Never raises."""
    if len(data) < _HEADER.size:
        return None
    magic, slots, beats = _HEADER.unpack_from(data)
    if magic != _MAGIC or slots > MAX_SLOTS or len(data) < _size(slots):
        return None
    found = (_SLOT.unpack_from(data, _offset(index)) for index in range(slots))
    work = tuple(
        Work(_KINDS[kind], graph_id, began, due)
        for kind, graph_id, began, due in found
        if 0 < kind < len(_KINDS)
    )
    return FlightRecord(beats, work)


def read_file(path: Path) -> bytes:
    """The bytes of a record's file, no more than the longest one has; b"" where there is none."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        with open(os.open(path, flags), "rb", buffering=0) as file:
            return file.read(_size(MAX_SLOTS)) or b""
    except OSError:
        return b""


class FlightRecorder:
    """Writes the record of this process. Thread-safe.

    Args:
        path: of the file, which is made anew; None keeps the record in memory only.
        slots: how much can be at work at one time.

    Raises:
        OSError: the file cannot be written whole.
    """

    def __init__(self, path: Path | None, slots: int) -> None:
        slots = min(slots, MAX_SLOTS)
        self._map = _mapped(path, _size(slots))
        self._free = deque(range(slots))
        self._slots, self._beats = slots, 0
        self.beat()

    def beat(self) -> None:
        """Show that the event loop lives."""
        self._beats += 1
        _HEADER.pack_into(self._map, 0, _MAGIC, self._slots, self._beats)

    def expect(self, kind: str, graph_id: bytes, seconds: float) -> Entry:
        """An entry for work that may take so many seconds once it begins."""
        return Entry(self, _KINDS.index(kind), graph_id, seconds)

    def take(self) -> int | None:
        """A free slot; None where all are in use, and this work goes unrecorded."""
        try:
            return self._free.popleft()
        except IndexError:
            return None

    def write(self, slot: int, kind: int, graph_id: bytes, began: float, due: float) -> None:
        """Fill a slot."""
        _SLOT.pack_into(self._map, _offset(slot), kind, graph_id, began, due)

    def write_due(self, slot: int, due: float) -> None:
        """Change when it has to be over."""
        _DUE.pack_into(self._map, _offset(slot) + _SLOT.size - _DUE.size, due)

    def clear(self, slot: int) -> None:
        """Free a slot."""
        self._map[_offset(slot)] = 0
        self._free.append(slot)


class Entry:
    """One piece of work. It is at work inside `at_work`, on whichever thread that is."""

    def __init__(
        self, recorder: FlightRecorder, kind: int, graph_id: bytes, seconds: float
    ) -> None:
        self._recorder, self._kind, self._graph_id = recorder, kind, graph_id
        self._seconds = seconds
        self._slot: int | None = None
        self._due = float("inf")

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """The engine has it."""
        self.begin()
        try:
            yield
        finally:
            self.end()

    def begin(self) -> None:
        """The engine has it, until `end`."""
        began = time.monotonic()
        self._due = min(self._due, began + self._seconds)
        slot = self._recorder.take()
        if slot is not None:
            self._recorder.write(slot, self._kind, self._graph_id, began, self._due)
        self._slot = slot

    def end(self) -> None:
        """It is over."""
        slot, self._slot = self._slot, None
        if slot is not None:
            self._recorder.clear(slot)

    def end_within(self, seconds: float) -> None:
        """It was told to stop, and has to be over so soon."""
        self._due = min(self._due, time.monotonic() + seconds)
        slot = self._slot
        if slot is not None:
            self._recorder.write_due(slot, self._due)


def _mapped(path: Path | None, size: int) -> mmap.mmap:
    if path is None:
        return mmap.mmap(-1, size)
    flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        # Written and not only made longer: on a full disk a mapped hole would end the process.
        if os.write(descriptor, bytes(size)) < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return mmap.mmap(descriptor, size)
    finally:
        os.close(descriptor)


def _offset(slot: int) -> int:
    return _HEADER.size + slot * _SLOT.size


def _size(slots: int) -> int:
    return _offset(slots)
