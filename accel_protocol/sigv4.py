"""AWS Signature Version 4, from the standard library alone.

The client signs with it and the daemon verifies with it, so both compute the same bytes here.
Rules of this file: pure functions, no clock (the caller passes `now`), no cache that would keep a
secret alive, and no output that holds a secret. What is signed equals, byte for byte, what
botocore's SigV4Auth signs, so that any AWS SDK can talk to the daemon.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from urllib.parse import quote

from accel_protocol.errors import ConfigurationError, CredentialsError

ALGORITHM = "AWS4-HMAC-SHA256"
TERMINATOR = "aws4_request"
AMZ_DATE_FORMAT = "%Y%m%dT%H%M%SZ"

# Proxies and tracing libraries add, drop or rewrite these between signer and verifier.
UNSIGNED_HEADERS = frozenset(
    {
        "authorization",
        "baggage",
        "connection",
        "expect",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "traceparent",
        "tracestate",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "x-amzn-trace-id",
    }
)


@dataclass(frozen=True)
class HttpRequest:
    """One HTTP request as it stands on the wire.

    Attributes:
        method: for instance "POST".
        path: the percent-encoded path, as sent, starting with "/".
        query: the raw query string without "?"; may be empty.
        headers: (name, value) pairs in order; a name may repeat, in any case.
        body: the whole body; may be empty.
    """

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header_values(self, name: str) -> tuple[str, ...]:
        """All values of one header, in order; `name` in any case."""
        wanted = name.lower()
        return tuple(value for key, value in self.headers if key.lower() == wanted)


@dataclass(frozen=True)
class AccessKey:
    """What a caller signs with; the secrets stay out of repr()."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


def sign(
    request: HttpRequest, key: AccessKey, *, region: str, service: str, now: datetime
) -> dict[str, str]:
    """The headers that make `request` a signed one; set them, replacing any of the same name.

    Args:
        request: must hold a Host header; headers in UNSIGNED_HEADERS are left out of the signature.
        key: who signs.
        region: for instance "us-east-1".
        service: for instance "elastic-inference"; "s3" keeps its path as it is.
        now: an aware time.

    Returns:
        X-Amz-Date, X-Amz-Content-Sha256, X-Amz-Security-Token if the key has one, Authorization.

    Raises:
        ConfigurationError: no Host header, or `now` has no time zone.
    """
    if not request.header_values("host"):
        raise ConfigurationError("A request to be signed needs a Host header.", remedy="Add it.")
    amz_date = format_amz_date(now)
    payload_hash = hash_payload(request.body)
    added = {"X-Amz-Date": amz_date, "X-Amz-Content-Sha256": payload_hash}
    if key.session_token:
        added["X-Amz-Security-Token"] = key.session_token
    stamped = _with_headers(request, added)
    names = headers_to_sign(name for name, _ in stamped.headers)
    proof = signature(
        key.secret_access_key,
        stamped,
        signed_headers=names,
        payload_hash=payload_hash,
        amz_date=amz_date,
        region=region,
        service=service,
    )
    scope = credential_scope(amz_date[:8], region, service)
    credential = f"Credential={key.access_key_id}/{scope}"
    proof = f"SignedHeaders={';'.join(names)}, Signature={proof}"
    return {**added, "Authorization": f"{ALGORITHM} {credential}, {proof}"}


def signature(
    secret: str,
    request: HttpRequest,
    *,
    signed_headers: Sequence[str],
    payload_hash: str,
    amz_date: str,
    region: str,
    service: str,
) -> str:
    """The signature of a request that already carries all its headers: 64 lower-case hex digits.

    Raises:
        CredentialsError: a signed header is not in the request (INVALID_CREDENTIALS).
    """
    canonical = canonical_request(
        request, signed_headers, payload_hash, normalise=service.lower() != "s3"
    )
    scope = credential_scope(amz_date[:8], region, service)
    key = signing_key(secret, amz_date[:8], region, service)
    text = string_to_sign(amz_date, scope, canonical)
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def canonical_request(
    request: HttpRequest,
    signed_headers: Sequence[str],
    payload_hash: str,
    *,
    normalise: bool = True,
) -> str:
    """The canonical form of a request, over the given headers.

    Args:
        request: the request with all headers that are signed.
        signed_headers: lower-case names in the order in which they are signed (sorted).
        payload_hash: lower-case hex SHA-256 of the body.
        normalise: every service but S3 signs a normalised, once more encoded path.

    Raises:
        CredentialsError: a signed header is not in the request (INVALID_CREDENTIALS).
    """
    path = quote(normalise_path(request.path), safe="/~") if normalise else request.path
    return "\n".join(
        (
            request.method.upper(),
            path,
            canonical_query(request.query),
            *(f"{name}:{_canonical_value(request, name)}" for name in signed_headers),
            "",
            ";".join(signed_headers),
            payload_hash,
        )
    )


def string_to_sign(amz_date: str, scope: str, canonical: str) -> str:
    """What is signed: algorithm, time, scope and the digest of the canonical request."""
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    return "\n".join((ALGORITHM, amz_date, scope, digest))


def signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    """The 32-byte key for one day ("20260131"), region and service.

    Not cached: four HMACs take microseconds, and a cache would hold secrets of revoked keys.
    """
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, TERMINATOR):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def credential_scope(date: str, region: str, service: str) -> str:
    """Where and when a signature is good: "20260131/us-east-1/elastic-inference/aws4_request"."""
    return f"{date}/{region}/{service}/{TERMINATOR}"


def format_amz_date(now: datetime) -> str:
    """`now` as X-Amz-Date has it, for instance "20260131T120000Z".

    Raises:
        ConfigurationError: `now` has no time zone.
    """
    if now.tzinfo is None:
        raise ConfigurationError("The time to sign with has no time zone.", remedy="Pass UTC.")
    return now.astimezone(UTC).strftime(AMZ_DATE_FORMAT)


def hash_payload(body: bytes) -> str:
    """Lower-case hex SHA-256 of a body."""
    return hashlib.sha256(body).hexdigest()


def headers_to_sign(names: Iterable[str]) -> tuple[str, ...]:
    """Of these header names, those a signature covers: lower-case, sorted, each once."""
    return tuple(sorted({name.lower() for name in names} - UNSIGNED_HEADERS))


def normalise_path(path: str) -> str:
    """The path without ".", ".." and empty segments; a closing slash stays."""
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    first = "/" if path.startswith("/") or not path else ""
    last = "/" if path.endswith("/") and kept else ""
    return first + "/".join(kept) + last


def canonical_query(query: str) -> str:
    """The raw query's pairs sorted by name, then value; a name without "=" gets one."""
    if not query:
        return ""
    pairs = sorted(pair.partition("=")[::2] for pair in query.split("&"))
    return "&".join(f"{name}={value}" for name, value in pairs)


def _canonical_value(request: HttpRequest, name: str) -> str:
    values = request.header_values(name)
    if not values:
        raise CredentialsError("A header that is said to be signed is not in the request.")
    return ",".join(" ".join(value.split()) for value in values)


def _with_headers(request: HttpRequest, added: dict[str, str]) -> HttpRequest:
    replaced = {name.lower() for name in added}
    kept = tuple(pair for pair in request.headers if pair[0].lower() not in replaced)
    return replace(request, headers=kept + tuple(added.items()))
