"""The file of API keys on disk: read again as soon as it has changed."""

from __future__ import annotations

import logging
import os
import stat
import threading
from pathlib import Path

from accel_protocol.errors import Status
from client_runtime.serving.access.api_keys import ApiKey, parse_keys
from client_runtime.serving.statuses import ServingError

_log = logging.getLogger(__name__)
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH

_Stamp = tuple[int, int, int]


class KeyFile:
    """The keys of a file, as they are now. Thread-safe.

    Raises:
        ServingError: the file cannot be used (at the start; later the last good keys stay).
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._lock = threading.Lock()
        self._seen = self._stamp()
        try:
            self._keys = self._read()
        except (OSError, ValueError) as error:
            raise ServingError(
                Status.FAILED_PRECONDITION, f"The API keys of {path} cannot be used: {error}"
            ) from None

    def current(self) -> tuple[ApiKey, ...]:
        """All of them."""
        stamp = self._stamp()
        with self._lock:
            if stamp != self._seen:
                self._seen = stamp
                self._read_again()
            return self._keys

    def _read_again(self) -> None:
        try:
            self._keys = self._read()
        except (OSError, ValueError) as error:
            _log.error("the API keys of %s stay as they were: %s", self._path, error)
        else:
            _log.info("read %d API keys from %s", len(self._keys), self._path)

    def _read(self) -> tuple[ApiKey, ...]:
        with self._path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & _OTHERS_WRITE:
                raise ValueError("other users can change the file (chmod go-w)")
            return parse_keys(file.read().decode())

    def _stamp(self) -> _Stamp | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino, status.st_size
