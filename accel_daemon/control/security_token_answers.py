"""Answers of the Security Token Service in AWS's query protocol: XML, errors included."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from xml.sax.saxutils import escape

from aiohttp import web

from accel_daemon.control.error_answers import ERROR_TYPE_HEADER, REQUEST_ID_HEADER
from accel_daemon.iam.temporary_credentials import TemporaryCredentials
from accel_protocol.errors import AcceleratorError, row_of

NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"
# An error's field that says which of AWS's codes it has, where its reason does not.
CODE = "code"

Members = Mapping[str, "str | Members"]

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_CODES: Mapping[str, str] = {
    "ACCESS_DENIED": "AccessDenied",
    "BUSY": "Throttling",
    "CLOCK_SKEW": "RequestExpired",
    "CREDENTIALS_EXPIRED": "ExpiredToken",
    "INTERNAL": "InternalFailure",
    "INVALID_CALL": "ValidationError",
    "INVALID_CREDENTIALS": "IncompleteSignature",
    "LIMIT_EXCEEDED": "PackedPolicyTooLarge",
    "MISSING_CREDENTIALS": "MissingAuthenticationToken",
    "SIGNATURE_MISMATCH": "InvalidClientTokenId",
    "SIGNATURE_REPLAYED": "SignatureDoesNotMatch",
}


def success(operation: str, result: Members, request_id: str) -> web.Response:
    """The answer to an operation that succeeded."""
    document: Members = {
        f"{operation}Response": {
            f"{operation}Result": result,
            "ResponseMetadata": {"RequestId": request_id},
        }
    }
    return web.Response(text=_xml(document), content_type="text/xml")


def failure(error: AcceleratorError, request_id: str) -> web.Response:
    """The answer that tells a client about an error."""
    status = row_of(error.reason).http
    code = error.fields.get(CODE) or _CODES.get(error.reason, "ServiceUnavailable")
    document: Members = {
        "ErrorResponse": {
            "Error": {
                "Type": "Sender" if status < 500 else "Receiver",
                "Code": code,
                "Message": error.message,
            },
            "RequestId": request_id,
        }
    }
    headers = {REQUEST_ID_HEADER: request_id, ERROR_TYPE_HEADER: code}
    return web.Response(
        text=_xml(document), status=status, content_type="text/xml", headers=headers
    )


def credentials_members(credentials: TemporaryCredentials) -> Members:
    """Temporary credentials as AssumeRole and GetSessionToken show them."""
    expires_at = credentials.expires_at.astimezone(UTC)
    return {
        "AccessKeyId": credentials.access_key_id,
        "SecretAccessKey": credentials.secret_access_key,
        "SessionToken": credentials.session_token,
        "Expiration": _iso_time(expires_at),
    }


def _iso_time(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def _xml(document: Members) -> str:
    ((name, members),) = document.items()
    assert not isinstance(members, str)
    return f'<{name} xmlns="{NAMESPACE}">{_elements(members)}</{name}>\n'


def _text(value: str) -> str:
    """A text as XML: what XML has no form for may stand in what a caller sent."""
    return escape(_NOT_XML.sub("?", value))


def _elements(members: Members) -> str:
    return "".join(
        f"<{name}>{_text(value) if isinstance(value, str) else _elements(value)}</{name}>"
        for name, value in members.items()
    )
