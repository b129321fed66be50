"""System calls that Python has no function for. Every failure is an OSError with its errno."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4

_CAPABILITY_VERSION_3 = 0x20080522
_CAPABILITY_BITS = 64

_libc = ctypes.CDLL(None, use_errno=True)


def system_call(number: int, *arguments: Any) -> int:
    """Call the kernel; arguments are integers, None, or what ctypes can point to.

    Raises:
        OSError: the kernel refused.
    """
    if sys.platform != "linux":  # where the numbers mean something else
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    converted = [_as_register(one) for one in arguments]
    _libc.syscall.restype = ctypes.c_long
    return _checked(_libc.syscall(ctypes.c_long(number), *converted))


def prctl(option: int, *arguments: int) -> int:
    """What the manual calls by this name; arguments that are left out are 0.

    Raises:
        OSError: the kernel refused.
    """
    four = [*arguments, 0, 0, 0, 0][:4]
    return _checked(_libc.prctl(ctypes.c_int(option), *map(ctypes.c_ulong, four)))


def mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    """What the manual calls by this name.

    Raises:
        OSError: the kernel refused.
    """
    words = [None if one is None else os.fsencode(one) for one in (source, target, kind, data)]
    _checked(_libc.mount(*words[:3], ctypes.c_ulong(flags), words[3]))


def unshare(flags: int) -> None:
    """What the manual calls by this name; Python has it from 3.12.

    Raises:
        OSError: the kernel refused.
    """
    _checked(_libc.unshare(ctypes.c_int(flags)))


def setns(descriptor: int, flags: int) -> None:
    """What the manual calls by this name; Python has it from 3.12.

    Raises:
        OSError: the kernel refused.
    """
    _checked(_libc.setns(ctypes.c_int(descriptor), ctypes.c_int(flags)))


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapabilityData(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def permitted_capabilities() -> frozenset[int]:
    """The numbers of the capabilities that this process may use."""
    header, data = _CapabilityHeader(_CAPABILITY_VERSION_3, 0), (_CapabilityData * 2)()
    _checked(_libc.capget(ctypes.byref(header), data))
    bits = data[0].permitted | data[1].permitted << 32
    return frozenset(one for one in range(_CAPABILITY_BITS) if bits >> one & 1)


def keep_capabilities(kept: frozenset[int]) -> None:
    """Give up all capabilities but these, of which each must be permitted.

    Raises:
        OSError: the kernel refused.
    """
    header, data = _CapabilityHeader(_CAPABILITY_VERSION_3, 0), (_CapabilityData * 2)()
    for one in kept:
        half = data[one // 32]
        half.effective |= 1 << one % 32
        half.permitted |= 1 << one % 32
    _checked(_libc.capset(ctypes.byref(header), data))


def _as_register(value: Any) -> Any:
    return ctypes.c_long(value) if isinstance(value, int) else value


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
