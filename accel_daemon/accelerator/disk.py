"""What a disk does wrong, as errors that callers may see; and how files there are told apart."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from accel_protocol.errors import AcceleratorError, BusyError, InternalError

_log = logging.getLogger(__name__)
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_RETRY = {"retry_after_ms": "1000"}
Version = tuple[int, int, int]
"""Of a file: its time of change in ns, its bytes, and its inode."""


def is_full(error: OSError) -> bool:
    """Whether it says that there is no room, by the disk, a quota or a limit of the process."""
    return error.errno in _FULL


def disk_full() -> BusyError:
    """What a caller is told when no room could be made."""
    message = "The accelerator's disk has no room for this model."
    return BusyError(message, reason="DISK_FULL", fields=_RETRY)


def typed(error: OSError) -> AcceleratorError:
    """The error that a caller may see: it names no path."""
    if is_full(error):
        return disk_full()
    _log.error("the store's disk failed: %s", os.strerror(error.errno or 0))
    return InternalError("The accelerator's store failed.")


@contextmanager
def disk_faults() -> Iterator[None]:
    """Whatever the disk does wrong inside leaves as an error that a caller may see.

    Raises:
        BusyError: the disk is full (DISK_FULL).
        InternalError: it failed otherwise.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, AcceleratorError):
            raise
        raise typed(error) from None


def version_of(file: Path | int) -> Version:
    """What changes when a file, given by its path or open, is written to.

    Kernels before 6.13 give writes within one tick of their clock, 10 ms at most, the same time.

    Raises:
        OSError: there is no such file.
    """
    status = os.stat(file)
    return status.st_mtime_ns, status.st_size, status.st_ino


def free_bytes(folder: Path) -> int:
    """What this process may still write to the disk of a folder."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize
