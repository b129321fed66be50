"""TFRecord files that a log goes to, one after the other."""

from __future__ import annotations

import contextlib
import io
import os
import time
from pathlib import Path

from client_runtime.serving_wire.records import write_record

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)


class LogFiles:
    """A log's files: the prefix, then the time, the process and a number.

    Only their owner may read them: they hold what clients sent. Not thread-safe.
    """

    def __init__(self, prefix: Path, max_bytes: int) -> None:
        """A record that would make a file larger than `max_bytes` begins the next one."""
        self._prefix, self._max_bytes = prefix, max_bytes
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
        return self._file


def _write(file: int, data: memoryview) -> None:
    while data:
        data = data[os.write(file, data) :]
