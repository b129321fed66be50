"""Whose process is at the other end of a loopback connection, and may it have credentials? Pure.

Linux tells in /proc/net/tcp and tcp6, where every socket of the machine stands with its addresses
and the number of the user who opened it.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable

from accel_daemon.control.metadata.options import ALL_USERS

TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
ROOT = 0
# Only these sockets belong to a process for certain: the others are listed as root's when their
# process closed them.
_ESTABLISHED = "01"
_MAPPED = b"\0" * 10 + b"\xff\xff"

Address = tuple[str, int]


def may_have_credentials(users: str, own_user: int, peer_user: int | None) -> bool:
    """Whether a process may have the role's credentials.

    Args:
        users: "own" or "all", see MetadataOptions.
        own_user: the number of the daemon's user.
        peer_user: of the process's user; None when it cannot be told.
    """
    return users == ALL_USERS or (peer_user is not None and peer_user in (own_user, ROOT))


def user_of_peer(tables: Iterable[str], peer: Address, here: Address) -> int | None:
    """The number of the user whose socket this is; None when no table has it.

    Args:
        tables: the texts of TABLES, as many as there are.
        peer: the IPv4 address and port at the other end.
        here: the same at our end.
    """
    wanted = {(local, remote) for local, remote in zip(_names(peer), _names(here), strict=True)}
    for table in tables:
        for line in table.splitlines()[1:]:
            fields = line.split()
            if len(fields) < 8 or fields[3] != _ESTABLISHED:
                continue
            user = fields[7]
            if (fields[1], fields[2]) in wanted and user.isdecimal() and len(user) <= 10:
                return int(user)
    return None


def _names(address: Address) -> tuple[str, str]:
    """How the tables write an IPv4 address: as such, and as an IPv6 socket has it."""
    packed = ipaddress.IPv4Address(address[0]).packed
    port = f"{address[1]:04X}"
    return f"{_words(packed)}:{port}", f"{_words(_MAPPED + packed)}:{port}"


def _words(packed: bytes) -> str:
    """Network bytes as the kernel prints them: words of 32 bits in this machine's byte order."""
    return "".join(f"{word:08X}" for word in struct.unpack(f"={len(packed) // 4}I", packed))
