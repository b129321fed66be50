"""Keep the identities in one file: a thin shell around the pure `iam.principals.Identities`.

The command line changes the file while the daemon runs. Changes are made under a lock and appear in
one rename, so a reader always sees a whole file; the daemon asks `changed()` now and then. The file
holds secrets: it is created with mode 0600, and one that others can read is refused.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from accel_daemon.iam.identity_file import from_json, to_json
from accel_daemon.iam.principals import NO_ACCOUNT, Identities
from accel_protocol.errors import ConfigurationError
from accel_protocol.private_files import replace_file

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_MAX_FILE_BYTES = 64 * 1024 * 1024

_Version = tuple[int, int, int]
_NEVER_LOADED: _Version = (-1, -1, -1)
_MISSING: _Version = (0, 0, 0)


class IdentityStore:
    """One file of identities, shared by processes; an instance belongs to one thread.

    All methods raise ConfigurationError when the file cannot be read or written, is malformed, or
    is open to other users.
    """

    def __init__(self, path: Path) -> None:
        """Touches nothing yet; the file and its folder are made by the first update."""
        self._path = path
        self._loaded = _NEVER_LOADED

    def load(self) -> Identities:
        """What the file holds; no users, in account 000000000000, when it is missing."""
        with _refusing():
            return self._load()

    def update(self, change: Callable[[Identities], Identities]) -> Identities:
        """Apply a change to what the file holds now, and give what it holds then.

        `change` runs under the lock of the file; when it raises, the file stays as it was.
        """
        with _refusing():
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _locked(self._path.with_name(f"{self._path.name}.lock")):
                changed = change(self._load())
                self._loaded = _version(replace_file(self._path, to_json(changed).encode()))
                return changed

    def changed(self) -> bool:
        """Whether the file is another one than at the last load or update, or none was loaded yet.

        An unreadable file counts as changed; load() then says what is wrong with it.
        """
        try:
            return _version(os.lstat(self._path)) != self._loaded
        except FileNotFoundError:
            return self._loaded != _MISSING
        except OSError:
            return True

    def _load(self) -> Identities:
        try:
            with open(self._path, "rb", opener=_open_without_following) as file:
                status = os.fstat(file.fileno())
                _check(status)
                text = file.read(_MAX_FILE_BYTES)
        except FileNotFoundError:
            self._loaded = _MISSING
            return Identities(NO_ACCOUNT)
        identities = from_json(_decode(text))
        # Only now: a file that could not be understood stays "changed", and is tried again.
        self._loaded = _version(status)
        return identities


def _open_without_following(path: str, flags: int) -> int:
    # O_NONBLOCK: a pipe in the file's place must not keep the daemon waiting.
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _check(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise _refused("is not a regular file")
    if status.st_mode & _OTHERS:
        raise _refused("can be read or changed by other users (chmod it to 600)")
    if status.st_size > _MAX_FILE_BYTES:
        raise _refused("is too large")


def _decode(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise _refused("is not UTF-8") from None


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock file of its own: the identities' file is replaced by each update."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _refused(f"cannot be read or written ({error.strerror})") from None


def _version(status: os.stat_result) -> _Version:
    return status.st_mtime_ns, status.st_size, status.st_ino


def _refused(problem: str) -> ConfigurationError:
    return ConfigurationError(
        f"The identities' file {problem}.", remedy="Repair it, or restore it from a backup."
    )
