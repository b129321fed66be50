"""What a disk does wrong, as errors that callers may see; and what outlives a power cut."""

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


def put_in_place(path: Path, final: Path) -> None:
    """Rename a file so that a power cut leaves it whole, under one name or the other."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
    path.replace(final)
    sync_folder(final.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def free_bytes(folder: Path) -> int:
    """What this process may still write to the disk of a folder."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize
