"""Errors as HTTP answers, in the form in which AWS's SDKs expect them from a JSON service."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from accel_protocol.errors import AcceleratorError, row_of

REQUEST_ID_HEADER = "x-amzn-RequestId"
ERROR_TYPE_HEADER = "x-amzn-ErrorType"

# What the AWS service, or AWS services in general, call the same thing.
_AWS_NAMES: Mapping[str, str] = {
    "ACCESS_DENIED": "AccessDeniedException",
    "ACCELERATOR_NOT_FOUND": "ResourceNotFoundException",
    "CLOCK_SKEW": "RequestTimeTooSkewed",
    "CREDENTIALS_EXPIRED": "ExpiredTokenException",
    "INTERNAL": "InternalServerException",
    "INVALID_CALL": "BadRequestException",
    "INVALID_CREDENTIALS": "IncompleteSignatureException",
    "MISSING_CREDENTIALS": "MissingAuthenticationTokenException",
    "SIGNATURE_MISMATCH": "UnrecognizedClientException",
    "SIGNATURE_REPLAYED": "InvalidSignatureException",
    "UNAVAILABLE": "ServiceUnavailableException",
    "UNKNOWN_METHOD": "UnknownOperationException",
}


def error_type(error: AcceleratorError) -> str:
    """The AWS-like name of an error, or its class's name."""
    return _AWS_NAMES.get(error.reason, type(error).__name__)


def error_answer(error: AcceleratorError, request_id: str) -> web.Response:
    """The answer that tells a client about an error."""
    headers = {REQUEST_ID_HEADER: request_id, ERROR_TYPE_HEADER: error_type(error)}
    retry_after = error.fields.get("retry_after_ms", "")
    if retry_after.isdecimal():
        headers["Retry-After"] = str(-(-int(retry_after) // 1000))
    body = {
        "message": error.message,
        "reason": error.reason,
        "remedy": error.remedy,
        "requestId": request_id,
        "fields": error.fields,
    }
    return web.json_response(body, status=row_of(error.reason).http, headers=headers)
