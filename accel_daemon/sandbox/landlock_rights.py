"""What Landlock knows rights for, in the kernel's numbers. Pure.

The kernel's documentation calls the versions of the interface ABI: what an older one does not know,
it cannot forbid.
"""

from __future__ import annotations

from dataclasses import dataclass

# Below it a file cannot be linked into another folder, which the store does.
OLDEST_USABLE_ABI = 2
TCP_ABI = 4

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = (1 << bit for bit in range(4))
REMOVE_DIR, REMOVE_FILE = 1 << 4, 1 << 5
MAKE_CHAR, MAKE_DIR, MAKE_REG, MAKE_SOCK, MAKE_FIFO, MAKE_BLOCK, MAKE_SYM = (
    1 << bit for bit in range(6, 13)
)
REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
BIND_TCP, CONNECT_TCP = 1, 2
SCOPE_ABSTRACT_UNIX, SCOPE_SIGNAL = 1, 2

# Loading a library needs no right to execute: that one is for starting programs.
READ = READ_FILE | READ_DIR
# No links by name, devices, sockets or pipes are ever made in the store.
READ_WRITE = READ | WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | REFER | TRUNCATE
USE_DEVICE = READ | WRITE_FILE | IOCTL_DEV
FOR_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV


@dataclass(frozen=True)
class Handled:
    """All that is forbidden unless a rule allows it."""

    files: int
    network: int
    scopes: int


def handled(abi: int) -> Handled:
    """Everything that an ABI can forbid."""
    bits = 13 + (abi >= 2) + (abi >= 3) + (abi >= 5)
    return Handled(
        files=(1 << bits) - 1,
        network=BIND_TCP | CONNECT_TCP if abi >= TCP_ABI else 0,
        scopes=SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL if abi >= 6 else 0,
    )
