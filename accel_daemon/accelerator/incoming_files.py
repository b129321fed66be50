"""The files of one Upload: chunks are taken from the network while those before are written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from accel_daemon.accelerator.blob_upload import BlobUpload
from accel_daemon.accelerator.store import BundleStore
from accel_daemon.accelerator.upload_chunks import UploadChunks
from accel_protocol.errors import StreamError
from accel_protocol.limits import SMALL_BYTES, Limits
from accel_protocol.upload_frames import Chunk
from accel_protocol.v1 import accelerator_pb2 as pb

# What waits while a thread is at work, in pieces: it is to find the next one when it is done.
_WAITING_PIECES = 3


class IncomingFiles:
    """Takes the chunks of one Upload call. Belongs to one event loop.

    Args:
        store: gets the files.
        limits: bound chunks and files.

    Attributes:
        stored: files that this call made whole.
    """

    def __init__(self, store: BundleStore, limits: Limits) -> None:
        self._store = store
        self._most_waiting = _WAITING_PIECES * limits.piece_bytes
        self._chunks = UploadChunks(limits)
        self._upload: BlobUpload | None = None
        self._waiting: list[Chunk] = []
        self._waiting_bytes = 0
        self._work: asyncio.Task[None] | None = None
        self.stored: list[pb.Blob] = []

    async def receive(self, chunks: AsyncIterator[Chunk], came: Callable[[int], None]) -> None:
        """Take all chunks.

        Args:
            chunks: as they come.
            came: told of each chunk's bytes.

        Raises:
            AcceleratorError: see `BundleStore.receive`, `BlobUpload.append` and `UploadChunks`.
        """
        try:
            async for chunk in chunks:
                came(len(chunk.data))
                await self._add(chunk)
            if self._work is not None:
                await asyncio.shield(self._work)
        finally:
            await self._close()

    async def _add(self, chunk: Chunk) -> None:
        self._waiting.append(chunk)
        # What is small is not for nothing either.
        self._waiting_bytes += max(chunk.message_bytes, SMALL_BYTES)
        work = self._work
        if work is not None and (work.done() or self._waiting_bytes >= self._most_waiting):
            await asyncio.shield(work)  # which raises what went wrong
        if self._waiting and (work is None or work.done()):
            self._work = asyncio.create_task(self._drain())

    async def _drain(self) -> None:
        """Let threads take what waits, until nothing does."""
        while self._waiting:
            batch, self._waiting, self._waiting_bytes = self._waiting, [], 0
            await asyncio.to_thread(self._take, batch)

    def _take(self, batch: list[Chunk]) -> None:
        for chunk in batch:
            sha256 = digest_of(chunk.blob)
            if self._upload is not None and self._upload.sha256 != sha256:
                self._end_file()
            if self._upload is None:
                self._upload = self._store.receive(sha256, chunk.blob.size)
            whole = self._upload.append(chunk.offset, chunk.data)
            self._chunks.count(len(chunk.data), whole)
            if whole:
                self.stored.append(chunk.blob)
                self._end_file()

    def _end_file(self) -> None:
        upload, self._upload = self._upload, None
        if upload is not None:
            upload.close()

    async def _close(self) -> None:
        """Let go of the last file, once no thread is at it any more; what came is kept before."""
        if self._work is None:
            return
        if self._work.done():
            self._close_after(self._work)
        else:
            self._work.add_done_callback(self._close_after)  # also where nobody waits for it
            await asyncio.wait([self._work])

    def _close_after(self, work: asyncio.Task[None]) -> None:
        self._end_file()
        if not work.cancelled():
            work.exception()  # looked at, so that asyncio does not complain


def digest_of(blob: pb.Blob) -> str:
    """A file's digest in hexadecimal digits.

    Raises:
        StreamError: it is none.
    """
    if len(blob.sha256) != 32:
        raise StreamError("A digest has 32 bytes.")
    return blob.sha256.hex()
