"""Tickets: what lets a principal use one accelerator for a few minutes.

The supervisor signs them (Ed25519, as a JWT) after it has checked signature and policies; an
accelerator holds only the public key. A ticket names exactly one accelerator, lives at most 15
minutes, and is worth nothing elsewhere. Its `tenancy` number tells a later tenant from an earlier
one. PyJWT checks the signature and nothing else: it would read the clock, and every other check
here has to be exact.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from accel_daemon.iam.callers import AnyPrincipal
from accel_protocol.errors import ConfigurationError, CredentialsError

if TYPE_CHECKING:
    from jwt.types import Options

MAX_TICKET_SECONDS = 900
MAX_TICKET_CHARACTERS = 4096
MAX_CLOCK_SKEW_SECONDS = 300
ISSUER = "elastic-accelerator-supervisor"
TOKEN_TYPE = "accel-ticket+jwt"  # noqa: S105 - a media type, no secret
ALGORITHM = "EdDSA"

_KEY_ID = re.compile(r"[A-Za-z0-9_]{1,128}")

_SIGNATURE_ONLY: Options = {
    "verify_signature": True,
    "verify_aud": False,
    "verify_exp": False,
    "verify_iat": False,
    "verify_iss": False,
    "verify_jti": False,
    "verify_nbf": False,
    "verify_sub": False,
}


@dataclass(frozen=True)
class Ticket:
    """A ticket that has been verified.

    Attributes:
        principal: the ARN of who may use the accelerator.
        account: its 12-digit account.
        accelerator_id: the only accelerator it is good for.
        access_key_id: which key asked for it; revoking that key revokes the ticket.
        parents: for a temporary key, the access key and the roles (by id) that it goes back to;
            revoking one of them revokes the ticket as well.
        tenancy: the accelerator's tenancy at the time it was issued.
        issued_at: seconds since the epoch.
        expires_at: seconds since the epoch; from then on it is refused.
        ticket_id: unique, for the audit log.
        policies: version of its owner's policies at the time it was issued.
    """

    principal: str
    account: str
    accelerator_id: str
    access_key_id: str
    tenancy: int
    issued_at: int
    expires_at: int
    ticket_id: str
    parents: tuple[str, ...] = ()
    policies: int = 0

    def ends_with(self, names: Collection[str]) -> bool:
        """Whether one of these revoked access keys, roles and principals ends the ticket."""
        return any(one in names for one in (self.access_key_id, self.principal, *self.parents))


@dataclass(frozen=True)
class TicketSigner:
    """Issues tickets; only the supervisor has one."""

    private_key: Ed25519PrivateKey = field(repr=False)

    @staticmethod
    def generate() -> TicketSigner:
        """A signer with a fresh key; tickets of an earlier one are then worth nothing."""
        return TicketSigner(Ed25519PrivateKey.generate())

    def issue(
        self,
        principal: AnyPrincipal,
        accelerator_id: str,
        access_key_id: str,
        tenancy: int,
        now: float,
        seconds: int = MAX_TICKET_SECONDS,
        *,
        parents: tuple[str, ...] = (),
        policies: int = 0,
    ) -> str:
        """A token for one accelerator, good from `now` (seconds since the epoch) for `seconds`.

        `parents` are what a temporary access key goes back to, `policies` is the version of the
        owner's policies that the accelerator must know.

        Raises:
            ConfigurationError: `seconds` is not within 1 to MAX_TICKET_SECONDS.
        """
        if not 1 <= seconds <= MAX_TICKET_SECONDS:
            raise ConfigurationError(
                f"A ticket lives 1 to {MAX_TICKET_SECONDS} seconds.",
                remedy="Choose a shorter life; clients renew tickets by themselves.",
            )
        issued_at = int(now)
        claims = {
            "iss": ISSUER,
            "aud": accelerator_id,
            "sub": principal.arn,
            "account": principal.account,
            "akid": access_key_id,
            "parents": list(parents),
            "tenancy": tenancy,
            "iat": issued_at,
            "exp": issued_at + seconds,
            "jti": secrets.token_urlsafe(16),
            "policies": policies,
        }
        return jwt.encode(claims, self.private_key, ALGORITHM, headers={"typ": TOKEN_TYPE})

    def public_key_pem(self) -> str:
        """The public key, for the accelerators' verifiers."""
        pem = self.private_key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return pem.decode("ascii")


class TicketVerifier:
    """Checks tickets for one accelerator.

    Raises:
        ConfigurationError: the public key is not an Ed25519 key in PEM.
    """

    def __init__(self, public_key_pem: str, accelerator_id: str) -> None:
        """`public_key_pem` is what TicketSigner.public_key_pem gave."""
        self._public_key = _read_public_key(public_key_pem)
        self._accelerator_id = accelerator_id

    def verify(self, token: str, now: float) -> Ticket:
        """The ticket that a token holds; `now` in seconds since the epoch.

        Raises:
            CredentialsError: INVALID_TICKET or TICKET_EXPIRED.
        """
        if len(token) > MAX_TICKET_CHARACTERS:
            raise _invalid(f"The ticket has more than {MAX_TICKET_CHARACTERS} characters.")
        claims = self._verified_claims(token)
        ticket = _read_claims(claims)
        if ticket.accelerator_id != self._accelerator_id:
            raise _invalid("The ticket is for another accelerator.")
        if not 1 <= ticket.expires_at - ticket.issued_at <= MAX_TICKET_SECONDS:
            raise _invalid(f"The ticket lives longer than {MAX_TICKET_SECONDS} seconds.")
        starts_at = _number(claims, "nbf") if "nbf" in claims else ticket.issued_at
        if not max(ticket.issued_at, starts_at) <= now + MAX_CLOCK_SKEW_SECONDS:
            raise _invalid("The ticket is from the future.")
        if not now < ticket.expires_at:
            raise CredentialsError("The ticket has expired.", reason="TICKET_EXPIRED")
        return ticket

    def _verified_claims(self, token: str) -> Mapping[str, object]:
        try:
            decoded = jwt.decode_complete(
                token, self._public_key, algorithms=[ALGORITHM], options=_SIGNATURE_ONLY
            )
        except Exception:
            # Bytes of a stranger: whatever they break in the parser, they are no ticket.
            raise _invalid("The ticket is malformed or its signature is wrong.") from None
        if decoded["header"].get("typ") != TOKEN_TYPE:
            raise _invalid("The token is not a ticket.")
        claims: Mapping[str, object] = decoded["payload"]
        return claims


def claimed_access_key_id(token: str) -> str:
    """The access key id that a token names, which proves nothing; "" when there is none.

    For the audit log, where a claim must not look like a principal.
    """
    if len(token) > MAX_TICKET_CHARACTERS:
        return ""
    try:
        claims = jwt.decode(token, options=_SIGNATURE_ONLY | {"verify_signature": False})
        claimed = claims.get("akid")
    except Exception:  # Bytes of a stranger.
        return ""
    return claimed if isinstance(claimed, str) and _KEY_ID.fullmatch(claimed) else ""


def _read_claims(claims: Mapping[str, object]) -> Ticket:
    if claims.get("iss") != ISSUER:
        raise _invalid("The ticket was not issued by a supervisor.")
    return Ticket(
        principal=_text(claims, "sub"),
        account=_text(claims, "account"),
        accelerator_id=_text(claims, "aud"),
        access_key_id=_text(claims, "akid"),
        tenancy=_number(claims, "tenancy"),
        issued_at=_number(claims, "iat"),
        expires_at=_number(claims, "exp"),
        ticket_id=_text(claims, "jti"),
        parents=_texts(claims, "parents"),
        policies=_number(claims, "policies"),
    )


def _text(claims: Mapping[str, object], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not value:
        raise _invalid(f"The ticket's claim {name} is missing or malformed.")
    return value


def _texts(claims: Mapping[str, object], name: str) -> tuple[str, ...]:
    values = claims.get(name)
    if not isinstance(values, list) or not all(isinstance(one, str) for one in values):
        raise _invalid(f"The ticket's claim {name} is missing or malformed.")
    return tuple(values)


def _number(claims: Mapping[str, object], name: str) -> int:
    value = claims.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise _invalid(f"The ticket's claim {name} is missing or malformed.")
    return value


def _read_public_key(pem: str) -> Ed25519PublicKey:
    try:
        key = serialization.load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigurationError(
            "The public key for tickets is not an Ed25519 key in PEM.",
            remedy="Start accelerators through the supervisor, which hands them its key.",
        )
    return key


def _invalid(message: str) -> CredentialsError:
    return CredentialsError(message, reason="INVALID_TICKET")
