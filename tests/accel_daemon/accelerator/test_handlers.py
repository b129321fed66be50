"""Requests that are no messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from accel_daemon.accelerator.handlers import UNREADABLE, readable, reader
from accel_protocol.errors import StreamError
from accel_protocol.methods import METHODS
from accel_protocol.v1 import accelerator_pb2 as pb


@pytest.mark.parametrize("name", METHODS)
def test_what_is_no_message(name: str) -> None:
    """Is read without an error, which gRPC would log, and refused when it is its turn."""
    request = reader(METHODS[name])(b"\x0a\x05a")
    assert request is UNREADABLE
    with pytest.raises(StreamError):
        readable(request)


def test_a_message() -> None:
    """Is itself."""
    request = pb.UnloadRequest(graph_id=b"g")
    assert readable(reader(METHODS["Unload"])(request.SerializeToString())) == request


def test_a_stream() -> None:
    """Goes on until the first one that is none."""
    taken: list[Any] = []

    async def requests() -> AsyncIterator[Any]:
        for one in (1, 2, UNREADABLE, 3):
            yield one

    async def take() -> None:
        async for one in readable(requests()):
            taken.append(one)

    with pytest.raises(StreamError):
        asyncio.run(take())
    assert taken == [1, 2]
