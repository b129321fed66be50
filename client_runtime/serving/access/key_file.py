"""The file of API keys on disk: read again as soon as it has changed."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from accel_protocol.errors import Status
from client_runtime.serving.access.api_keys import ApiKey, parse_keys
from client_runtime.serving.rereading import Rereading
from client_runtime.serving.statuses import ServingError

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class KeyFile:
    """The keys of a file, as they are now. Thread-safe.

    Raises:
        ServingError: the file cannot be used (at the start; later the last good keys stay).
    """

    def __init__(self, path: str) -> None:
        file = Path(path)
        try:
            self._keys = Rereading("API keys", [file], lambda: _read(file))
        except (OSError, ValueError) as error:
            raise ServingError(
                Status.FAILED_PRECONDITION, f"The API keys of {path} cannot be used: {error}"
            ) from None

    def current(self) -> tuple[ApiKey, ...]:
        """All of them."""
        return self._keys.current()


def _read(path: Path) -> tuple[ApiKey, ...]:
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_mode & _OTHERS_WRITE:
            raise ValueError("other users can change the file (chmod go-w)")
        return parse_keys(file.read().decode())
