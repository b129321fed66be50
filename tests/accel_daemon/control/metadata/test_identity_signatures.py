"""The signatures of the identity document."""

from __future__ import annotations

import base64
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs7

from accel_daemon.control.metadata.identity_signatures import DocumentSigner, sign_document
from accel_daemon.pki.authority import Authority

DOCUMENT = '{"instanceId": "i-1"}'


def certificate_in(message: bytes) -> x509.Certificate:
    """The certificate that a PKCS #7 message carries."""
    (certificate,) = pkcs7.load_der_pkcs7_certificates(message)
    return certificate


def test_plain_signature(authority: Authority) -> None:
    """By the key of a certificate that the authority issued, over exactly the document."""
    made = sign_document(authority, "i-1", DOCUMENT, datetime.now(UTC))
    certificate = certificate_in(base64.b64decode(made.pkcs7))
    certificate.verify_directly_issued_by(authority.certificate)
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    signature = base64.b64decode(made.plain)
    key.verify(signature, DOCUMENT.encode(), ec.ECDSA(hashes.SHA256()))
    with pytest.raises(InvalidSignature):
        key.verify(signature, DOCUMENT.encode() + b" ", ec.ECDSA(hashes.SHA256()))


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl program here")
@pytest.mark.parametrize("change", ["", "X"])
def test_pkcs7_with_openssl(authority: Authority, tmp_path: Path, change: str) -> None:
    """Verified as the documentation says; a changed document is not."""
    made = sign_document(authority, "i-1", DOCUMENT, datetime.now(UTC))
    message = base64.b64decode(made.pkcs7)
    if change:
        message = message.replace(b"instanceId", b"instanceIX")
    (tmp_path / "message").write_bytes(message)
    (tmp_path / "ca.pem").write_bytes(authority.certificate_pem)
    done = subprocess.run(
        ["openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", "message",
         "-CAfile", "ca.pem", "-purpose", "any"],
        cwd=tmp_path, capture_output=True, check=False,
    )  # fmt: skip
    assert (done.returncode == 0) == (not change), done.stderr
    if not change:
        assert done.stdout.decode() == DOCUMENT


def test_kept_for_a_month(authority: Authority) -> None:
    """The same signatures until then, and new ones long before the certificate ends."""
    now = datetime.now(UTC)
    signer = DocumentSigner(authority, "i-1", lambda: now)
    first = signer.sign(DOCUMENT)
    now += timedelta(days=29)
    assert signer.sign(DOCUMENT) == first
    now += timedelta(days=1)
    assert signer.sign(DOCUMENT) != first
