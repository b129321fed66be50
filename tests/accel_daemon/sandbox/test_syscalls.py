"""The table of system calls, against the kernel's own headers where they are installed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from accel_daemon.sandbox.syscalls import AARCH64, X86_64, Machine

HEADERS = [
    (X86_64, Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")),
    (AARCH64, Path("/usr/include/asm-generic/unistd.h")),
]


@pytest.mark.parametrize(("machine", "header"), HEADERS, ids=lambda one: getattr(one, "name", ""))
def test_numbers_are_the_kernels(machine: Machine, header: Path) -> None:
    """Every number that the header has is ours as well; newer calls are in no old header."""
    if not header.exists():
        pytest.skip(f"{header} is not installed")
    text = header.read_text()
    found = re.findall(r"^#\s*define\s+__NR(?:3264)?_(\w+)\s+(\d+)$", text, re.MULTILINE)
    theirs = {name: int(number) for name, number in found}
    newest = max(theirs.values())
    for name, number in machine.numbers.items():
        if number <= newest:
            assert theirs[name] == number, name
    assert len(theirs.keys() & machine.numbers.keys()) > 100


def test_numbers_are_told_apart() -> None:
    """No two calls of a machine share one."""
    for machine in (X86_64, AARCH64):
        assert len(set(machine.numbers.values())) == len(machine.numbers)
