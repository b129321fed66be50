"""One file while it arrives; whatever happens, it can be gone on with, or begun anew."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from accel_daemon.accelerator.disk import Version, disk_faults, disk_full, is_full, version_of
from accel_protocol.errors import ModelError, StreamError
from accel_protocol.tensors import Buffer

_READ_BYTES = 1 << 20


class BlobUpload:
    """One file while it arrives. `close` it, whole or not; what arrived stays for later.

    Args:
        partial: the unfinished file.
        final: its place when it is whole.
        sha256: the announced digest.
        size: the announced size.
        make_room: called when the disk is full; tells whether so many bytes were freed.
        closed: called once nothing arrives any more: with the version of the whole file that was
            verified and put in its place, or None.

    Raises:
        OSError: the unfinished file cannot be opened, or read.
    """

    def __init__(
        self,
        partial: Path,
        final: Path,
        sha256: str,
        size: int,
        make_room: Callable[[int], bool],
        closed: Callable[[Version | None], None],
    ) -> None:
        self._partial, self._final = partial, final
        self.sha256, self._size = sha256, size
        self._make_room, self._closed = make_room, closed
        self._digest = hashlib.sha256()
        self._version: Version | None = None
        # Not buffered: what `append` took is in the file, and no `close` has to write.
        self._stream = partial.open("ab", buffering=0)
        try:
            _update_from_file(self._digest, partial)
        except OSError:
            # What cannot be read cannot be gone on with: the next upload begins anew.
            self._stream.close()
            partial.unlink(missing_ok=True)
            raise
        self._offset = self._stream.seek(0, os.SEEK_END)

    def close(self) -> None:
        """Stop receiving."""
        try:
            with suppress(OSError):
                self._stream.close()
        finally:
            self._closed(self._version)

    def append(self, offset: int, data: Buffer) -> bool:
        """Take the next chunk; True when the file is whole, verified and in its place.

        Raises:
            StreamError: a gap, an overlap, an empty chunk, or more bytes than announced.
            ModelError: the digest is not the announced one (DIGEST_MISMATCH).
            BusyError: the disk is full (DISK_FULL); what came before this chunk stays.
            InternalError: the disk failed.
        """
        if offset != self._offset:
            raise StreamError(f"A chunk starts at {offset}, and {self._offset} was expected.")
        if self._offset + len(data) > self._size:
            raise StreamError(f"A file announced {self._size} bytes and sent more.")
        if not data and self._size:
            raise StreamError("A chunk carries no bytes.")
        with disk_faults():
            self._write(data)
        self._digest.update(data)
        self._offset += len(data)
        return self._offset == self._size and self._finish()

    def _write(self, data: Buffer) -> None:
        """Write all of it, making room where there is none; or leave the file as it was."""
        while True:
            try:
                self._write_once(data)
                return
            except OSError as error:
                self._take_back()
                if not is_full(error):
                    raise
            if not self._make_room(len(data)):
                raise disk_full()

    def _write_once(self, data: Buffer) -> None:
        left = memoryview(data)
        while left:
            left = left[self._stream.write(left) :]

    def _take_back(self) -> None:
        """Cut the file to what was hashed; where that fails too, it begins anew."""
        try:
            self._stream.truncate(self._offset)
        except OSError:
            self._partial.unlink(missing_ok=True)
            raise

    def _finish(self) -> bool:
        if self._digest.hexdigest() != self.sha256:
            with disk_faults():
                self._partial.unlink(missing_ok=True)
            raise ModelError("A file's content has another digest.", reason="DIGEST_MISMATCH")
        with disk_faults():
            version = version_of(self._stream.fileno())
            self._partial.replace(self._final)
        self._version = version
        return True


def _update_from_file(digest: hashlib._Hash, path: Path) -> None:
    with path.open("rb") as stream:
        while chunk := stream.read(_READ_BYTES):
            digest.update(chunk)
