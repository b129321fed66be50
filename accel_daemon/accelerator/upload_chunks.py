"""How one Upload is cut into chunks: each costs much the same, so that small ones are counted."""

from __future__ import annotations

from accel_protocol.limits import SMALL_BYTES, Limits


class UploadChunks:
    """Counts what one Upload call sends."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._small = 0
        self._files = 0

    def count(self, size: int, ends_file: bool) -> None:
        """Count a chunk of `size` bytes.

        Raises:
            LimitError: too many small chunks that end no file, or more files than a bundle has.
        """
        if ends_file:
            self._files += 1
            self._limits.check("bundle_files", self._files)
        elif size < SMALL_BYTES:
            self._small += 1
            self._limits.check("upload_small_chunks", self._small)
