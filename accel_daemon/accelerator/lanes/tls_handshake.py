"""Lanes over TCP: the accelerator's own certificate, TLS 1.3 and nothing older."""

from __future__ import annotations

import os
import socket
import ssl

from accel_protocol.errors import ConfigurationError
from accel_protocol.lanes import TLS_PROTOCOL

_OPTIONS = (("TCP_NODELAY", 1), ("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))


class TlsHandshake:
    """See `listener.Handshake`. Each new connection is shown the newest certificate.

    Args:
        certificate_pem: the leaf (and chain).
        private_key_pem: its key.

    Raises:
        ConfigurationError: they cannot be used.
    """

    def __init__(self, certificate_pem: str, private_key_pem: str) -> None:
        self._context = _context(certificate_pem, private_key_pem)

    def show(self, certificate_pem: str, private_key_pem: str) -> None:
        """Show this certificate from now on."""
        self._context = _context(certificate_pem, private_key_pem)

    def prepare(self, connection: socket.socket) -> ssl.SSLSocket:
        """See `Handshake.prepare`."""
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _OPTIONS:
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        return self._context.wrap_socket(
            connection, server_side=True, do_handshake_on_connect=False
        )

    def shake(self, connection: socket.socket) -> bool:
        """See `Handshake.shake`: whether it speaks TLS, and means a lane."""
        assert isinstance(connection, ssl.SSLSocket)
        try:
            connection.do_handshake()
        except (OSError, ValueError):
            return False
        return connection.selected_alpn_protocol() == TLS_PROTOCOL


def _context(certificate_pem: str, private_key_pem: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols([TLS_PROTOCOL])
    context.num_tickets = 0  # nothing is ever pending on a lane between two calls
    # Python reads pairs from files only. This one is in memory, and has no name on any disk.
    descriptor = os.memfd_create("lane-certificate", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, (private_key_pem + "\n" + certificate_pem).encode())
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError("The certificate cannot be used for lanes.") from error
    finally:
        os.close(descriptor)
    return context
