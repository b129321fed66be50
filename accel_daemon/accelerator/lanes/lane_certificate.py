"""The TLS of lanes: the accelerator's own certificate, TLS 1.3 and nothing older.

Each new connection gets the newest certificate. Unlike gRPC, Python's ssl asks for nothing at a
handshake, so a replacement is a new context.
"""

from __future__ import annotations

import os
import ssl

from accel_protocol.errors import ConfigurationError
from accel_protocol.lanes import TLS_PROTOCOL


class LaneCertificate:
    """The current TLS context.

    Raises:
        ConfigurationError: certificate or key cannot be used.
    """

    def __init__(self, certificate_pem: str, private_key_pem: str) -> None:
        self.context = _context(certificate_pem, private_key_pem)

    def show(self, certificate_pem: str, private_key_pem: str) -> None:
        """Show this certificate from now on."""
        self.context = _context(certificate_pem, private_key_pem)


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
        raise ConfigurationError(
            "The accelerator's certificate cannot be used for lanes."
        ) from error
    finally:
        os.close(descriptor)
    return context
