"""Certificates: every extension, and real TLS handshakes."""

from __future__ import annotations

import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from accel_daemon.pki.authority import (
    CA_DAYS,
    Authority,
    Leaf,
    create_authority,
    fingerprint,
    issue_leaf,
    private_key_pem,
)
from accel_protocol.errors import ConfigurationError

NOW = datetime.now(UTC).replace(microsecond=0)
AUTHORITY = create_authority(NOW, "Test CA")


def leaf_of(authority: Authority = AUTHORITY, now: datetime = NOW, days: int = 90) -> Leaf:
    """A leaf for the names the tests connect to."""
    return issue_leaf(
        authority,
        name="eia-1",
        dns_names=["localhost"],
        ip_addresses=["127.0.0.1", "::1"],
        now=now,
        days=days,
    )


LEAF = leaf_of()
CERTIFICATE = x509.load_pem_x509_certificate(LEAF.certificate_pem)


def test_authority_extensions() -> None:
    """A CA that may sign leaves and revocation lists, and no further CA."""
    extensions = AUTHORITY.certificate.extensions
    constraints = extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value) == (True, x509.BasicConstraints(True, 0))
    usage = extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value == x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    identifier = extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    public_key = AUTHORITY.private_key.public_key()
    assert identifier == x509.SubjectKeyIdentifier.from_public_key(public_key)
    assert len(extensions) == 3


def test_authority_signs_itself_for_ten_years() -> None:
    """Subject and issuer are the same, on P-256, from the day before for ten years."""
    certificate = AUTHORITY.certificate
    certificate.verify_directly_issued_by(certificate)
    assert isinstance(AUTHORITY.private_key.curve, ec.SECP256R1)
    assert certificate.not_valid_before_utc == NOW - timedelta(days=1)
    assert certificate.not_valid_after_utc == NOW + timedelta(days=CA_DAYS)


def test_leaf_extensions() -> None:
    """A TLS server certificate, and nothing else."""
    extensions = CERTIFICATE.extensions
    constraints = extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value) == (True, x509.BasicConstraints(False, None))
    usage = extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value == x509.KeyUsage(
        True, False, False, False, False, False, False, False, False
    )
    purposes = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [ExtendedKeyUsageOID.SERVER_AUTH]
    own = extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert own == x509.SubjectKeyIdentifier.from_public_key(CERTIFICATE.public_key())
    issuer = AUTHORITY.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    authority_key = extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert authority_key.key_identifier == issuer.value.digest
    assert len(extensions) == 6


def test_leaf_names() -> None:
    """The name is an alternative name too, never the common name alone."""
    names = CERTIFICATE.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["eia-1", "localhost"]
    addresses = [ip_address("127.0.0.1"), ip_address("::1")]
    assert names.get_values_for_type(x509.IPAddress) == addresses
    (common_name,) = CERTIFICATE.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert common_name.value == "eia-1"


def test_leaf_times() -> None:
    """Backdated by a day, for clients with wrong clocks; ninety days long."""
    assert CERTIFICATE.not_valid_before_utc == NOW - timedelta(days=1)
    assert CERTIFICATE.not_valid_after_utc == NOW + timedelta(days=90) == LEAF.expires


def test_leaf_never_outlives_its_authority() -> None:
    """Near the authority's end, leaves get shorter; after it, there are none."""
    end = AUTHORITY.certificate.not_valid_after_utc
    assert leaf_of(now=end - timedelta(days=10)).expires == end
    for outside in (end, AUTHORITY.certificate.not_valid_before_utc - timedelta(seconds=1)):
        with pytest.raises(ConfigurationError):
            leaf_of(now=outside)


def test_leaves_differ() -> None:
    """Each has its own key and random serial."""
    other = x509.load_pem_x509_certificate(leaf_of().certificate_pem)
    assert other.serial_number != CERTIFICATE.serial_number
    assert other.public_key() != CERTIFICATE.public_key()


def test_leaf_key_belongs_to_its_certificate() -> None:
    """And is on P-256."""
    key = load_pem_private_key(LEAF.private_key_pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert isinstance(key.curve, ec.SECP256R1)
    assert key.public_key() == CERTIFICATE.public_key()


def test_keys_are_not_in_repr() -> None:
    """Neither an authority nor a leaf shows its key."""
    assert "PRIVATE" not in repr(LEAF)
    assert "private_key" not in repr(LEAF)
    assert "private_key" not in repr(AUTHORITY)


@pytest.mark.parametrize(
    "name", ["", "a b", "*.example", "a..b", "-a", "é", "a" * 65, "a/b", "a\n"]
)
def test_malformed_leaf_name_is_refused(name: str) -> None:
    """No wildcards and nothing that is not a DNS name."""
    with pytest.raises(ConfigurationError):
        issue_leaf(AUTHORITY, name=name, now=NOW)
    if len(name) != 65:
        with pytest.raises(ConfigurationError):
            issue_leaf(AUTHORITY, name="eia-1", dns_names=[name], now=NOW)


@pytest.mark.parametrize("address", ["", "localhost", "1.2.3", "1.2.3.4/24", "fe80::1%eth0"])
def test_malformed_address_is_refused(address: str) -> None:
    """An address is one address."""
    with pytest.raises(ConfigurationError):
        issue_leaf(AUTHORITY, name="eia-1", ip_addresses=[address], now=NOW)


def test_leaf_of_no_days_is_refused() -> None:
    """A certificate lives a day at least."""
    with pytest.raises(ConfigurationError):
        leaf_of(days=0)


@pytest.mark.parametrize("name", ["", "a" * 65])
def test_malformed_authority_name_is_refused(name: str) -> None:
    """X.509 allows 64 characters."""
    with pytest.raises(ConfigurationError):
        create_authority(NOW, name)


def test_private_key_pem_is_pkcs8() -> None:
    """What the key file holds."""
    pem = private_key_pem(AUTHORITY.private_key)
    assert pem.splitlines()[0].strip(b"-").split() == [b"BEGIN", b"PRIVATE", b"KEY"]


def test_fingerprint_is_that_of_the_der() -> None:
    """It is what OpenSSL and ssl compute too."""
    import hashlib

    der = ssl.PEM_cert_to_DER_cert(AUTHORITY.certificate_pem.decode())
    assert fingerprint(AUTHORITY.certificate) == "sha256:" + hashlib.sha256(der).hexdigest()


def serve(connection: socket.socket, leaf: Leaf, folder: Path) -> None:
    """One TLS handshake as a server, and a byte."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    (folder / "leaf.pem").write_bytes(leaf.certificate_pem)
    (folder / "leaf.key").write_bytes(leaf.private_key_pem)
    context.load_cert_chain(folder / "leaf.pem", folder / "leaf.key")
    try:
        with context.wrap_socket(connection, server_side=True) as secured:
            secured.sendall(b"!")
    except OSError:
        pass  # The client refused; its side of the test says why.


def handshake(leaf: Leaf, trusted: Authority, name: str, folder: Path) -> str | None:
    """Connect as a strict client over a real socket: None, or why the server was refused."""
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.settimeout(10)
    server = threading.Thread(target=serve, args=(theirs, leaf, folder))
    server.start()
    context = ssl.create_default_context(cadata=trusted.certificate_pem.decode())
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    try:
        with context.wrap_socket(ours, server_hostname=name) as secured:
            assert secured.recv(1) == b"!"
        return None
    except ssl.SSLCertVerificationError as error:
        return error.verify_message
    finally:
        ours.close()
        server.join()


@pytest.mark.parametrize("name", ["eia-1", "localhost", "127.0.0.1", "::1"])
def test_handshake_with_each_name(name: str, tmp_path: Path) -> None:
    """A strict client that trusts the authority accepts every name of the leaf."""
    assert handshake(LEAF, AUTHORITY, name, tmp_path) is None


@pytest.mark.parametrize("name", ["eia-2", "eia-1.example", "Test CA", "127.0.0.2"])
def test_handshake_with_a_wrong_name(name: str, tmp_path: Path) -> None:
    """Another name or address is refused."""
    assert "mismatch" in (handshake(LEAF, AUTHORITY, name, tmp_path) or "accepted")


def test_handshake_with_a_wrong_authority(tmp_path: Path) -> None:
    """An authority of the same name but another key is not trusted."""
    refused = handshake(LEAF, create_authority(NOW, "Test CA"), "eia-1", tmp_path)
    assert "unable to get local issuer" in (refused or "accepted") or "signature" in (refused or "")


def test_handshake_with_an_expired_leaf(tmp_path: Path) -> None:
    """The authority is still good, the leaf is not."""
    then = NOW - timedelta(days=100)
    authority = create_authority(then, "Test CA")
    leaf = leaf_of(authority, now=then)
    assert handshake(leaf, authority, "eia-1", tmp_path) == "certificate has expired"


def test_handshake_with_a_leaf_that_is_not_valid_yet(tmp_path: Path) -> None:
    """Beyond the day of backdating, the start counts."""
    leaf = leaf_of(now=NOW + timedelta(days=2))
    assert handshake(leaf, AUTHORITY, "eia-1", tmp_path) == "certificate is not yet valid"


def test_handshake_of_a_client_whose_clock_is_behind(tmp_path: Path) -> None:
    """Twenty-three hours behind, a client still gets through to the message about its clock."""
    leaf = leaf_of(now=NOW + timedelta(hours=23))
    assert handshake(leaf, AUTHORITY, "eia-1", tmp_path) is None


def test_leaf_cannot_act_as_an_authority(tmp_path: Path) -> None:
    """A stolen leaf key signs certificates that nobody believes."""
    key = load_pem_private_key(LEAF.private_key_pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    forged = leaf_of(Authority(CERTIFICATE, key))
    chain = Leaf(forged.certificate_pem + LEAF.certificate_pem, forged.private_key_pem, NOW)
    assert handshake(chain, AUTHORITY, "eia-1", tmp_path) is not None
