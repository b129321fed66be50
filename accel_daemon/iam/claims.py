"""What a signed request claims, in its Authorization header or in its query (presigned). Pure.

Nothing here is proven yet: `authentication` compares the claim with the request and its signature.
A request states everything exactly once. What is there twice, in both places, or in another
spelling than SigV4's own is refused, because a second reader could take the other one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote

from accel_protocol import sigv4
from accel_protocol.errors import CredentialsError
from accel_protocol.sigv4 import HttpRequest

MAX_AUTHORIZATION_CHARACTERS = 4096
# A session token stands in it.
MAX_QUERY_CHARACTERS = 7000
MAX_PRESIGNED_SECONDS = 900

_PARAMETERS = (
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-SignedHeaders",
    "X-Amz-Signature",
)
_TOKEN_PARAMETER = "X-Amz-Security-Token"  # noqa: S105 - a parameter's name
_HEADER_NAMES = r"[a-z0-9;!#$%&'*+.^_`|~-]+"
_AUTHORIZATION = re.compile(
    rf"{sigv4.ALGORITHM} +Credential=(?P<credential>[^\s,]+) *, *"
    rf"SignedHeaders=(?P<signed_headers>{_HEADER_NAMES}) *, *"
    r"Signature=(?P<signature>[0-9a-f]{64})"
)
_CREDENTIAL = re.compile(
    r"(?P<access_key_id>[A-Za-z0-9_]{1,128})/(?P<date>[0-9]{8})/(?P<region>[^/]+)"
    rf"/(?P<service>[^/]+)/{sigv4.TERMINATOR}"
)
_AMZ_DATE = re.compile(r"[0-9]{8}T[0-9]{6}Z")


@dataclass(frozen=True)
class Claim:
    """Who says to have signed what, when.

    Attributes:
        access_key_id, date, region, service: the credential and its scope.
        signed_headers: lower-case names in the order of the claim.
        signature: 64 lower-case hex digits.
        amz_date: time of signing as it is signed, and
        signed_at: as a time.
        lifetime: how long a presigned request is good; None for one signed in its header.
        query: the part of the query that is signed.
        session_token: from header or query; None without one.
    """

    access_key_id: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str
    amz_date: str
    signed_at: datetime
    lifetime: timedelta | None
    query: str
    session_token: str | None


def read_claim(request: HttpRequest, headers: Mapping[str, str]) -> Claim:
    """The one claim of a request.

    Args:
        request: as it was on the wire.
        headers: its headers by lower-case name.

    Raises:
        CredentialsError: MISSING_CREDENTIALS, or INVALID_CREDENTIALS for a malformed claim.
    """
    parameters = _presigned_parameters(request.query)
    is_in_header = "authorization" in headers
    if parameters and is_in_header:
        raise invalid("The request is signed in its query and in its Authorization header.")
    if parameters:
        return _read_presigned(request.query, parameters, headers)
    if not is_in_header:
        raise CredentialsError("The request is not signed.", reason="MISSING_CREDENTIALS")
    return _read_authorization(request, headers)


def claimed_access_key_id(request: HttpRequest) -> str:
    """The access key id that a request names, which proves nothing; "" when there is none.

    For the audit log, where a claim must not look like a principal.
    """
    headers = {name.lower(): value.strip() for name, value in request.headers}
    try:
        return read_claim(request, headers).access_key_id
    except CredentialsError:
        return ""


def invalid(message: str) -> CredentialsError:
    """The refusal of a claim that is malformed or contradicts its request."""
    return CredentialsError(message, reason="INVALID_CREDENTIALS")


def _read_authorization(request: HttpRequest, headers: Mapping[str, str]) -> Claim:
    text = headers["authorization"]
    if len(text) > MAX_AUTHORIZATION_CHARACTERS:
        raise invalid("The Authorization header is too long.")
    parts = _AUTHORIZATION.fullmatch(text)
    if parts is None:
        raise invalid(f"The Authorization header is not of the form of {sigv4.ALGORITHM}.")
    amz_date = headers.get("x-amz-date", "")
    return Claim(
        *_read_credential(parts["credential"]),
        signed_headers=tuple(parts["signed_headers"].split(";")),
        signature=parts["signature"],
        amz_date=amz_date,
        signed_at=_read_date(amz_date),
        lifetime=None,
        query=request.query,
        session_token=headers.get("x-amz-security-token"),
    )


def _presigned_parameters(query: str) -> Mapping[str, str]:
    """The X-Amz- parameters of a query by name, decoded; empty when there are none.

    Raises:
        CredentialsError: one is there twice, in any case, or is not one of a presigned request.
    """
    found: dict[str, str] = {}
    for pair in query.split("&"):
        raw, _, value = pair.partition("=")
        if not unquote(raw).lower().startswith("x-amz-"):
            continue
        if raw not in (*_PARAMETERS, _TOKEN_PARAMETER):
            raise invalid("The query holds an X-Amz- parameter that no presigned request has.")
        if raw in found:
            raise invalid("The query holds an X-Amz- parameter twice.")
        found[raw] = unquote(value)
    return found


def _read_presigned(query: str, parameters: Mapping[str, str], headers: Mapping[str, str]) -> Claim:
    if len(query) > MAX_QUERY_CHARACTERS:
        raise invalid("The presigned query is too long.")
    if any(name not in parameters for name in _PARAMETERS):
        raise invalid("The presigned query is not complete.")
    if parameters["X-Amz-Algorithm"] != sigv4.ALGORITHM:
        raise invalid(f"The presigned query is not of {sigv4.ALGORITHM}.")
    if "x-amz-date" in headers or "x-amz-security-token" in headers:
        raise invalid("The presigned request states the same in a header.")
    names, signature = parameters["X-Amz-SignedHeaders"], parameters["X-Amz-Signature"]
    if not re.fullmatch(_HEADER_NAMES, names) or not re.fullmatch(r"[0-9a-f]{64}", signature):
        raise invalid(f"The presigned query is not of the form of {sigv4.ALGORITHM}.")
    pairs = query.split("&")
    return Claim(
        *_read_credential(parameters["X-Amz-Credential"]),
        signed_headers=tuple(names.split(";")),
        signature=signature,
        amz_date=parameters["X-Amz-Date"],
        signed_at=_read_date(parameters["X-Amz-Date"]),
        lifetime=_read_lifetime(parameters["X-Amz-Expires"]),
        query="&".join(one for one in pairs if not one.startswith("X-Amz-Signature=")),
        session_token=parameters.get(_TOKEN_PARAMETER),
    )


def _read_credential(text: str) -> tuple[str, str, str, str]:
    """Access key id, date, region and service."""
    credential = _CREDENTIAL.fullmatch(text)
    if credential is None:
        raise invalid(f"The credential is not of the form of {sigv4.ALGORITHM}.")
    return (
        credential["access_key_id"],
        credential["date"],
        credential["region"],
        credential["service"],
    )


def _read_date(amz_date: str) -> datetime:
    try:
        if not _AMZ_DATE.fullmatch(amz_date):
            raise ValueError
        return datetime.strptime(amz_date, sigv4.AMZ_DATE_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        raise invalid("X-Amz-Date is missing or not a time.") from None


def _read_lifetime(text: str) -> timedelta:
    if not re.fullmatch(r"[1-9][0-9]{0,5}", text) or int(text) > MAX_PRESIGNED_SECONDS:
        raise invalid(f"X-Amz-Expires is not a number from 1 to {MAX_PRESIGNED_SECONDS}.")
    return timedelta(seconds=int(text))
