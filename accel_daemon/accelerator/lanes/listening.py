"""The socket where lanes are accepted: made before the sandbox, which allows none to be made."""

from __future__ import annotations

import socket

_BACKLOG = 128


def open_listener(host: str, port: int) -> socket.socket:
    """A listening socket.

    Args:
        host: address or "localhost"; "" for all.
        port: 0 for any.

    Raises:
        OSError: it cannot be had.
    """
    is_six = ":" in host
    return socket.create_server(
        (host, port),
        family=socket.AF_INET6 if is_six else socket.AF_INET,
        backlog=_BACKLOG,
        dualstack_ipv6=host == "::" and socket.has_dualstack_ipv6(),
    )
