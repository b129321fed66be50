"""An accelerator's own user: which one it can be, and becoming it.

Only where the daemon runs as root. The store and the scratch folder are then given to that user,
and what it cannot reach is bound into its view (`mounts`). Where that is not possible, it stays
root, without any of root's powers.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator

from accel_daemon.sandbox import kernel, mounts
from accel_daemon.sandbox.plan import PACKAGES, SandboxPlan

CAP_CHOWN, CAP_SETGID, CAP_SETUID, CAP_SETPCAP = 0, 6, 7, 8
_NEEDED = frozenset({CAP_CHOWN, CAP_SETGID, CAP_SETUID})
_CAPABILITIES = 64


class NoOwnUserError(Exception):
    """The accelerator cannot have a user of its own; the message says why, for the log."""


def prepare(plan: SandboxPlan, uid: int) -> None:
    """See to it that a user can read its libraries, and that its folders are its own.

    Raises:
        NoOwnUserError: that is not possible.
    """
    if not kernel.permitted_capabilities() >= _NEEDED:
        raise NoOwnUserError("root's powers to change users or owners were taken away")
    unreadable = next(_unreadable(plan), None)
    if unreadable is not None:
        raise NoOwnUserError(f"{unreadable} is not readable by other users")
    _make_reachable([*plan.libraries, plan.store, plan.scratch])
    try:
        for folder in (plan.store, plan.scratch):
            _give(folder, uid)
    except OSError as error:
        raise NoOwnUserError(f"the store cannot be given to it ({error.strerror})") from None


def take_back(plan: SandboxPlan) -> None:
    """Make this process's user the owner of its folders again, where that is possible."""
    with contextlib.suppress(OSError):
        for folder in (plan.store, plan.scratch):
            _give(folder, os.geteuid())


def _make_reachable(paths: Iterable[str]) -> None:
    real = {one: os.path.realpath(one) for one in paths if os.path.isdir(one)}
    covers = mounts.needed_covers(real.values(), _is_closed)
    if not covers:
        return
    try:
        mounts.put_up(covers, [(name, target) for name, target in real.items() if name != target])
    except OSError as error:
        names = ", ".join(cover.folder for cover in covers)
        raise NoOwnUserError(f"{names} cannot be entered by others ({error.strerror})") from None


def _give(folder: str, uid: int) -> None:
    """The folder itself comes last, so that what was interrupted is done again."""
    if os.stat(folder, follow_symlinks=False).st_uid == uid:
        return
    for _, folders, files, descriptor in os.fwalk(folder, topdown=False):
        for name in (*folders, *files):
            os.chown(name, uid, uid, dir_fd=descriptor, follow_symlinks=False)
    os.chown(folder, uid, uid, follow_symlinks=False)


def become(uid: int | None, kept: frozenset[int]) -> None:
    """Become this user and group, or stay, with no capability but these, for good.

    Raises:
        OSError: the kernel refused.
    """
    permitted = kernel.permitted_capabilities()
    if CAP_SETPCAP in permitted:
        for one in range(_CAPABILITIES):
            _drop_from_bounding_set(one)
    if uid is not None:
        kernel.prctl(kernel.PR_SET_KEEPCAPS, 1 if kept else 0)
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        kernel.prctl(kernel.PR_SET_KEEPCAPS, 0)
    kernel.keep_capabilities(kept & permitted)


def _drop_from_bounding_set(capability: int) -> None:
    try:
        kernel.prctl(kernel.PR_CAPBSET_DROP, capability)
    except OSError:
        return  # a number that this kernel does not know


def _is_closed(folder: str) -> bool:
    return not os.stat(folder).st_mode & stat.S_IXOTH


def _unreadable(plan: SandboxPlan) -> Iterator[str]:
    """Folders of libraries, and what stands in them, that others cannot read."""
    packages = [os.path.join(path, one) for path in plan.listed for one in PACKAGES]
    for path in (*plan.import_paths, *packages):
        if not os.path.isdir(path):
            continue
        if not _is_readable(os.stat(path)):
            yield path
        if path not in plan.listed:
            with os.scandir(path) as entries:
                yield from (one.path for one in entries if not _entry_is_readable(one))


def _entry_is_readable(entry: os.DirEntry[str]) -> bool:
    try:
        return _is_readable(entry.stat())
    except OSError:
        return True  # a link to nowhere, which nothing imports


def _is_readable(status: os.stat_result) -> bool:
    wanted = 0o005 if stat.S_ISDIR(status.st_mode) else 0o004
    return status.st_mode & wanted == wanted
