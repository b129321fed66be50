"""A view of the file system in which folders that only root may enter can be reached by name.

An accelerator that becomes a user of its own cannot walk through folders like /root (mode 0700), in
which interpreters and homes often lie. Opening these folders to everyone would be wrong. So in a
mount namespace of the process's own, each of them is covered by an empty folder, and only what the
accelerator needs is bound into it, under its old name. Everything else in them is out of sight.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from accel_daemon.sandbox import kernel
from accel_daemon.sandbox.plan import outermost

_CLONE_NEWNS = 0x0002_0000
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_BIND, _MS_REC, _MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18


@dataclass(frozen=True)
class Cover:
    """A folder that is covered, and the folders below it that are bound into the cover."""

    folder: str
    bound: tuple[str, ...]


def needed_covers(paths: Iterable[str], is_closed: Callable[[str], bool]) -> list[Cover]:
    """The covers that make these folders reachable. Pure.

    Args:
        paths: absolute, without links by name in them.
        is_closed: whether other users may not walk through a folder.
    """
    below: dict[str, list[str]] = {}
    for path in outermost(paths):
        closed = next((one for one in _above(path) if is_closed(one)), None)
        if closed is not None:
            below.setdefault(closed, []).append(path)
    return [Cover(folder, tuple(bound)) for folder, bound in below.items()]


def _above(path: str) -> list[str]:
    """The folders above a path, from the root on."""
    parts = path.strip("/").split("/")[:-1]
    return ["/" + "/".join(parts[:count]) for count in range(1, len(parts) + 1)]


def put_up(covers: Iterable[Cover], aliases: Iterable[tuple[str, str]]) -> None:
    """Change this process's view. It is as before when that fails.

    Args:
        covers: what is covered and bound.
        aliases: (name, target) of links by name that a cover may have hidden.

    Raises:
        OSError: this process may not do that.
    """
    original = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    mask = os.umask(0o022)
    try:
        kernel.unshare(_CLONE_NEWNS)
        try:
            kernel.mount("none", "/", None, _MS_REC | _MS_PRIVATE)
            for cover in covers:
                _put_up(cover)
            for name, target in aliases:
                _link(name, target)
        except OSError:
            kernel.setns(original, _CLONE_NEWNS)
            raise
    finally:
        os.umask(mask)
        os.close(original)


def _put_up(cover: Cover) -> None:
    sources = {path: os.open(path, os.O_PATH | os.O_CLOEXEC) for path in cover.bound}
    flags = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
    try:
        kernel.mount("accelerator", cover.folder, "tmpfs", flags, "mode=0755,size=1m")
        for path, descriptor in sources.items():
            os.makedirs(path)
            kernel.mount(f"/proc/self/fd/{descriptor}", path, None, _MS_BIND | _MS_REC)
    finally:
        for descriptor in sources.values():
            os.close(descriptor)


def _link(name: str, target: str) -> None:
    if not os.path.lexists(name):
        os.makedirs(os.path.dirname(name), exist_ok=True)
        os.symlink(target, name)
