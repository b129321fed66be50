"""TLS of both doors: PEM texts, from TensorFlow Serving's SSLConfig or from files of their own."""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from accel_protocol.errors import Status
from client_runtime.discovery.profile import home
from client_runtime.serving.flags.settings import Settings
from client_runtime.serving.rereading import Rereading
from client_runtime.serving.statuses import ServingError, invalid
from client_runtime.serving.text_files import read_text_file
from client_runtime.serving_wire import server_config_pb2

# Written by `accel-daemon certificate`.
FOLDER = "serving"
CERTIFICATE_FILE = "certificate.pem"
KEY_FILE = "key.pem"


@dataclass(frozen=True)
class Tls:
    """What a door shows and asks for, as it is now.

    Attributes:
        certificate, key: PEM.
        client_ca: PEM of who must have signed the clients' certificates; "" to ask for none.
    """

    certificate: str
    key: str = field(repr=False)
    client_ca: str = ""

    def grpc_configuration(self) -> grpc.ServerCertificateConfiguration:
        """For a gRPC server."""
        pair = (self.key.encode(), self.certificate.encode())
        return grpc.ssl_server_certificate_configuration([pair], self.client_ca.encode() or None)

    def ssl_context(self) -> ssl.SSLContext:
        """For a REST server.

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


class TlsFiles:
    """The TLS of files; each new connection has what is in them then. Thread-safe.

    Raises:
        ServingError: they cannot be read or used (at the start; later the last good TLS stays).
    """

    def __init__(self, paths: Sequence[Path], read: Callable[[], Tls]) -> None:
        def usable() -> tuple[Tls, ssl.SSLContext]:
            tls = read()
            # gRPC itself would take any text, and refuse each client.
            return tls, tls.ssl_context()

        self._files = Rereading("TLS certificates", paths, usable)

    def grpc_credentials(self) -> grpc.ServerCredentials:
        """For the gRPC server."""
        shown = self._files.current()[0]

        def changed() -> grpc.ServerCertificateConfiguration | None:
            nonlocal shown
            tls = self._files.current()[0]
            if tls == shown:
                return None
            shown = tls
            return tls.grpc_configuration()

        return grpc.dynamic_ssl_server_credentials(
            shown.grpc_configuration(), changed, bool(shown.client_ca)
        )

    def ssl_context(self) -> ssl.SSLContext:
        """For the REST server."""
        first = self._files.current()[1]

        def choose(connection: ssl.SSLSocket | ssl.SSLObject, *_: Any) -> None:
            connection.context = self._files.current()[1]

        first.sni_callback = choose
        return first


def grpc_tls(settings: Settings) -> TlsFiles | None:
    """The TLS of the gRPC port; None for none.

    Raises:
        ServingError: what the flags name cannot be read or used.
    """
    if config := settings.ssl_config_file:
        return TlsFiles([Path(config)], lambda: _of_ssl_config(config))
    certificate, key = settings.tls_cert_file, settings.tls_key_file
    if not certificate:
        if not settings.tls:
            return None
        certificate, key = _from_daemon()
    files = list(map(Path, filter(None, (certificate, key, settings.tls_client_ca_file))))
    return TlsFiles(files, lambda: Tls(*map(_pem, files)))


def rest_tls(settings: Settings, tls: TlsFiles | None) -> TlsFiles | None:
    """The TLS of the REST port: SSLConfig is for gRPC alone, as in the original, unless asked."""
    return tls if settings.rest_tls or not settings.ssl_config_file else None


def _from_daemon() -> tuple[str, str]:
    """The files of the certificate that the daemon has made."""
    folder = home() / FOLDER
    if not (folder / CERTIFICATE_FILE).exists():
        raise ServingError(
            Status.FAILED_PRECONDITION,
            f"--tls: there is no {folder / CERTIFICATE_FILE}. `accel-daemon certificate NAME` "
            "makes it, on the daemon's machine.",
        )
    return str(folder / CERTIFICATE_FILE), str(folder / KEY_FILE)


def _of_ssl_config(path: str) -> Tls:
    config = read_text_file(path, server_config_pb2.SSLConfig, is_secret=True)
    if config.client_verify and not config.custom_ca:
        raise invalid("SSLConfig: client_verify needs custom_ca.")
    client_ca = config.custom_ca if config.client_verify else ""
    return Tls(config.server_cert, config.server_key, client_ca)


def _pem(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ServingError(Status.FAILED_PRECONDITION, f"{path} cannot be read: {why}") from None
