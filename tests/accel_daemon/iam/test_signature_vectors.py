"""Signatures that botocore 1.36.26 made, at 2026-01-31T12:00:00Z, for requests of this API.

They stay what they are when botocore changes, and do not depend on our own signer.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from accel_daemon.iam.authentication import authenticate
from accel_protocol.errors import CredentialsError
from accel_protocol.sigv4 import HttpRequest

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
SECRETS = {"AKIATESTTESTTESTTEST": "not-a-real-secret-of-forty-characters-ab"}
SCOPE = "AKIATESTTESTTESTTEST/20260131/us-east-1/elastic-inference/aws4_request"
HOST = ("Host", "accel.example:8443")
JSON = ("Content-Type", "application/json")
ARN = (
    "/tags/arn%3Aaws%3Aelastic-inference%3Aus-east-1%3A000000000000"
    "%3Aelastic-inference-accelerator%2Feia-12ab"
)
KEYS = "tagKeys=b%20%C3%A9%2B&tagKeys=a%20b"


def in_header(
    line: tuple[str, str, str], signature: str, body: bytes = b"", *more: tuple[str, str]
) -> HttpRequest:
    """As SigV4Auth made it."""
    names = ";".join(sorted([name.lower() for name, _ in more] + ["host", "x-amz-date"]))
    value = f"AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders={names}, Signature={signature}"
    date = ("X-Amz-Date", "20260131T120000Z")
    return HttpRequest(*line, (HOST, *more, date, ("Authorization", value)), body)


def in_query(line: tuple[str, str, str], signature: str) -> HttpRequest:
    """As SigV4QueryAuth made it, for 900 seconds."""
    method, path, query = line
    credential = SCOPE.replace("/", "%2F")
    added = (
        f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={credential}"
        "&X-Amz-Date=20260131T120000Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host"
        f"&X-Amz-Signature={signature}"
    )
    return HttpRequest(method, path, f"{query}&{added}" if query else added, (HOST,), b"")


VECTORS = {
    "describe": in_header(
        ("POST", "/describe-accelerators", ""),
        "ba2ae46a4adda8adc6c2b12c05691d2662c8cd000ea179cb7433067f8200e381",
        b"{}",
        JSON,
    ),
    "list tags": in_header(
        ("GET", ARN, ""), "8b47e03456f34f72c606c84513190ec71dd3356888fdb4d9e63c3d36f3718e6d"
    ),
    "untag": in_header(
        ("DELETE", ARN, KEYS), "a51c07d70cbe0793d190a94f1abef41c35bd4759ffcd74a9eb44e54fecd8873a"
    ),
    "presigned list tags": in_query(
        ("GET", ARN, ""), "6ff1b14e3002c4775830bca642c306613ba3f5815a122ff63b77d9bc2fb6d5ea"
    ),
    "presigned untag": in_query(
        ("DELETE", ARN, KEYS.partition("&")[0]),
        "23c86c2301d219f31afaf0fa502777d6916e2358025e9eeeb35332feeb7d6e2a",
    ),
}


def check(request: HttpRequest) -> str:
    """Authenticate at the time of signing."""
    return authenticate(request, now=NOW, region="us-east-1", find_secret=SECRETS.get).access_key_id


@pytest.mark.parametrize("request_", VECTORS.values(), ids=VECTORS.keys())
def test_vector(request_: HttpRequest) -> None:
    """Believed as it is, and not with another host."""
    assert check(request_) == "AKIATESTTESTTESTTEST"
    other = (("Host", "accel.example"), *request_.headers[1:])
    with pytest.raises(CredentialsError) as caught:
        check(HttpRequest(request_.method, request_.path, request_.query, other, request_.body))
    assert caught.value.reason == "SIGNATURE_MISMATCH"
