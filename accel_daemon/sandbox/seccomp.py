"""Loads a filter of system calls into the kernel, for all threads of this process."""

from __future__ import annotations

import ctypes
import os

from accel_daemon.sandbox import bpf, denied, kernel
from accel_daemon.sandbox.syscalls import MACHINES

_SECCOMP = {"x86_64": 317, "aarch64": 277}
_SET_MODE_FILTER, _GET_ACTION_AVAILABLE = 1, 2
_ALL_THREADS = 1


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def is_supported() -> bool:
    """Whether this kernel filters system calls, and the filter is made for this processor."""
    number = _SECCOMP.get(os.uname().machine)
    action = ctypes.c_uint32(bpf.KILL_PROCESS)
    try:
        return number is not None and not kernel.system_call(
            number, _GET_ACTION_AVAILABLE, 0, ctypes.byref(action)
        )
    except (OSError, AttributeError):
        return False


def restrict(groups: tuple[denied.Group, ...]) -> None:
    """Refuse these groups of system calls from now on. Needs no_new_privs.

    Raises:
        OSError: the kernel refused, or a thread of this process is confined otherwise.
    """
    machine = MACHINES[os.uname().machine]
    program = bpf.assemble(machine, denied.rules(groups))
    buffer = ctypes.create_string_buffer(bpf.packed(program))
    described = _Program(len(program), ctypes.addressof(buffer))
    thread = kernel.system_call(
        _SECCOMP[machine.name], _SET_MODE_FILTER, _ALL_THREADS, ctypes.byref(described)
    )
    if thread:
        raise OSError(0, f"thread {thread} cannot be confined")
