"""The pin of an invitation; the whole way is in tests/integration/test_attach.py."""

from __future__ import annotations

import hashlib
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest

from accel_daemon.pki.authority import create_authority, fingerprint
from accel_protocol.errors import ConnectionLostError, PeerIdentityError
from accel_protocol.invitation import Invitation
from accel_protocol.sigv4 import AccessKey
from client_runtime.discovery.attaching import attach, check_authority

AUTHORITY = create_authority(datetime(2026, 1, 31, tzinfo=UTC), "an authority")
OTHER = create_authority(datetime(2026, 1, 31, tzinfo=UTC), "another authority")
PEM = AUTHORITY.certificate_pem


def invitation(ca: str, address: str = "127.0.0.1:1") -> Invitation:
    """One that pins a certificate."""
    return Invitation(AccessKey("AKIA" + "T" * 16, "t" * 40), address, ca)


@pytest.mark.parametrize("pem", [PEM, b"# a comment\n" + PEM + b"\n", PEM.replace(b"\n", b"\r\n")])
def test_the_pinned_certificate(pem: bytes) -> None:
    """It alone is kept, in one form."""
    kept = check_authority(pem, invitation(fingerprint(AUTHORITY.certificate)))
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(kept.decode())).hexdigest()
    assert f"sha256:{digest}" == fingerprint(AUTHORITY.certificate)
    assert b"comment" not in kept


def test_what_comes_with_it_is_not_kept() -> None:
    """A second certificate would be trusted without having been pinned."""
    kept = check_authority(
        PEM + OTHER.certificate_pem, invitation(fingerprint(AUTHORITY.certificate))
    )
    assert kept.count(b"BEGIN CERTIFICATE") == 1


def test_another_certificate() -> None:
    """Both fingerprints are told."""
    with pytest.raises(PeerIdentityError) as caught:
        check_authority(OTHER.certificate_pem, invitation(fingerprint(AUTHORITY.certificate)))
    assert fingerprint(AUTHORITY.certificate) in caught.value.message
    assert fingerprint(OTHER.certificate) in caught.value.message


@pytest.mark.parametrize(
    "pem",
    [b"", b"{}", b"\xff\xfe", PEM[:100], PEM.replace(b"CERTIFICATE", b"PRIVATE KEY"),
     b"-----BEGIN CERTIFICATE-----\n=\n-----END CERTIFICATE-----"],
    ids=["empty", "json", "binary", "cut", "relabelled", "hollow"],
)  # fmt: skip
def test_no_certificate(pem: bytes) -> None:
    """What is none has no fingerprint."""
    with pytest.raises(PeerIdentityError):
        check_authority(pem, invitation(fingerprint(AUTHORITY.certificate)))


def test_nobody_answers(nowhere: Path) -> None:
    """Nothing is kept."""
    with pytest.raises(ConnectionLostError, match="cannot be reached"):
        attach(invitation(fingerprint(AUTHORITY.certificate)))
    assert not nowhere.exists()
