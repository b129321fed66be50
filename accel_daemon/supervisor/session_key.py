"""The key that seals session tokens, in a file of its own, so that sessions outlive a restart.

Removing the file, and starting the daemon again, ends all sessions.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from accel_daemon.home import write_private_file
from accel_daemon.iam.sessions import SESSION_KEY_BYTES, SessionIssuer
from accel_protocol.errors import ConfigurationError

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def load_or_create_session_key(path: Path) -> SessionIssuer:
    """The issuer with the file's key, which is made at the first time.

    Raises:
        ConfigurationError: the file cannot be read or written, is open to other users, or holds
            something else.
    """
    if not path.is_symlink() and not path.exists():
        write_private_file(path, secrets.token_bytes(SESSION_KEY_BYTES))
    try:
        with open(path, "rb", opener=_open_without_following) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_mode & _OTHERS:
                raise _refused("can be read or changed by other users")
            key = file.read(SESSION_KEY_BYTES + 1)
    except OSError as error:
        raise _refused(f"cannot be read ({error.strerror})") from None
    if len(key) != SESSION_KEY_BYTES:
        raise _refused("does not hold a session key")
    return SessionIssuer(key)


def _open_without_following(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _refused(problem: str) -> ConfigurationError:
    return ConfigurationError(
        f"The file of the session key {problem}.",
        remedy="Remove it, which ends all sessions; the next start makes another one.",
    )
