"""Keep the certificate authority on disk: `ca.pem` for everyone, `ca.key` for the daemon alone.

A thin shell around authority.py that fails closed: whatever looks wrong stops the daemon's start
and is never repaired by making a new authority, since every client would then have to be told. The
key is created with its final mode, so there is no moment in which others could open it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from accel_daemon.pki.authority import Authority, create_authority, fingerprint, private_key_pem
from accel_protocol.errors import ConfigurationError
from accel_protocol.private_files import replace_file

__all__ = ["CERTIFICATE_FILE", "KEY_FILE", "fingerprint", "load_or_create_authority"]

CERTIFICATE_FILE = "ca.pem"
KEY_FILE = "ca.key"

# Before this program was written. A machine without a battery starts in 1970.
_EARLIEST = datetime(2025, 1, 1, tzinfo=UTC)
_NAME = "Elastic Accelerator CA"
_MAX_FILE_BYTES = 65_536
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def load_or_create_authority(folder: Path, now: datetime) -> Authority:
    """The authority kept in a folder; a new one if neither of its two files is there.

    Args:
        folder: made with mode 0700 if it is missing.
        now: aware.

    Raises:
        ConfigurationError: a new one is to be made while the clock shows a time before this program
            was written; exactly one file is there; one cannot be read, is empty or malformed;
            they do not belong together; the certificate is no CA or not valid now; or others can
            read the key or change the folder.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(folder):
            return _load_or_create(folder, now)
    except OSError as error:
        raise _refused(f"cannot be read or written ({error.strerror})") from None


def _load_or_create(folder: Path, now: datetime) -> Authority:
    present = [os.path.lexists(folder / name) for name in (CERTIFICATE_FILE, KEY_FILE)]
    if any(present):
        return _load(folder, now)
    if now < _EARLIEST:
        raise ConfigurationError(
            f"This machine's clock shows {now:%Y-%m-%d}, so no certificate authority is made: it "
            "would have ended when the clock is right.",
            remedy="Set the clock, or wait until the network has set it.",
        )
    authority = create_authority(now, _NAME)
    replace_file(folder / KEY_FILE, private_key_pem(authority.private_key), 0o600)
    replace_file(folder / CERTIFICATE_FILE, authority.certificate_pem, 0o644)
    return authority


def _load(folder: Path, now: datetime) -> Authority:
    certificate_pem = _read(folder / CERTIFICATE_FILE, forbidden=_OTHERS_WRITE)
    key_pem = _read(folder / KEY_FILE, forbidden=_OTHERS)
    authority = Authority(_parse_certificate(certificate_pem), _parse_key(key_pem))
    certificate = authority.certificate
    if certificate.public_key() != authority.private_key.public_key():
        raise _refused(f"has a {CERTIFICATE_FILE} and a {KEY_FILE} that do not belong together")
    if not _may_sign(certificate):
        raise _refused(f"has a {CERTIFICATE_FILE} that may not sign certificates")
    if now >= certificate.not_valid_after_utc:
        raise _refused("has expired")
    if now < certificate.not_valid_before_utc:
        raise _refused("is not valid yet; this machine's clock may be wrong")
    return authority


def _read(path: Path, *, forbidden: int) -> bytes:
    """The file's bytes, unless its mode has one of the forbidden bits. Follows no symbolic link."""
    try:
        with open(path, "rb", opener=_open_without_following) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise _refused(f"has a {path.name} that is not a regular file")
            if status.st_mode & forbidden:
                raise _refused(f"has a {path.name} that other users can read or change (chmod it)")
            content = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise _refused(f"has no readable {path.name} ({error.strerror})") from None
    if not content.strip() or len(content) > _MAX_FILE_BYTES:
        raise _refused(f"has an empty or oversized {path.name}")
    return content


def _open_without_following(path: str, flags: int) -> int:
    # O_NONBLOCK: a pipe in the file's place must not keep the daemon waiting.
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder, so that two daemons that start at once make one authority."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if os.fstat(descriptor).st_mode & _OTHERS_WRITE:
            raise _refused("lies in a folder that other users can change")
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _parse_certificate(pem: bytes) -> x509.Certificate:
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise _refused(f"has a malformed {CERTIFICATE_FILE}") from None
    return certificate


def _parse_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _refused(f"has a malformed {KEY_FILE}") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise _refused(f"has a {KEY_FILE} of another kind than ECDSA")
    return key


def _may_sign(certificate: x509.Certificate) -> bool:
    try:
        extensions = certificate.extensions
        constraints = extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
        extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        return False
    return constraints.ca and usage.key_cert_sign


def _refused(problem: str) -> ConfigurationError:
    return ConfigurationError(
        f"The certificate authority {problem}.",
        remedy=f"Restore {CERTIFICATE_FILE} and {KEY_FILE} from a backup, or move both away to "
        "start anew; every client then needs the new certificate.",
    )
