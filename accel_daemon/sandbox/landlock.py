"""Landlock: which files and ports this thread, and all that it starts, may use from now on.

What the kernel's version of it does not know is left out here, and named by `plan.missing_layers`.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import stat
from collections.abc import Iterable, Iterator

from accel_daemon.sandbox import kernel
from accel_daemon.sandbox.landlock_rights import BIND_TCP, FOR_FILES, handled

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION = 1
_PATH_BENEATH, _NET_PORT = 1, 2


def supported_abi() -> int:
    """The kernel's ABI; 0 when it has no Landlock, it is switched off, or it is kept from us."""
    try:
        return kernel.system_call(_CREATE_RULESET, None, 0, _ASK_VERSION)
    except (OSError, AttributeError):
        return 0


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("files", ctypes.c_uint64),
        ("network", ctypes.c_uint64),
        ("scopes", ctypes.c_uint64),
    )


class _PathRule(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed", ctypes.c_uint64), ("descriptor", ctypes.c_int32))


class _PortRule(ctypes.Structure):
    _fields_ = (("allowed", ctypes.c_uint64), ("port", ctypes.c_uint64))


def restrict(abi: int, files: Iterable[tuple[str, int]], bind_ports: Iterable[int]) -> None:
    """Allow these paths with their rights, listening on these ports, and nothing else.

    Needs no_new_privs. A path that is not there is skipped.

    Raises:
        OSError: the kernel refused.
    """
    all_of_it = handled(abi)
    attributes = _Ruleset(all_of_it.files, all_of_it.network, all_of_it.scopes)
    size = ctypes.sizeof(attributes)
    ruleset = kernel.system_call(_CREATE_RULESET, ctypes.byref(attributes), size, 0)
    try:
        for path, rights in files:
            _allow_path(ruleset, path, rights & all_of_it.files)
        for port in bind_ports if all_of_it.network else ():
            rule = _PortRule(BIND_TCP, port)
            kernel.system_call(_ADD_RULE, ruleset, _NET_PORT, ctypes.byref(rule), 0)
        kernel.system_call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow_path(ruleset: int, path: str, rights: int) -> None:
    with _opened(path) as descriptor:
        if descriptor is None:
            return
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= FOR_FILES
        rule = _PathRule(rights, descriptor)
        kernel.system_call(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0)


@contextlib.contextmanager
def _opened(path: str) -> Iterator[int | None]:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)
