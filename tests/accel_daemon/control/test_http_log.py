"""What strangers' requests that are no HTTP leave in the log."""

from __future__ import annotations

import asyncio
import logging

import pytest
from aiohttp import web

from accel_daemon.control.http_log import LOG
from accel_daemon.control.server import serving

MALFORMED = [
    b"GET /healthz H\x7f\xff\r\n\r\n",
    b"POST >\x0c HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nA\x1f: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 10_000 + b"\r\n\r\n",
]


@pytest.mark.parametrize("request_bytes", MALFORMED)
def test_a_request_that_cannot_be_read(
    request_bytes: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Is answered with status 400, and nothing of it stands in the log."""

    async def ask() -> bytes:
        async with serving(web.Application(), "127.0.0.1", 0) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request_bytes)
            answer = await reader.readline()
            writer.close()
            return answer

    with caplog.at_level(logging.DEBUG):
        answer = asyncio.run(ask())

    assert b" 400 " in answer
    assert "Traceback" not in caplog.text
    assert "Error handling request" not in caplog.text


def test_what_else_goes_wrong_stands_there(caplog: pytest.LogCaptureFixture) -> None:
    """A defect is no malformed request."""
    with caplog.at_level(logging.DEBUG):
        LOG.error("failed", exc_info=ValueError("a defect"))
    assert "a defect" in caplog.text
