"""Requests that are signed in their query."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlsplit

import pytest
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from accel_daemon.iam.authentication import authenticate
from accel_protocol import sigv4
from accel_protocol.errors import CredentialsError
from accel_protocol.sigv4 import AccessKey, HttpRequest, sign

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
REGION = "us-east-1"
SERVICE = "elastic-inference"
KEY = AccessKey("AKIATESTTESTTESTTEST", "not-a-real-secret-of-forty-characters-ab")
HOST = ("Host", "accel.example:8443")
PATH = "/tags/arn%3Aaws%3Ax"
SIGNED_HEADERS = "X-Amz-SignedHeaders=host"


def presigned(
    *,
    at: datetime = NOW,
    expires: object = 60,
    region: str = REGION,
    secret: str = KEY.secret_access_key,
    body: bytes = b"",
    payload_hash: str | None = None,
) -> HttpRequest:
    """A GET with all the parameters, signed here so that each can be wrong."""
    amz_date = sigv4.format_amz_date(at)
    scope = sigv4.credential_scope(amz_date[:8], region, SERVICE)
    query = "&".join(
        (
            "tagKeys=b",
            f"X-Amz-Algorithm={sigv4.ALGORITHM}",
            f"X-Amz-Credential={quote(f'{KEY.access_key_id}/{scope}', safe='')}",
            f"X-Amz-Date={amz_date}",
            f"X-Amz-Expires={expires}",
            SIGNED_HEADERS,
            "tagKeys=a",
        )
    )
    request = HttpRequest("GET", PATH, query, (HOST,), body)
    proof = sigv4.signature(
        secret,
        request,
        signed_headers=("host",),
        payload_hash=payload_hash or sigv4.hash_payload(body),
        amz_date=amz_date,
        region=region,
        service=SERVICE,
    )
    return replace(request, query=f"{query}&X-Amz-Signature={proof}")


def check(request: HttpRequest, now: datetime = NOW) -> str:
    """Authenticate against the one known key."""
    secrets = {KEY.access_key_id: KEY.secret_access_key}
    return authenticate(request, now=now, region=REGION, find_secret=secrets.get).access_key_id


def refusal(request: HttpRequest, now: datetime = NOW) -> CredentialsError:
    """How a request is refused."""
    with pytest.raises(CredentialsError) as caught:
        check(request, now)
    return caught.value


def edited(change: Callable[[str], str]) -> HttpRequest:
    """A good request whose query was changed afterwards."""
    request = presigned()
    assert change(request.query) != request.query
    return replace(request, query=change(request.query))


def test_presigned_request_gives_its_key_id() -> None:
    """With other parameters beside, which may repeat."""
    assert check(presigned()) == KEY.access_key_id


@pytest.mark.parametrize("body", [b"", b'{"tags": {"a": "b"}}'])
def test_body_is_signed(body: bytes) -> None:
    """Presigned requests may have a body, which is bound as in the header's form."""
    request = presigned(body=body)
    assert check(request) == KEY.access_key_id
    assert refusal(replace(request, body=b"other")).reason == "SIGNATURE_MISMATCH"


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("query", ["", "tagKeys=b&tagKeys=a%20%2B"])
def test_botocore_presigned_request_is_believed(method: str, query: str) -> None:
    """What botocore's SigV4QueryAuth makes of an address."""
    url = f"https://{HOST[1]}{PATH}" + (f"?{query}" if query else "")
    made = AWSRequest(method=method, url=url)
    credentials = Credentials(KEY.access_key_id, KEY.secret_access_key)
    SigV4QueryAuth(credentials, SERVICE, REGION, expires=900).add_auth(made)
    parts = urlsplit(made.url)
    arrived = HttpRequest(method, parts.path, parts.query, (HOST, *made.headers.items()), b"")
    assert check(arrived, datetime.now(UTC)) == KEY.access_key_id


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda q: q.replace("X-Amz-Algorithm=AWS4-HMAC-SHA256&", ""), "not complete"),
        (lambda q: q.replace("&X-Amz-Date=20260131T120000Z", ""), "not complete"),
        (lambda q: q.replace("&X-Amz-Expires=60", ""), "not complete"),
        (lambda q: q.replace(f"&{SIGNED_HEADERS}", ""), "not complete"),
        (lambda q: q[: q.index("&X-Amz-Signature")], "not complete"),
        (lambda q: q.replace("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"), "is not of"),
        (lambda q: q[:-1], "form of"),
        (lambda q: q[:-64] + "G" * 64, "form of"),
        (lambda q: q.replace("=host", "=host%0A"), "form of"),
        (lambda q: q.replace("=host", "=host%3Bx"), "not in the request"),
        (lambda q: q.replace("=host", "=host%3Bhost"), "not sorted"),
        (lambda q: q + "&X-Amz-Date=20260131T120000Z", "twice"),
        (lambda q: q + "&X-Amz-Signature=" + "0" * 64, "twice"),
        (lambda q: q + "&x-amz-credential=a", "no presigned request has"),
        (lambda q: q + "&X%2DAmz-Date=20260131T120000Z", "no presigned request has"),
        (lambda q: q + "&X-Amz-Target=Other", "no presigned request has"),
        (lambda q: q + "&X-Amz-Security-Token=abc", "no session tokens"),
        (lambda q: q.replace("%2Fus-east-1%2F", "%2Feu-west-1%2F"), "another region"),
        (lambda q: q.replace("%2Felastic-inference%2F", "%2Fs3%2F"), "another service"),
        (lambda q: q.replace("%2F20260131%2F", "%2F20260130%2F"), "another day"),
        (lambda q: q.replace("20260131T120000Z", "20261331T120000Z"), "not a time"),
        (lambda q: q + "&a=" + "a" * 7000, "too long"),
    ],
)
def test_wrong_claim(change: Callable[[str], str], said: str) -> None:
    """Form, scope and completeness are checked before any secret is."""
    error = refusal(edited(change))
    assert error.reason == "INVALID_CREDENTIALS"
    assert said in error.message


@pytest.mark.parametrize("expires", ["0", "901", "-1", "060", "1e2", "", "9999"])
def test_lifetimes_that_must_not_be(expires: str) -> None:
    """Even properly signed."""
    assert "X-Amz-Expires" in refusal(presigned(expires=expires)).message


@pytest.mark.parametrize(
    ("expires", "age", "good"),
    [(1, 1, True), (1, 2, False), (900, 900, True), (900, 901, False), (60, -300, True)],
)
def test_lifetime(expires: int, age: int, good: bool) -> None:
    """Good up to the very second, and from five minutes before the time of signing."""
    request, now = presigned(expires=expires), NOW + timedelta(seconds=age)
    if good:
        assert check(request, now) == KEY.access_key_id
    else:
        assert "expired" in refusal(request, now).message


def test_signed_in_the_future() -> None:
    """A clock that is ahead is told so."""
    assert refusal(presigned(at=NOW + timedelta(seconds=301))).reason == "CLOCK_SKEW"


def test_signed_twice() -> None:
    """In the query and in the header at once."""
    request = presigned()
    added = sign(request, KEY, region=REGION, service=SERVICE, now=NOW)
    both = replace(request, headers=(*request.headers, *added.items()))
    assert "in its query and in its Authorization header" in refusal(both).message


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("X-Amz-Date", "states the same in a header"),
        ("X-Amz-Security-Token", "states the same in a header"),
        ("X-Amz-Target", "must be signed"),
    ],
)
def test_header_that_is_not_signed(name: str, said: str) -> None:
    """What was added on the way decides nothing, and is refused."""
    request = presigned()
    assert said in refusal(replace(request, headers=(HOST, (name, "20260131T120000Z")))).message


@pytest.mark.parametrize(
    "changed",
    [
        replace(presigned(), method="DELETE"),
        replace(presigned(), path="/tags/other"),
        replace(presigned(), headers=(("Host", "elsewhere.example"),)),
        replace(presigned(), body=b"{}"),
        edited(lambda q: q.replace("tagKeys=a", "tagKeys=c")),
        edited(lambda q: q.replace("Expires=60", "Expires=61")),
        presigned(secret="another-secret"),
        presigned(body=b"{}", payload_hash="UNSIGNED-PAYLOAD"),
        presigned(payload_hash="UNSIGNED-PAYLOAD"),
    ],
)
def test_tampered_request(changed: HttpRequest) -> None:
    """Every part is bound, the body too."""
    assert refusal(changed).reason == "SIGNATURE_MISMATCH"


@given(st.text(alphabet="X-Amz-DateSignature=&%2Fx0", max_size=80))
def test_any_query_is_refused_properly(query: str) -> None:
    """Random queries never raise anything but CredentialsError."""
    refusal(replace(presigned(), query=query))
