"""From an invitation to an attached profile: prove the daemon, prove ourselves, then keep it.

Nothing but a request for the authority's certificate, which holds no secret, goes to a daemon that
has not proven its identity: the certificate must have the digest that the invitation names, and
the daemon must then show a server certificate which that authority signed.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path

from accel_protocol.errors import AccessDeniedError, ConnectionLostError, PeerIdentityError
from accel_protocol.invitation import Invitation
from client_runtime.discovery.bounded_http import Deadline, ExchangeError, exchange
from client_runtime.discovery.endpoints import Endpoint
from client_runtime.discovery.profile import Profile, authority_file, write_attached
from client_runtime.transport import grants

AUTHORITY_PATH = "/ca.pem"
_SECONDS = 10.0
_CONNECT_SECONDS = 5.0
_SOURCE = "the invitation"
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----")


@dataclass(frozen=True)
class Outcome:
    """What attaching brought.

    Attributes:
        profile: what was kept.
        path: where.
        accelerators: how many the daemon lists; None when the user may not list them.
    """

    profile: Profile
    path: Path
    accelerators: int | None


def attach(invitation: Invitation) -> Outcome:
    """Check a daemon and our key, and keep both as the attached profile.

    Raises:
        PeerIdentityError: the daemon is not the one that the invitation is for.
        CredentialsError: the daemon does not accept the key.
        ConnectionLostError: nobody answers.
        ConfigurationError: the profile cannot be written.
    """
    certificate = fetch_authority(invitation)
    accelerators = _try_key(invitation, certificate)
    profile = Profile(
        control=invitation.control,
        ca_file=str(authority_file(invitation.ca)),
        region=invitation.region,
        access_key_id=invitation.key.access_key_id,
        secret_access_key=invitation.key.secret_access_key,
    )
    return Outcome(profile, write_attached(profile, certificate), accelerators)


def fetch_authority(invitation: Invitation) -> bytes:
    """The daemon's authority's certificate in PEM, whose digest is the invitation's.

    Raises:
        PeerIdentityError: it has another digest, or is none.
        ConnectionLostError: nobody answers.
    """
    url = invitation.control + AUTHORITY_PATH
    try:
        reply = exchange("GET", url, Deadline.after(_SECONDS, _CONNECT_SECONDS), tls=_anyone())
    except ExchangeError as error:
        raise ConnectionLostError(
            f"{invitation.control} (from {_SOURCE}) cannot be asked for its certificate: {error}.",
            remedy="Check that the daemon runs and that this machine can reach it.",
        ) from None
    return check_authority(reply.body if reply.status == 200 else b"", invitation)


def check_authority(pem: bytes, invitation: Invitation) -> bytes:
    """The certificate as it is to be kept, if it has the invitation's digest.

    Raises:
        PeerIdentityError: it has not, or it is none.
    """
    found = _PEM.search(pem)
    try:
        der = ssl.PEM_cert_to_DER_cert(found[0].decode("ascii")) if found else b""
    except ValueError:
        der = b""
    if not der:
        raise _stranger(f"{invitation.control} shows no authority's certificate.")
    digest = f"sha256:{hashlib.sha256(der).hexdigest()}"
    if not hmac.compare_digest(digest, invitation.ca):
        raise _stranger(
            f"{invitation.control} has the authority {digest}, and the invitation is for "
            f"{invitation.ca}."
        )
    return ssl.DER_cert_to_PEM_cert(der).encode("ascii")


def _try_key(invitation: Invitation, certificate: bytes) -> int | None:
    """List the accelerators over verified TLS; None when the key is good and may not do that."""
    with tempfile.NamedTemporaryFile(prefix="accel-ca-", suffix=".pem") as file:
        file.write(certificate)
        file.flush()
        endpoint = Endpoint(invitation.control, file.name, invitation.region, _SOURCE)
        try:
            answer = grants.call(endpoint, invitation.key, "POST", "/describe-accelerators", b"{}")
        except AccessDeniedError:
            return None
    listed = answer.get("acceleratorSet")
    return len(listed) if isinstance(listed, list) else 0


def _anyone() -> ssl.SSLContext:
    """TLS 1.2 or newer with whoever answers: for the one request that sends and trusts nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _stranger(message: str) -> PeerIdentityError:
    return PeerIdentityError(
        message,
        remedy="Check the address with the daemon's operator and ask for a new invitation; do not "
        "use this one before that.",
    )
