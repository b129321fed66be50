"""Looks at this process and its host for what a plan depends on."""

from __future__ import annotations

import glob
import os
import sys
from pathlib import Path

import accel_daemon
from accel_daemon.machine_memory import MachineMemory
from accel_daemon.sandbox.host_paths import GPU_DEVICES
from accel_daemon.sandbox.plan import Facts


def find_facts(memory_bytes: int | None = None) -> Facts:
    """The facts, before anything is confined.

    Args:
        memory_bytes: what the process is to take at most; None for no bound but the machine's.
    """
    memory = MachineMemory(memory_bytes)
    prefixes = (sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix)
    return Facts(
        prefixes=tuple(dict.fromkeys(prefixes)),
        import_paths=tuple(one for one in sys.path if one),
        package_folder=str(Path(accel_daemon.__file__).parents[1]),
        environment=dict(os.environ),
        gpu_devices=tuple(sorted(path for one in GPU_DEVICES for path in glob.glob(one))),
        is_root=os.geteuid() == 0,
        user_ranges=_user_ranges(),
        memory_bytes=memory.look().total,
        memory_files=memory.group_files,
    )


def _user_ranges() -> tuple[tuple[int, int], ...]:
    """(first, count) of the user ids of this user namespace."""
    try:
        rows = [line.split() for line in Path("/proc/self/uid_map").read_text().splitlines()]
    except OSError:
        return ()
    return tuple((int(first), int(count)) for first, _, count in rows)
