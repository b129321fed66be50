"""TFRecord files that a log goes to, one after the other."""

from __future__ import annotations

import contextlib
import io
import os
import re
import time
from pathlib import Path

from client_runtime.serving_wire.records import write_record

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
# Time, process and number.
_SUFFIX = r"-(\d{8}T\d{6}Z)-(\d+)-(\d+)\.tfrecord"


class LogFiles:
    """A log's files: the prefix, then the time, the process and a number.

    Only their owner may read them: they hold what clients sent. Not thread-safe.
    """

    def __init__(self, prefix: Path, max_bytes: int, max_files: int = 0) -> None:
        """A record that would make a file larger than `max_bytes` begins the next one.

        Of all files of this prefix, also of processes before, the `max_files` newest are kept; 0
        for all.
        """
        self._prefix, self._max_bytes, self._max_files = prefix, max_bytes, max_files
        self._file: int | None = None
        self._bytes = self._number = 0

    def append(self, data: bytes) -> None:
        """Write one record; it is in the file when this returns.

        Raises:
            OSError: it could not be written, and no part of it is left in the file.
        """
        record = io.BytesIO()
        write_record(record, data)
        size = record.tell()
        if self._bytes and self._bytes + size > self._max_bytes:
            self.close()
        file = self._file if self._file is not None else self._open()
        try:
            _write(file, record.getbuffer())
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(file, self._bytes)
            self.close()
            raise
        self._bytes += size

    def close(self) -> None:
        """End the present file; the next record begins another one."""
        if self._file is not None:
            os.close(self._file)
        self._file, self._bytes = None, 0

    def _open(self) -> int:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        name = f"{self._prefix.name}-{stamp}-{os.getpid()}-{self._number}.tfrecord"
        self._file = os.open(self._prefix.with_name(name), _FLAGS, 0o600)
        self._number += 1
        if self._max_files > 0:
            self._remove_old()
        return self._file

    def _remove_old(self) -> None:
        pattern = re.compile(re.escape(self._prefix.name) + _SUFFIX)
        found = [
            (_age(match), path)
            for path in self._prefix.parent.iterdir()
            if (match := pattern.fullmatch(path.name))
        ]
        for _, path in sorted(found)[: -self._max_files]:
            with contextlib.suppress(OSError):
                path.unlink()


def _age(match: re.Match[str]) -> tuple[str, int, int]:
    """What sorts files by their age."""
    return match[1], int(match[2]), int(match[3])


def _write(file: int, data: memoryview) -> None:
    while data:
        data = data[os.write(file, data) :]
