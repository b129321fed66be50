"""The heads of a Run stream's messages, RunStart and RunResult, as bytes.

A client calls with the same shapes over and over. What stays the same of a head is built once.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

from accel_protocol.frames import varint
from accel_protocol.limits import DEFAULT_LIMITS
from accel_protocol.payload import check_headers, headers_from_wire
from accel_protocol.tensors import TensorHeader
from accel_protocol.v1 import accelerator_pb2 as pb

_KEPT = 64


def start_head(graph_id: bytes, feeds: Sequence[TensorHeader], timeout_us: int) -> bytes:
    """RunStart.

    Args:
        graph_id: 32 bytes.
        feeds: in the order of the payload.
        timeout_us: microseconds left for the call; 0 for no bound.
    """
    head = _start(graph_id, tuple(feeds))
    return head + b"\x18" + varint(timeout_us) if timeout_us else head


@functools.lru_cache(_KEPT)
def _start(graph_id: bytes, feeds: tuple[TensorHeader, ...]) -> bytes:
    return pb.RunStart(graph_id=graph_id, feeds=_messages(feeds)).SerializeToString()


def result_head(fetches: Sequence[TensorHeader], timing: pb.Timing, repeatable: bool) -> bytes:
    """RunResult.

    Args:
        fetches: in the order of the payload.
        timing: where the call's time went.
        repeatable: whether running it again is harmless.
    """
    data = timing.SerializeToString()
    head = _result(tuple(fetches)) + b"\x12" + varint(len(data)) + data
    return head + b"\x18\x01" if repeatable else head


@functools.lru_cache(_KEPT)
def _result(fetches: tuple[TensorHeader, ...]) -> bytes:
    return pb.RunResult(fetches=_messages(fetches)).SerializeToString()


class ResultHead(NamedTuple):
    """RunResult, read: the fetches, the bytes of their payload, and all but the fetches."""

    fetches: tuple[TensorHeader, ...]
    total: int
    rest: pb.RunResult


def read_result(head: bytes) -> ResultHead:
    """Read RunResult, whose fetches most often are those of an answer before.

    Raises:
        DecodeError: it is none.
        LimitError, StreamError, FeedError: see `payload.check_headers`.
    """
    end = _end_of_fetches(head)
    rest = pb.RunResult.FromString(head[end:])
    if rest.fetches:  # written in another order, or longer
        return ResultHead(*_read_fetches.__wrapped__(head), rest)
    return ResultHead(*_read_fetches(head[:end]), rest)


def _end_of_fetches(head: bytes) -> int:
    """Where the short fetches end with which a head begins."""
    position = 0
    while position + 1 < len(head) and head[position] == 0x0A and head[position + 1] < 0x80:
        position += 2 + head[position + 1]
    return position if position <= len(head) else 0


@functools.lru_cache(_KEPT)
def _read_fetches(fetches: bytes) -> tuple[tuple[TensorHeader, ...], int]:
    headers = headers_from_wire(pb.RunResult.FromString(fetches).fetches)
    return headers, check_headers(headers, DEFAULT_LIMITS)


def _messages(headers: Sequence[TensorHeader]) -> list[pb.TensorHeader]:
    return [
        pb.TensorHeader(name=h.name, dtype=h.dtype, shape=h.shape, size=h.size)  # type: ignore[arg-type]
        for h in headers
    ]
