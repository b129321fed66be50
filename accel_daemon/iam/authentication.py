"""Who sent this request: checks its AWS Signature Version 4, in a header or in the query.

The checks run from the cheap and public to the secret. The clock is checked before the signature,
so that a machine with a wrong clock is told so. An unknown key id and a wrong signature cost the
same work and get the same answer, so nobody can learn which key ids exist.

The body is always part of what is signed: UNSIGNED-PAYLOAD is refused, presigned or not. A
signature may be replayed within its time by whoever can read the request. TLS is what keeps others
from reading it, and `use_once` refuses it where it would change something; see `replays`.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from accel_daemon.iam.claims import Claim, invalid, read_claim
from accel_daemon.iam.principals import is_temporary
from accel_protocol import sigv4
from accel_protocol.errors import CredentialsError
from accel_protocol.sigv4 import HttpRequest

SERVICE = "elastic-inference"
MAX_SKEW = timedelta(minutes=5)

# Computed against when a key id is unknown, so that the refusal takes the same work.
_DUMMY_SECRET = secrets.token_urlsafe(30)

_REQUEST_TEXT = re.compile(r"[!-~]*")
_HEADER_TEXT = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]*")
_SINGLE_HEADERS = ("authorization", "content-length", "content-type", "host")


@dataclass(frozen=True)
class Signer:
    """Which access key signed, and the session token that it came with, if any."""

    access_key_id: str
    session_token: str | None = field(default=None, repr=False)


def authenticate(
    request: HttpRequest,
    *,
    now: datetime,
    region: str,
    service: str = SERVICE,
    find_secret: Callable[[str], str | None],
    max_skew: timedelta = MAX_SKEW,
    find_session_secret: Callable[[str, str], str | None] | None = None,
    use_once: Callable[[str, str, datetime], None] | None = None,
    also: Sequence[datetime] = (),
) -> Signer:
    """Which access key signed the request.

    Args:
        request: with the path and the query as they were on the wire.
        now: the daemon's time, aware.
        region: the only region accepted in the credential scope.
        service: the only service accepted there.
        find_secret: the secret of an access key id, or None.
        max_skew: how far the client's clock may be off, either way; exactly this much is accepted.
        find_session_secret: the secret that a session token holds for its access key id, expired or
            not, or None. Without it, a request with a token is refused, not its token ignored.
        use_once: called with access key id, signature and the time that it names once these are
            proven; refuses what was used before by raising. Without it, signatures may come again.
        also: other times that a signature may name instead of `now`, aware: those of a clock that
            was set, which may have been right before.

    Raises:
        CredentialsError: MISSING_CREDENTIALS, INVALID_CREDENTIALS, CLOCK_SKEW (fields
            "server_time", "skew_seconds") or SIGNATURE_MISMATCH, or what `use_once` raised.
    """
    claim, payload_hash = _read(request, region, service)
    _check_token_goes_with_key(claim, find_session_secret is not None)
    if not any(_is_timely(claim, other, max_skew) for other in also):
        _check_clock(claim, now, max_skew)
    if claim.session_token is None or find_session_secret is None:
        secret = find_secret(claim.access_key_id)
    else:
        secret = find_session_secret(claim.access_key_id, claim.session_token)
    _check_signature(request, claim, payload_hash, secret)
    if use_once is not None:
        use_once(claim.access_key_id, claim.signature, claim.signed_at)
    return Signer(claim.access_key_id, claim.session_token)


def _read(request: HttpRequest, region: str, service: str) -> tuple[Claim, str]:
    """The claim, which does not contradict its request, and the digest of the body."""
    _check_text(request)
    headers = _single_headers(request)
    claim = read_claim(request, headers)
    _check_scope(claim, region, service)
    _check_signed_headers(claim, headers)
    return claim, _check_body(request, headers)


def _check_token_goes_with_key(claim: Claim, are_tokens_known: bool) -> None:
    """A token is never ignored, and never missing; a key id's form, which is public, decides."""
    if claim.session_token is not None and not are_tokens_known:
        raise invalid("This daemon issues no session tokens, and the request has one.")
    if is_temporary(claim.access_key_id) and not claim.session_token:
        raise invalid("A temporary access key is good with its session token only.")
    if claim.session_token is not None and not is_temporary(claim.access_key_id):
        raise invalid("Only temporary access keys have session tokens.")


def _check_text(request: HttpRequest) -> None:
    """No request line or header that could stand for another one in the canonical form."""
    for text in (request.method, request.path, request.query):
        if not _REQUEST_TEXT.fullmatch(text):
            raise invalid("The request line holds characters that must be percent-encoded.")
    for name, value in request.headers:
        if not _HEADER_TEXT.fullmatch(name + value):
            raise invalid("A header holds characters that must not be there.")


def _single_headers(request: HttpRequest) -> Mapping[str, str]:
    """The headers by lower-case name; those that decide anything may be there once only."""
    headers: dict[str, str] = {}
    for name, value in request.headers:
        lower = name.lower()
        if lower in headers and (lower in _SINGLE_HEADERS or lower.startswith("x-amz-")):
            raise invalid("A header that the signature depends on is there twice.")
        headers[lower] = value.strip()
    return headers


def _check_scope(claim: Claim, region: str, service: str) -> None:
    if claim.date != claim.amz_date[:8]:
        raise invalid("The credential scope is for another day than X-Amz-Date.")
    if claim.region != region:
        raise invalid(f"The request is signed for another region than {region}.")
    if claim.service != service:
        raise invalid(f"The request is signed for another service than {service}.")


def _check_signed_headers(claim: Claim, headers: Mapping[str, str]) -> None:
    signed = set(claim.signed_headers)
    if list(claim.signed_headers) != sorted(signed):
        raise invalid("The signed headers are not sorted, or one is there twice.")
    if not signed <= set(headers):
        raise invalid("A header that is said to be signed is not in the request.")
    required = {"host"} | {name for name in headers if name.startswith("x-amz-")}
    if not required <= signed:
        raise invalid("Host and every X-Amz- header must be signed.")


def _check_body(request: HttpRequest, headers: Mapping[str, str]) -> str:
    actual = sigv4.hash_payload(request.body)
    stated = headers.get("x-amz-content-sha256", actual)
    if not hmac.compare_digest(stated.encode(), actual.encode()):
        raise invalid("X-Amz-Content-Sha256 is not the SHA-256 of the body.")
    return actual


def _check_clock(claim: Claim, now: datetime, max_skew: timedelta) -> None:
    if _is_timely(claim, now, max_skew):
        return
    if claim.lifetime is not None and claim.signed_at <= now:
        raise invalid("The presigned request has expired.")
    raise clock_skew(claim.signed_at, now)


def _is_timely(claim: Claim, now: datetime, max_skew: timedelta) -> bool:
    skew = claim.signed_at - now
    return -(max_skew if claim.lifetime is None else claim.lifetime) <= skew <= max_skew


def clock_skew(signed_at: datetime, now: datetime) -> CredentialsError:
    """The refusal of a signature that names a wrong time; says what a good one is."""
    skew = signed_at - now
    minutes = round(abs(skew) / timedelta(minutes=1))
    direction = "ahead of" if skew > timedelta() else "behind"
    server_time = now.astimezone(UTC).isoformat(timespec="seconds")
    return CredentialsError(
        f"The client's clock is {minutes} minutes {direction} the daemon's, "
        f"which says {server_time}.",
        reason="CLOCK_SKEW",
        fields={
            "server_time": server_time,
            "skew_seconds": str(round(skew.total_seconds())),
        },
    )


def _check_signature(
    request: HttpRequest,
    claim: Claim,
    payload_hash: str,
    secret: str | None,
) -> None:
    expected = sigv4.signature(
        _DUMMY_SECRET if secret is None else secret,
        replace(request, query=claim.query),
        signed_headers=claim.signed_headers,
        payload_hash=payload_hash,
        amz_date=claim.amz_date,
        region=claim.region,
        service=claim.service,
    )
    matches = hmac.compare_digest(expected, claim.signature)
    if not matches or secret is None:
        raise unknown_key()


def unknown_key() -> CredentialsError:
    """The one refusal of an unknown key, a wrong signature, and a session that was ended."""
    return CredentialsError(
        "The access key is unknown or the signature does not match.", reason="SIGNATURE_MISMATCH"
    )
