"""Bodies that are compressed, in both directions, and how much of all bodies is held.

Pure.
"""

from __future__ import annotations

import contextlib
import gzip
import zlib
from collections.abc import Callable, Iterator

from accel_protocol.errors import Status
from client_runtime.serving.statuses import ServingError, invalid

# Answers that are smaller are not worth compressing.
WORTH_BYTES = 1024
_LEVEL = 1  # the fastest: texts of numbers shrink to less than half even so
_GZIP = 16 + zlib.MAX_WBITS
_MAGIC = b"\x1f\x8b"


class TooLargeError(Exception):
    """A body has more bytes than may be."""


def unpacked(body: bytes, most: int) -> bytes:
    """What a compressed body holds.

    Args:
        body: all of it; one that something in front has unpacked already is left as it is.
        most: bytes that it may hold.

    Raises:
        TooLargeError: it holds more.
        ServingError: it is no gzip.
    """
    if not body.startswith(_MAGIC):
        return body
    parts: list[bytes] = []
    left = most
    while body:
        unpacker = zlib.decompressobj(_GZIP)
        try:
            part = unpacker.decompress(body, left + 1)
        except zlib.error as error:
            raise invalid(f"The body is no gzip: {error}") from None
        left -= len(part)
        if left < 0:
            raise TooLargeError(f"The body holds more than {most} bytes.")
        if not unpacker.eof:
            raise invalid("The body ends within what is compressed.")
        parts.append(part)
        body = unpacker.unused_data
    return b"".join(parts)


def packed(body: bytes) -> bytes:
    """A body, compressed."""
    return gzip.compress(body, _LEVEL)


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether a client that sent this Accept-Encoding takes gzip."""
    for entry in accept_encoding.lower().split(","):
        name, _, parameter = entry.partition(";")
        if name.strip() == "gzip":
            weight = parameter.strip().removeprefix("q=")
            return weight.strip("0.") != "" or parameter.strip() == ""
    return False


class HeldBytes:
    """Counts the bytes of bodies in memory. For one thread."""

    def __init__(self, most: int) -> None:
        self._most, self._held = most, 0

    @contextlib.contextmanager
    def share(self) -> Iterator[Callable[[int], None]]:
        """One request's bytes, which are gone with the end of the `with`.

        Yields:
            What counts so many more bytes; raises a ServingError where there is no room for them.
        """
        taken = 0

        def take(size: int) -> None:
            nonlocal taken
            if self._held + size > self._most:
                raise ServingError(
                    Status.RESOURCE_EXHAUSTED,
                    f"Requests with {self._held} bytes are held already; try again later.",
                )
            self._held += size
            taken += size

        try:
            yield take
        finally:
            self._held -= taken
