"""Who sent this request: checks its AWS Signature Version 4.

The checks run from the cheap and public to the secret. The clock is checked before the signature,
so that a machine with a wrong clock is told so. An unknown key id and a wrong signature cost the
same work and get the same answer, so nobody can learn which key ids exist.

A signature may be replayed within the clock window by whoever can read the request; TLS is what
keeps others from reading it.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from accel_protocol import sigv4
from accel_protocol.errors import CredentialsError
from accel_protocol.sigv4 import HttpRequest

SERVICE = "elastic-inference"
MAX_SKEW = timedelta(minutes=5)
MAX_AUTHORIZATION_CHARACTERS = 4096

# Computed against when a key id is unknown, so that the refusal takes the same work.
_DUMMY_SECRET = secrets.token_urlsafe(30)

_AUTHORIZATION = re.compile(
    rf"{sigv4.ALGORITHM} +Credential=(?P<credential>[^\s,]+) *, *"
    r"SignedHeaders=(?P<signed_headers>[a-z0-9;!#$%&'*+.^_`|~-]+) *, *"
    r"Signature=(?P<signature>[0-9a-f]{64})"
)
_CREDENTIAL = re.compile(
    r"(?P<access_key_id>[A-Za-z0-9_]{1,128})/(?P<date>[0-9]{8})/(?P<region>[^/]+)"
    rf"/(?P<service>[^/]+)/{sigv4.TERMINATOR}"
)
_AMZ_DATE = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_REQUEST_TEXT = re.compile(r"[!-~]*")
_HEADER_TEXT = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]*")
_SINGLE_HEADERS = ("authorization", "content-length", "content-type", "host")


@dataclass(frozen=True)
class _Claim:
    """What the Authorization header says."""

    access_key_id: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str


def authenticate(
    request: HttpRequest,
    *,
    now: datetime,
    region: str,
    service: str = SERVICE,
    find_secret: Callable[[str], str | None],
    max_skew: timedelta = MAX_SKEW,
    session_token_valid: Callable[[str, str], bool] | None = None,
) -> str:
    """The id of the access key that signed the request.

    Args:
        request: with the path and the query as they were on the wire.
        now: the daemon's time, aware.
        region: the only region accepted in the credential scope.
        service: the only service accepted there.
        find_secret: the secret of an access key id, or None.
        max_skew: how far the client's clock may be off, either way; exactly this much is accepted.
        session_token_valid: whether (access key id, session token) belong together. Without it,
            a request with a session token is refused rather than its token ignored.

    Raises:
        CredentialsError: MISSING_CREDENTIALS, INVALID_CREDENTIALS, CLOCK_SKEW (fields
            "server_time", "skew_seconds") or SIGNATURE_MISMATCH.
    """
    if not request.header_values("authorization"):
        raise CredentialsError("The request is not signed.", reason="MISSING_CREDENTIALS")
    _check_text(request)
    headers = _single_headers(request)
    claim = _read_authorization(headers["authorization"])
    signed_at = _check_scope(claim, headers, region, service)
    _check_signed_headers(claim, headers)
    payload_hash = _check_body(request, headers)
    _check_session_token(headers, session_token_valid)
    _check_clock(signed_at, now, max_skew)
    _check_signature(request, claim, payload_hash, headers, find_secret)
    token = headers.get("x-amz-security-token")
    if session_token_valid and token and not session_token_valid(claim.access_key_id, token):
        raise _mismatch()
    return claim.access_key_id


def _check_text(request: HttpRequest) -> None:
    """No request line or header that could stand for another one in the canonical form."""
    for text in (request.method, request.path, request.query):
        if not _REQUEST_TEXT.fullmatch(text):
            raise _invalid("The request line holds characters that must be percent-encoded.")
    for name, value in request.headers:
        if not _HEADER_TEXT.fullmatch(name + value):
            raise _invalid("A header holds characters that must not be there.")


def _single_headers(request: HttpRequest) -> Mapping[str, str]:
    """The headers by lower-case name; those that decide anything may be there once only."""
    headers: dict[str, str] = {}
    for name, value in request.headers:
        lower = name.lower()
        if lower in headers and (lower in _SINGLE_HEADERS or lower.startswith("x-amz-")):
            raise _invalid("A header that the signature depends on is there twice.")
        headers[lower] = value.strip()
    return headers


def _read_authorization(text: str) -> _Claim:
    if len(text) > MAX_AUTHORIZATION_CHARACTERS:
        raise _invalid("The Authorization header is too long.")
    parts = _AUTHORIZATION.fullmatch(text)
    credential = _CREDENTIAL.fullmatch(parts["credential"]) if parts else None
    if parts is None or credential is None:
        raise _invalid(f"The Authorization header is not of the form of {sigv4.ALGORITHM}.")
    return _Claim(
        access_key_id=credential["access_key_id"],
        date=credential["date"],
        region=credential["region"],
        service=credential["service"],
        signed_headers=tuple(parts["signed_headers"].split(";")),
        signature=parts["signature"],
    )


def _check_scope(claim: _Claim, headers: Mapping[str, str], region: str, service: str) -> datetime:
    amz_date = headers.get("x-amz-date", "")
    try:
        if not _AMZ_DATE.fullmatch(amz_date):
            raise ValueError
        signed_at = datetime.strptime(amz_date, sigv4.AMZ_DATE_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        raise _invalid("The X-Amz-Date header is missing or not a time.") from None
    if claim.date != amz_date[:8]:
        raise _invalid("The credential scope is for another day than X-Amz-Date.")
    if claim.region != region:
        raise _invalid(f"The request is signed for another region than {region}.")
    if claim.service != service:
        raise _invalid(f"The request is signed for another service than {service}.")
    return signed_at


def _check_signed_headers(claim: _Claim, headers: Mapping[str, str]) -> None:
    signed = set(claim.signed_headers)
    if list(claim.signed_headers) != sorted(signed):
        raise _invalid("The signed headers are not sorted, or one is there twice.")
    if not signed <= set(headers):
        raise _invalid("A header that is said to be signed is not in the request.")
    required = {"host", "x-amz-date"} | {name for name in headers if name.startswith("x-amz-")}
    if not required <= signed:
        raise _invalid("Host and every X-Amz- header must be signed.")


def _check_body(request: HttpRequest, headers: Mapping[str, str]) -> str:
    actual = sigv4.hash_payload(request.body)
    stated = headers.get("x-amz-content-sha256", actual)
    if not hmac.compare_digest(stated.encode(), actual.encode()):
        raise _invalid("X-Amz-Content-Sha256 is not the SHA-256 of the body.")
    return actual


def _check_session_token(
    headers: Mapping[str, str], session_token_valid: Callable[[str, str], bool] | None
) -> None:
    if "x-amz-security-token" in headers and session_token_valid is None:
        raise _invalid("This daemon issues no session tokens, and the request has one.")


def _check_clock(signed_at: datetime, now: datetime, max_skew: timedelta) -> None:
    skew = signed_at - now
    if abs(skew) <= max_skew:
        return
    minutes = round(abs(skew) / timedelta(minutes=1))
    direction = "ahead of" if skew > timedelta() else "behind"
    server_time = now.astimezone(UTC).isoformat(timespec="seconds")
    raise CredentialsError(
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
    claim: _Claim,
    payload_hash: str,
    headers: Mapping[str, str],
    find_secret: Callable[[str], str | None],
) -> None:
    secret = find_secret(claim.access_key_id)
    expected = sigv4.signature(
        _DUMMY_SECRET if secret is None else secret,
        request,
        signed_headers=claim.signed_headers,
        payload_hash=payload_hash,
        amz_date=headers["x-amz-date"],
        region=claim.region,
        service=claim.service,
    )
    matches = hmac.compare_digest(expected, claim.signature)
    if not matches or secret is None:
        raise _mismatch()


def _mismatch() -> CredentialsError:
    return CredentialsError(
        "The access key is unknown or the signature does not match.", reason="SIGNATURE_MISMATCH"
    )


def _invalid(message: str) -> CredentialsError:
    return CredentialsError(message, reason="INVALID_CREDENTIALS")
