"""What is made of files, made again as soon as these have changed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from client_runtime.serving.statuses import ServingError

T = TypeVar("T")
_log = logging.getLogger(__name__)
_Stamp = tuple[int, int, int]


class Rereading(Generic[T]):
    """A value of files, as they are now; while they cannot be read, the last good one. Thread-safe.

    Args:
        what: the files hold, for the log.
        paths: of the files.
        read: makes the value; may raise OSError, ValueError and ServingError, here for the first
            value too.
    """

    def __init__(self, what: str, paths: Sequence[Path], read: Callable[[], T]) -> None:
        self._what, self._paths, self._read = what, paths, read
        self._lock = threading.Lock()
        self._seen = self._stamps()
        self._value = read()

    def current(self) -> T:
        """The value."""
        stamps = self._stamps()
        with self._lock:
            if stamps != self._seen:
                self._seen = stamps
                self._read_again()
            return self._value

    def _read_again(self) -> None:
        try:
            self._value = self._read()
        except (OSError, ValueError, ServingError) as error:
            _log.error("the %s of %s stay as they were: %s", self._what, self._paths[0], error)
        else:
            _log.info("read the %s of %s again", self._what, self._paths[0])

    def _stamps(self) -> list[_Stamp | None]:
        return [_stamp(path) for path in self._paths]


def _stamp(path: Path) -> _Stamp | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size
