"""A real TCP proxy between clients and one accelerator, which can be told to misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine
from typing import Any

_CHUNK = 1 << 14
_HARD_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: a reset instead of an orderly end


class Proxy:
    """Listens on a port of its own on 127.0.0.1; an event loop in a thread moves the bytes.

    Attributes:
        upstream: "HOST:PORT" to connect to; may change at any time.
        address: "HOST:PORT" to connect to for clients.
        cuts: how many connections were cut so far.
    """

    def __init__(self) -> None:
        self.upstream = ""
        self.cuts = 0
        self._loop = asyncio.new_event_loop()
        self._pairs: dict[asyncio.StreamWriter, asyncio.StreamWriter] = {}
        self._passing = asyncio.Event()
        self._passing.set()
        self._is_refusing = False
        self._until_cut: int | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self._do(self._listen())
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def cut(self) -> None:
        """Reset all connections."""
        self._do(self._cut())

    def cut_after(self, count: int) -> None:
        """Reset all connections when so many bytes more have gone to the accelerator."""
        self._until_cut = count

    def stall(self) -> None:
        """Let nothing pass until `go_on`."""
        self._loop.call_soon_threadsafe(self._passing.clear)

    def refuse(self) -> None:
        """Accept no connection until `go_on`; those that are open stay."""
        self._is_refusing = True

    def go_on(self) -> None:
        """Behave again."""
        self._is_refusing = False
        self._until_cut = None
        self._loop.call_soon_threadsafe(self._passing.set)

    def close(self) -> None:
        """End all connections and the thread."""
        self.go_on()
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, what: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(30)

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def _end(self) -> None:
        self._server.close()
        await self._cut()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)

    async def _cut(self) -> None:
        for writers in list(self._pairs.items()):
            self.cuts += 1
            for writer in writers:
                _reset(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = self.upstream.rpartition(":")
        try:
            if self._is_refusing:
                return
            there, onward = await asyncio.open_connection(host, int(port))
        except (OSError, ValueError):
            return
        else:
            self._pairs[writer] = onward
            await asyncio.gather(
                self._move(reader, onward, counts=True), self._move(there, writer, counts=False)
            )
        finally:
            self._pairs.pop(writer, None)
            _reset(writer)

    async def _move(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, counts: bool
    ) -> None:
        """Copy until one side ends, which ends the other."""
        with contextlib.suppress(OSError):
            while data := await source.read(_CHUNK):
                await self._passing.wait()
                if counts and self._until_cut is not None:
                    self._until_cut -= len(data)
                    if self._until_cut <= 0:
                        self._until_cut = None
                        target.write(data[: len(data) // 2])
                        await self._cut()
                        return
                target.write(data)
                await target.drain()
        target.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _HARD_CLOSE)
    writer.transport.abort()
