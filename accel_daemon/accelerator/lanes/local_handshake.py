"""Lanes on one host, for the user who runs the daemon: the kernel says who is on the other side."""

from __future__ import annotations

import socket

from accel_protocol.lanes import LOCAL_BUFFER_BYTES, user_of


class LocalHandshake:
    """See `listener.Handshake`.

    Args:
        uid: the only user who may.
    """

    def __init__(self, uid: int) -> None:
        self._uid = uid

    def prepare(self, connection: socket.socket) -> socket.socket:
        """See `Handshake.prepare`."""
        if user_of(connection) != self._uid:
            raise PermissionError("another user's")
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            connection.setsockopt(socket.SOL_SOCKET, option, LOCAL_BUFFER_BYTES)
        return connection

    def shake(self, connection: socket.socket) -> bool:
        """See `Handshake.shake`; everything is known."""
        return True
