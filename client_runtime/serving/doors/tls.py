"""TLS of both doors: PEM texts, from TensorFlow Serving's SSLConfig or from files of their own."""

from __future__ import annotations

import ssl
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from accel_protocol.errors import Status
from client_runtime.discovery.profile import home
from client_runtime.serving.flags.settings import Settings
from client_runtime.serving.statuses import ServingError, invalid
from client_runtime.serving.text_files import read_text_file
from client_runtime.serving_wire import server_config_pb2

# Written by `accel-daemon certificate`.
FOLDER = "serving"
CERTIFICATE_FILE = "certificate.pem"
KEY_FILE = "key.pem"


@dataclass(frozen=True)
class Tls:
    """What a door shows and asks for.

    Attributes:
        certificate, key: PEM.
        client_ca: PEM of who must have signed the clients' certificates; "" to ask for none.
    """

    certificate: str
    key: str = field(repr=False)
    client_ca: str = ""

    def grpc_credentials(self) -> grpc.ServerCredentials:
        """For the gRPC server."""
        pair = (self.key.encode(), self.certificate.encode())
        return grpc.ssl_server_credentials(
            [pair],
            root_certificates=self.client_ca.encode() or None,
            require_client_auth=bool(self.client_ca),
        )

    def ssl_context(self) -> ssl.SSLContext:
        """For the REST server.

        Raises:
            ServingError: certificate and key do not belong together, or are none.
        """
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            # The ssl module reads files only; this folder is private, and gone at once.
            with tempfile.TemporaryDirectory() as folder:
                pair = Path(folder, "pair.pem")
                pair.touch(0o600)
                pair.write_text(f"{self.key}\n{self.certificate}")
                context.load_cert_chain(pair)
            if self.client_ca:
                context.load_verify_locations(cadata=self.client_ca)
                context.verify_mode = ssl.CERT_REQUIRED
        except ssl.SSLError as error:
            raise invalid(
                f"The TLS certificate, key or authority cannot be used: {error.reason}"
            ) from None
        return context


def grpc_tls(settings: Settings) -> Tls | None:
    """The TLS of the gRPC port; None for none.

    Raises:
        ServingError: what the flags name cannot be read or used.
    """
    tls = _chosen(settings)
    if tls is not None:
        tls.ssl_context()  # gRPC itself would start with any text, and refuse each client
    return tls


def rest_tls(settings: Settings, tls: Tls | None) -> Tls | None:
    """The TLS of the REST port: SSLConfig is for gRPC alone, as in the original, unless asked."""
    return tls if settings.rest_tls or not settings.ssl_config_file else None


def _chosen(settings: Settings) -> Tls | None:
    if settings.ssl_config_file:
        return _of_ssl_config(settings.ssl_config_file)
    client_ca = _pem(settings.tls_client_ca_file) if settings.tls_client_ca_file else ""
    if settings.tls_cert_file:
        return Tls(_pem(settings.tls_cert_file), _pem(settings.tls_key_file), client_ca)
    if not settings.tls:
        return None
    folder = home() / FOLDER
    if not (folder / CERTIFICATE_FILE).exists():
        raise ServingError(
            Status.FAILED_PRECONDITION,
            f"--tls: there is no {folder / CERTIFICATE_FILE}. `accel-daemon certificate NAME` "
            "makes it, on the daemon's machine.",
        )
    return Tls(_pem(folder / CERTIFICATE_FILE), _pem(folder / KEY_FILE), client_ca)


def _of_ssl_config(path: str) -> Tls:
    config = read_text_file(path, server_config_pb2.SSLConfig, is_secret=True)
    if config.client_verify and not config.custom_ca:
        raise invalid("SSLConfig: client_verify needs custom_ca.")
    client_ca = config.custom_ca if config.client_verify else ""
    return Tls(config.server_cert, config.server_key, client_ca)


def _pem(path: str | Path) -> str:
    try:
        return Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ServingError(Status.FAILED_PRECONDITION, f"{path} cannot be read: {why}") from None
