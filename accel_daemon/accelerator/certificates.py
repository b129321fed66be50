"""The certificate that a listening accelerator shows: it can be replaced while streams go on."""

from __future__ import annotations

import threading
import time

import grpc

# gRPC creates a handshake in microseconds; this is what a handshake in the making is given.
_SETTLE_SECONDS = 0.1


class ShownCertificate:
    """The current pair of key and certificate; connections made after `show` see another one.

    gRPC asks at every TLS handshake, from threads of its own, and takes every answer for a new
    pair: it throws away the old one while another thread may be making a handshake of it, and
    the process ends there ("Check failed: prior > 0" with grpcio 1.85, under some thousand
    connections at once). So it is answered once for each pair, and no handshake is made just
    before or just after.

    Args:
        certificate_pem: the leaf (and chain).
        private_key_pem: its key.
    """

    def __init__(self, certificate_pem: str, private_key_pem: str) -> None:
        self._current = self._given = _configuration(certificate_pem, private_key_pem)
        self._asking = threading.Lock()
        self._settled_at = 0.0

    def show(self, certificate_pem: str, private_key_pem: str) -> None:
        """Show this certificate from now on."""
        self._current = _configuration(certificate_pem, private_key_pem)

    def credentials(self) -> grpc.ServerCredentials:
        """What a server listens with."""
        return grpc.dynamic_ssl_server_credentials(self._given, self.replacement)

    def replacement(self) -> grpc.ServerCertificateConfiguration | None:
        """The pair to go on with, or None where nothing has changed since the last answer."""
        with self._asking:
            time.sleep(max(0.0, self._settled_at - time.monotonic()))
            if self._current is self._given:
                return None
            time.sleep(_SETTLE_SECONDS)
            self._given = self._current
            self._settled_at = time.monotonic() + _SETTLE_SECONDS
            return self._given


def _configuration(
    certificate_pem: str, private_key_pem: str
) -> grpc.ServerCertificateConfiguration:
    pair = (private_key_pem.encode(), certificate_pem.encode())
    return grpc.ssl_server_certificate_configuration([pair])
