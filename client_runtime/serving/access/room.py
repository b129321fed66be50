"""How many requests may be on their way at once, whichever door they came through."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from accel_protocol.errors import Status
from client_runtime.serving.statuses import ServingError


class Room:
    """Room for requests. Thread-safe.

    Args:
        places: for so many; 0: for any number.
    """

    def __init__(self, places: int = 0) -> None:
        self._places, self._taken = places, 0
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """One request's place, until the end of the `with`.

        Raises:
            ServingError: all places are taken (RESOURCE_EXHAUSTED).
        """
        with self._lock:
            if 0 < self._places <= self._taken:
                raise ServingError(
                    Status.RESOURCE_EXHAUSTED,
                    f"{self._places} requests are being answered already; try again later.",
                )
            self._taken += 1
        try:
            yield
        finally:
            with self._lock:
                self._taken -= 1
