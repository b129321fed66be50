"""Putting a call's tensors together again from the messages they came in.

A pure state machine: feed it frames in order, it says when the call is whole. It allocates for a
tensor only after its header passed the limits, and never copies a payload that came in one piece.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import numpy as np

from accel_protocol import tensors
from accel_protocol.errors import StreamError
from accel_protocol.limits import Limits
from accel_protocol.tensors import Array, Buffer, TensorHeader

# TensorFlow and OpenVINO use memory that begins at such an address as it is, and copy any other.
_ALIGNMENT = 64


def aligned_bytes(size: int) -> memoryview:
    """Fresh memory of so many bytes, where engines can use it without a copy."""
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size].data


def headers_from_wire(messages: Iterable[object]) -> tuple[TensorHeader, ...]:
    """TensorHeader values of `accel.v1.TensorHeader` messages."""
    return tuple(
        TensorHeader(m.name, m.dtype, tuple(m.shape), m.size)  # type: ignore[attr-defined]
        for m in messages
    )


def check_headers(headers: Sequence[TensorHeader], limits: Limits) -> int:
    """Refuse headers that no honest peer sends; the bytes of the payload that they announce.

    Raises:
        LimitError, StreamError, FeedError: they are refused.
    """
    limits.check("call_tensors", len(headers))
    for header in headers:
        tensors.check_header(header, limits)
    total = sum(header.size for header in headers)
    limits.check("call_bytes", total)
    return total


class Assembly:
    """The tensors of one call in one direction, while they arrive.

    Args:
        headers: what the call's first message announced.
        limits: the receiver's bounds.
        total: what `check_headers` answered, where these headers were checked before.

    Raises:
        LimitError, StreamError, FeedError: the headers are refused.
    """

    def __init__(
        self, headers: Sequence[TensorHeader], limits: Limits, total: int | None = None
    ) -> None:
        self._headers = headers
        self._total = check_headers(headers, limits) if total is None else total
        self._received = 0
        self._whole: Buffer | None = None
        self._parts: list[memoryview] | None = None
        self._index = 0
        self._offset = 0

    @property
    def complete(self) -> bool:
        """Whether every announced byte has arrived."""
        return self._received == self._total

    def add(self, payload: memoryview) -> None:
        """Take the next bytes.

        Raises:
            StreamError: more bytes than announced, or an empty piece of an unfinished call.
        """
        self._received += len(payload)
        if self._received > self._total:
            raise StreamError(f"A call announced {self._total} bytes and sent more.")
        if self._parts is None and len(payload) == self._total:
            self._whole = payload
            return
        if not len(payload):
            raise StreamError("A message of an unfinished call carries no bytes.")
        self._scatter(payload)

    def _scatter(self, payload: memoryview) -> None:
        while len(payload):
            room = self._next_room()
            taken = min(len(room), len(payload))
            room[:taken] = payload[:taken]
            payload = payload[taken:]
            self._advance(taken)

    def room(self, size: int) -> memoryview:
        """Where the next bytes belong, at most so many; `filled` says that they are there.

        Raises:
            StreamError: more bytes than announced.
        """
        if self._received + size > self._total:
            raise StreamError(f"A call announced {self._total} bytes and sent more.")
        return self._next_room()[:size]

    def filled(self, count: int) -> None:
        """So many bytes were written to where `room` said."""
        self._received += count
        self._advance(count)

    def _next_room(self) -> memoryview:
        if self._parts is None:
            self._parts = [aligned_bytes(header.size) for header in self._headers]
        while self._offset == len(self._parts[self._index]):
            self._index, self._offset = self._index + 1, 0
        return self._parts[self._index][self._offset :]

    def _advance(self, count: int) -> None:
        self._offset += count

    def arrays(self, *, writable: bool) -> dict[str, Array]:
        """The finished tensors by name; views of what arrived unless `writable` asks for more.

        Raises:
            StreamError: two tensors of one name, or malformed strings.
        """
        result: dict[str, Array] = {}
        for header, data in zip(self._headers, self._slices(), strict=True):
            array = tensors.decode(header, data)
            if writable and not array.flags.writeable:
                array = array.copy()
            result[header.name] = array
        if len(result) != len(self._headers):
            raise StreamError("A call names one tensor twice.")
        return result

    def _slices(self) -> list[Buffer]:
        if self._parts is not None:
            return list(self._parts)
        view = memoryview(self._whole if self._whole is not None else b"")
        if len(self._headers) == 1:
            return [view]
        ends = itertools.accumulate((header.size for header in self._headers), initial=0)
        return [view[a:b] for a, b in itertools.pairwise(ends)]
