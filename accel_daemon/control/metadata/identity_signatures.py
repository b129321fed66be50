"""Signatures of the instance identity document, by a key that the daemon's authority vouches for.

Amazon signs with RSA keys that it publishes; ours is an ECDSA key of a certificate that stands in
the PKCS #7 message and was issued by the authority in `ca.pem`. No I/O.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs7

from accel_daemon.pki.authority import Authority, issue_leaf

# Well before the certificate ends.
_RENEW = timedelta(days=30)


@dataclass(frozen=True)
class Signatures:
    """Of one document, in base64 on lines: ECDSA with SHA-256, and PKCS #7 with the document."""

    plain: str
    pkcs7: str
    made: datetime


@dataclass
class DocumentSigner:
    """Signs one document, and again with a new certificate when the old one has aged.

    Attributes:
        authority: vouches for the key.
        name: the instance id.
        now: gives the aware time.
        steady: gives it as if nobody had set the clock.
    """

    authority: Authority
    name: str
    now: Callable[[], datetime]
    steady: Callable[[], datetime] | None = None
    _latest: Signatures | None = field(default=None, repr=False)

    def sign(self, document: str) -> Signatures:
        """The signatures of the instance's document; the same ones for a month."""
        now = self.now()
        if self._latest is None or not self._latest.made <= now < self._latest.made + _RENEW:
            steady = None if self.steady is None else self.steady()
            self._latest = sign_document(self.authority, self.name, document, now, steady)
        return self._latest


def sign_document(
    authority: Authority,
    name: str,
    document: str,
    now: datetime,
    steady: datetime | None = None,
) -> Signatures:
    """Sign with a fresh key, which is forgotten.

    Raises:
        ConfigurationError: the authority is not valid at `now`, nor at `steady`.
    """
    leaf = issue_leaf(authority, name=name, now=now, steady=steady)
    key = serialization.load_pem_private_key(leaf.private_key_pem, password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    certificate, data = x509.load_pem_x509_certificate(leaf.certificate_pem), document.encode()
    message = (
        pkcs7.PKCS7SignatureBuilder()
        .set_data(data)
        .add_signer(certificate, key, hashes.SHA256())
        .sign(serialization.Encoding.DER, [pkcs7.PKCS7Options.Binary])
    )
    plain = key.sign(data, ec.ECDSA(hashes.SHA256()))
    return Signatures(_lines(plain), _lines(message), now)


def _lines(data: bytes) -> str:
    return base64.encodebytes(data).decode("ascii").strip()
