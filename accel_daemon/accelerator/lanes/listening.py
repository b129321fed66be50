"""The sockets where lanes are accepted: made before the sandbox, which allows none to be made."""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import dataclass

from accel_protocol.lanes import local_address

_BACKLOG = 128


@dataclass(frozen=True)
class Listeners:
    """Where an accelerator accepts lanes.

    Attributes:
        tls: for lanes over TLS.
        local: for lanes on this host.
        local_name: its name.
        uid: the user who made them, before the sandbox made the process another one's.
    """

    tls: socket.socket
    local: socket.socket
    local_name: str
    uid: int

    @property
    def port(self) -> int:
        """Of `tls`."""
        return int(self.tls.getsockname()[1])

    def filenos(self) -> tuple[int, ...]:
        """Their descriptors."""
        return self.tls.fileno(), self.local.fileno()


def open_listeners(host: str, port: int) -> Listeners:
    """Listening sockets.

    Args:
        host: address or "localhost"; "" for all.
        port: 0 for any.

    Raises:
        OSError: they cannot be had.
    """
    tls = socket.create_server(
        (host, port),
        family=socket.AF_INET6 if ":" in host else socket.AF_INET,
        backlog=_BACKLOG,
        dualstack_ipv6=host == "::" and socket.has_dualstack_ipv6(),
    )
    try:
        name = f"accel-lane-{secrets.token_hex(16)}"
        local = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        local.bind(local_address(name))
        local.listen(_BACKLOG)
    except OSError:
        tls.close()
        raise
    return Listeners(tls, local, name, os.geteuid())
