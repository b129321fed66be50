"""Writing the files that both sides keep in `$ACCEL_HOME`: keys, identities and profiles."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

PRIVATE = 0o600


def replace_file(
    path: Path, content: bytes, mode: int = PRIVATE, *, lasting: bool = True
) -> os.stat_result:
    """Replace a file in one step: it is there completely and with its mode, or as it was before.

    It is private from its first moment on, whatever the umask.

    Args:
        path: the file; its folder has to be there.
        content: all of it.
        mode: the file's permissions; only ever wider than private.
        lasting: whether it has to survive a power cut, which takes the disk some time.

    Returns:
        The new file's status.

    Raises:
        OSError: it cannot be written; nothing is left behind.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, PRIVATE)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(descriptor, mode)
            if lasting:
                os.fsync(descriptor)
            status = os.fstat(descriptor)
        temporary.rename(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    if lasting:
        _sync_folder(path.parent)
    return status


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
