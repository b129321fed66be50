"""TLS of the model server's ports: what it shows, and whom it asks for a certificate."""

from __future__ import annotations

import json
import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from aiohttp import web
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from accel_daemon.cli.main import cli
from accel_daemon.pki.authority import Authority, create_authority, issue_leaf, private_key_pem
from client_runtime.serving.access.guard import Guard
from client_runtime.serving.doors.grpc_server import GrpcServer
from client_runtime.serving.doors.rest_server import RestServer
from client_runtime.serving.doors.tls import grpc_tls, rest_tls
from client_runtime.serving.flags.settings import Settings
from client_runtime.serving.statuses import ServingError
from tests.conftest import patience

NOW = datetime.now(UTC)


@dataclass
class Pair:
    """PEM texts of a certificate and its key, and the files they are in."""

    certificate: str
    key: str
    certificate_file: str
    key_file: str


@pytest.fixture(scope="module")
def authority() -> Authority:
    """Who signs here."""
    return create_authority(NOW, "test")


def pair_of(authority: Authority, folder: Path, name: str = "localhost") -> Pair:
    """A certificate for a name, also in files."""
    leaf = issue_leaf(authority, name=name, now=NOW)
    files = folder / f"{name}.pem", folder / f"{name}.key"
    files[0].write_bytes(leaf.certificate_pem)
    files[1].write_bytes(leaf.private_key_pem)
    return Pair(leaf.certificate_pem.decode(), leaf.private_key_pem.decode(), *map(str, files))


def self_signed() -> Pair:
    """A client's certificate, its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "client")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    return Pair(pem.decode(), private_key_pem(key).decode(), "", "")


def ssl_config(folder: Path, pair: Pair, rest: str = "") -> str:
    """An SSLConfig file."""
    path = folder / "ssl.txt"
    path.write_text(
        f"server_key: {json.dumps(pair.key)} server_cert: {json.dumps(pair.certificate)} {rest}"
    )
    return str(path)


def connects(
    settings: Settings, authority: Authority, client: Pair | None = None, name: str = "localhost"
) -> bool:
    """Whether a client that trusts the authority comes through to a server with these settings."""
    tls = grpc_tls(settings)
    assert tls is not None
    server = GrpcServer([], [], Guard(), 1, [], None)
    port = server.listen("127.0.0.1:0", tls.grpc_credentials())
    server.start()
    shown = (client.key.encode(), client.certificate.encode()) if client else (None, None)
    credentials = grpc.ssl_channel_credentials(authority.certificate_pem, *shown)
    options = [("grpc.ssl_target_name_override", name)]
    try:
        with grpc.secure_channel(f"127.0.0.1:{port}", credentials, options) as channel:
            call = channel.unary_unary("/no.such/Method")
            with pytest.raises(grpc.RpcError) as raised:
                call(b"", timeout=patience(10))
        return raised.value.code() is grpc.StatusCode.UNIMPLEMENTED
    finally:
        server.drain(0)


def test_an_ssl_config_is_for_grpc(tmp_path: Path, authority: Authority) -> None:
    """For REST too only where that is asked for."""
    file = ssl_config(tmp_path, pair_of(authority, tmp_path))
    settings = Settings(ssl_config_file=file)

    assert connects(settings, authority)
    assert rest_tls(settings, grpc_tls(settings)) is None
    assert rest_tls(Settings(ssl_config_file=file, rest_tls=True), grpc_tls(settings)) is not None


def test_client_verify_asks_for_a_certificate(tmp_path: Path, authority: Authority) -> None:
    """Of the authority that the file names, and of no other."""
    pair, client = pair_of(authority, tmp_path), self_signed()
    ca = json.dumps(client.certificate)
    settings = Settings(
        ssl_config_file=ssl_config(tmp_path, pair, f"custom_ca: {ca} client_verify: true")
    )

    assert not connects(settings, authority)
    assert not connects(settings, authority, self_signed())
    assert connects(settings, authority, client)


def test_files_of_their_own(tmp_path: Path, authority: Authority) -> None:
    """They hold for both ports."""
    pair = pair_of(authority, tmp_path)
    settings = Settings(tls_cert_file=pair.certificate_file, tls_key_file=pair.key_file)

    assert connects(settings, authority)
    assert rest_tls(settings, grpc_tls(settings)) is not None


def test_the_daemons_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One command of the daemon and one flag; before, the message names the command."""
    monkeypatch.setenv("ACCEL_HOME", str(tmp_path))
    with pytest.raises(ServingError, match="accel-daemon certificate"):
        grpc_tls(Settings(tls=True))

    made = CliRunner().invoke(cli, ["certificate", "models.example", "10.0.0.7"])
    assert made.exit_code == 0, made.output

    ca = tmp_path / "ca" / "ca.pem"
    assert str(ca) in made.output
    assert connects(Settings(tls=True), _Trusted(ca.read_bytes()), name="models.example")
    assert not connects(Settings(tls=True), _Trusted(ca.read_bytes()), name="other.example")
    assert (tmp_path / "serving" / "key.pem").stat().st_mode & 0o077 == 0


def shown(port: int, trusted: Pair) -> bool:
    """Whether a server shows a certificate that its client trusts."""
    context = ssl.create_default_context(cadata=trusted.certificate)
    context.check_hostname = False
    with socket.create_connection(("127.0.0.1", port), patience(10)) as plain:
        try:
            context.wrap_socket(plain).close()
        except ssl.SSLCertVerificationError:
            return False
    return True


def test_a_new_certificate_is_shown_without_a_restart(tmp_path: Path) -> None:
    """By both servers, as soon as its key is there too; until then the old one is."""
    old, new = self_signed(), self_signed()
    files = tmp_path / "certificate", tmp_path / "key"
    for file, text in zip(files, (old.certificate, old.key), strict=True):
        file.write_text(text)
    tls = grpc_tls(Settings(tls_cert_file=str(files[0]), tls_key_file=str(files[1])))
    assert tls is not None
    grpc_server = GrpcServer([], [], Guard(), 1, [], None)
    port = grpc_server.listen("127.0.0.1:0", tls.grpc_credentials())
    grpc_server.start()
    rest_server = RestServer(lambda _: web.AppRunner(web.Application()), 0, tls.ssl_context())
    rest_server.start()
    ports = port, rest_server.port
    try:
        assert [shown(port, old) for port in ports] == [True, True]
        files[0].write_text(new.certificate)
        assert [shown(port, old) for port in ports] == [True, True]
        files[1].write_text(new.key)
        assert [shown(port, new) for port in ports] == [True, True]
        assert [shown(port, old) for port in ports] == [False, False]
    finally:
        rest_server.drain()
        grpc_server.drain(0)


@dataclass
class _Trusted:
    certificate_pem: bytes


@pytest.mark.parametrize("fault", ["mismatch", "no key", "no authority", "missing"])
def test_what_cannot_be_used_stops_the_start(
    tmp_path: Path, authority: Authority, fault: str
) -> None:
    """GRPC itself would start with any text, and refuse each client."""
    pair = pair_of(authority, tmp_path)
    other = pair_of(authority, tmp_path, "other")
    key = {"mismatch": other.key_file, "no key": pair.certificate_file, "missing": "/none"}.get(
        fault, pair.key_file
    )
    ca_file = other.key_file if fault == "no authority" else ""
    settings = Settings(
        tls_cert_file=pair.certificate_file, tls_key_file=key, tls_client_ca_file=ca_file
    )

    with pytest.raises(ServingError) as raised:
        grpc_tls(settings)
    assert "PRIVATE" not in raised.value.message
