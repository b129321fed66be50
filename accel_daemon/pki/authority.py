"""Make a certificate authority and issue server certificates: pure, the caller passes the time.

ECDSA on P-256 throughout. A leaf is identified by its subject alternative names alone. Leaves are
valid from a day before they are issued: a client whose clock is somewhat wrong still gets through
the TLS handshake, to the message that tells it by how much.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from accel_protocol.errors import ConfigurationError

CA_DAYS = 3650
LEAF_DAYS = 90
BACKDATED = timedelta(days=1)

_MAX_COMMON_NAME = 64
_DNS_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DNS_NAME = re.compile(rf"{_DNS_LABEL}(\.{_DNS_LABEL})*")


@dataclass(frozen=True)
class Authority:
    """A certificate authority: its certificate and its key."""

    certificate: x509.Certificate
    private_key: ec.EllipticCurvePrivateKey = field(repr=False)

    @property
    def certificate_pem(self) -> bytes:
        """What clients trust: the certificate, without the key."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)


@dataclass(frozen=True)
class Leaf:
    """A server's certificate and unencrypted PKCS #8 key, in PEM; `expires` is aware."""

    certificate_pem: bytes
    private_key_pem: bytes = field(repr=False)
    expires: datetime


def create_authority(now: datetime, name: str) -> Authority:
    """A new self-signed CA that may sign leaves but no further CAs, for ten years.

    Args:
        now: aware time of creation.
        name: 1 to 64 characters, shown to people only.

    Raises:
        ConfigurationError: the name is empty or too long.
    """
    private_key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject(name)
    certificate = (
        _certificate(subject, private_key.public_key(), now - BACKDATED)
        .issuer_name(subject)
        .not_valid_after(now + timedelta(days=CA_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage("key_cert_sign", "crl_sign"), critical=True)
        .sign(private_key, hashes.SHA256())
    )
    return Authority(certificate, private_key)


def issue_leaf(
    authority: Authority,
    *,
    name: str,
    dns_names: Sequence[str] = (),
    ip_addresses: Sequence[str] = (),
    now: datetime,
    days: int = LEAF_DAYS,
    steady: datetime | None = None,
) -> Leaf:
    """A server certificate with a fresh key.

    Args:
        authority: who signs it.
        name: the accelerator id or the server's name; always one of the certificate's DNS names.
        dns_names: further DNS names, without wildcards.
        ip_addresses: IPv4 or IPv6 addresses in text.
        now: aware time of issue.
        days: how long it is valid, though never longer than the authority.
        steady: what the time may be as well, where somebody set the clock: the leaf is good for
            those who believe the one or the other.

    Raises:
        ConfigurationError: a malformed name or address, days below 1, or an authority that is not
            valid at `now`, nor at `steady`.
    """
    times = (now, now if steady is None else steady)
    _check_time(authority, times, days)
    private_key = ec.generate_private_key(ec.SECP256R1())
    issuer = authority.certificate
    starts = max(min(times) - BACKDATED, issuer.not_valid_before_utc)
    certificate = (
        _certificate(_subject(name), private_key.public_key(), starts)
        .issuer_name(issuer.subject)
        .not_valid_after(min(max(times) + timedelta(days=days), issuer.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage("digital_signature"), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(_alternative_names((name, *dns_names), ip_addresses), critical=False)
        .add_extension(_authority_key_identifier(issuer), critical=False)
        .sign(authority.private_key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    return Leaf(pem, private_key_pem(private_key), certificate.not_valid_after_utc)


def private_key_pem(private_key: ec.EllipticCurvePrivateKey) -> bytes:
    """A key as unencrypted PKCS #8 PEM."""
    return private_key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def fingerprint(certificate: x509.Certificate) -> str:
    """How people and client URIs name a certificate: "sha256:" and the hex digest of its DER."""
    return f"sha256:{certificate.fingerprint(hashes.SHA256()).hex()}"


def _check_time(authority: Authority, times: Sequence[datetime], days: int) -> None:
    valid = authority.certificate
    if not any(valid.not_valid_before_utc <= one < valid.not_valid_after_utc for one in times):
        raise ConfigurationError(
            "The certificate authority is not valid at this time.",
            remedy="Check this machine's clock; if it is right, create a new authority.",
        )
    if days < 1:
        raise ConfigurationError("A certificate is valid for at least a day.", remedy="Say 1.")


def _certificate(
    subject: x509.Name, public_key: ec.EllipticCurvePublicKey, starts: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(starts)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _subject(name: str) -> x509.Name:
    if not 1 <= len(name) <= _MAX_COMMON_NAME:
        raise ConfigurationError(
            f"A certificate's name has 1 to {_MAX_COMMON_NAME} characters.",
            remedy="Choose another name.",
        )
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _key_usage(*uses: str) -> x509.KeyUsage:
    known = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{use: use in uses for use in known})


def _authority_key_identifier(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _alternative_names(
    dns_names: Sequence[str], ip_addresses: Sequence[str]
) -> x509.SubjectAlternativeName:
    names = [_dns_name(name) for name in dict.fromkeys(dns_names)]
    addresses = [_ip_address(address) for address in dict.fromkeys(ip_addresses)]
    return x509.SubjectAlternativeName([*names, *addresses])


def _dns_name(name: str) -> x509.DNSName:
    if not _DNS_NAME.fullmatch(name) or len(name) > 253:
        raise ConfigurationError(
            f"{name[:64]!r} is not a DNS name.", remedy="Use letters, digits, '-' and '.'."
        )
    return x509.DNSName(name)


def _ip_address(text: str) -> x509.IPAddress:
    try:
        if "%" in text:
            raise ValueError
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        raise ConfigurationError(
            f"{text[:64]!r} is not an IP address.", remedy="Give IPv4 or IPv6, without a zone."
        ) from None
