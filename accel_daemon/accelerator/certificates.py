"""The certificate that a listening accelerator shows: it can be replaced while streams go on."""

from __future__ import annotations

import grpc


class ShownCertificate:
    """The current pair of key and certificate; connections made after `show` see another one.

    gRPC asks at every TLS handshake, from threads of its own: the pair is one object that is
    replaced as a whole.

    Args:
        certificate_pem: the leaf (and chain).
        private_key_pem: its key.
    """

    def __init__(self, certificate_pem: str, private_key_pem: str) -> None:
        self._current = _configuration(certificate_pem, private_key_pem)

    def show(self, certificate_pem: str, private_key_pem: str) -> None:
        """Show this certificate from now on."""
        self._current = _configuration(certificate_pem, private_key_pem)

    def credentials(self) -> grpc.ServerCredentials:
        """What a server listens with."""
        return grpc.dynamic_ssl_server_credentials(self._current, lambda: self._current)


def _configuration(
    certificate_pem: str, private_key_pem: str
) -> grpc.ServerCertificateConfiguration:
    pair = (private_key_pem.encode(), certificate_pem.encode())
    return grpc.ssl_server_certificate_configuration([pair])
