"""Free ports that stay free while a process is started again.

A port that the system chooses lies among those that it also gives to outgoing connections, so when
an accelerator ends, anybody's connection may get it before it is back. These ports lie lower.
"""

from __future__ import annotations

import random
import socket
from pathlib import Path

_OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST, _ATTEMPTS = 10_000, 64


def lasting_port(host: str, outgoing: Path = _OUTGOING) -> int:
    """A port of `host` that nobody uses now; 0, for any, where none can be told.

    Args:
        host: name or address to listen on.
        outgoing: the file in which Linux tells the first and last port of outgoing connections.
    """
    try:
        first_outgoing = int(outgoing.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 0
    if first_outgoing <= _LOWEST:
        return 0
    choices = random.sample(
        range(_LOWEST, first_outgoing), min(_ATTEMPTS, first_outgoing - _LOWEST)
    )
    return next((port for port in choices if _is_free(host, port)), 0)


def _is_free(host: str, port: int) -> bool:
    try:
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for family, kind, protocol, _, address in found:
            with socket.socket(family, kind, protocol) as probe:
                probe.bind(address)
    except OSError:
        return False
    return True
