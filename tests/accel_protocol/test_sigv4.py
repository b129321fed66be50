"""Signature Version 4 equals botocore's, byte for byte."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from accel_protocol import sigv4
from accel_protocol.errors import ConfigurationError, CredentialsError
from accel_protocol.sigv4 import AccessKey, HttpRequest, sign

REGION = "us-east-1"
SERVICE = "elastic-inference"
HOST = ("Host", "accel.example:8443")
KEY = AccessKey("AKIATESTTESTTESTTEST", "not-a-real-secret-of-forty-characters-ab")
TEMPORARY = AccessKey("ASIATESTTESTTESTTEST", KEY.secret_access_key, "session/token+==")
NOW = datetime(2026, 1, 31, 12, 0, 5, tzinfo=UTC)


def request(
    path: str = "/",
    query: str = "",
    headers: tuple[tuple[str, str], ...] = (HOST,),
    body: bytes = b"",
    method: str = "POST",
) -> HttpRequest:
    """A request with a host."""
    return HttpRequest(method, path, query, headers, body)


def botocore_request(wanted: HttpRequest) -> AWSRequest:
    """The same request for botocore."""
    url = f"https://accel.example:8443{wanted.path}" + (f"?{wanted.query}" if wanted.query else "")
    made = AWSRequest(method=wanted.method, url=url, data=wanted.body)
    for name, value in wanted.headers:
        made.headers[name] = value
    return made


def botocore_headers(wanted: HttpRequest, key: AccessKey, signer: type = SigV4Auth) -> AWSRequest:
    """The request after botocore signed it, with the body's hash as one of its headers."""
    made = botocore_request(wanted)
    made.headers["X-Amz-Content-Sha256"] = sigv4.hash_payload(wanted.body)
    service = "s3" if signer is S3SigV4Auth else SERVICE
    credentials = Credentials(key.access_key_id, key.secret_access_key, key.session_token)
    signer(credentials, service, REGION).add_auth(made)
    return made


REQUESTS = {
    "root": request(),
    "get": request(method="GET"),
    "body": request(body=b'{"acceleratorIds": []}'),
    "arn": request("/tags/arn%3Aaws%3Aelastic-inference%3Aus-east-1%3A0%3Aeia%2Feia-1"),
    "dots": request("/a/./b/../c//d/"),
    "above root": request("/../../x"),
    "only slashes": request("///"),
    "tilde and spaces": request("/~user/a%20b/%C3%A9"),
    "sub-delimiters": request("/a;b=c,d+e@f:g!$&'()*"),
    "query order": request(query="b=2&a=1&a=0&B=3"),
    "query empty values": request(query="b&a=&c==&&"),
    "query encoded": request(query="tagKeys=a%2Fb&tagKeys=a%20b&tagKeys=%E1%88%B4"),
    "inner spaces": request(headers=(HOST, ("X-Note", "  a   b \t c  "))),
    "repeated header": request(headers=(HOST, ("X-Note", "z"), ("x-note", "a  b"))),
    "header case": request(headers=(("HOST", HOST[1]), ("CONTENT-Type", "application/json"))),
    "quoted value": request(headers=(HOST, ("X-Note", '"a   b"'))),
    "rewritten headers": request(
        headers=(HOST, ("User-Agent", "x"), ("Connection", "close"), ("X-Amzn-Trace-Id", "1"))
    ),
}


@pytest.mark.parametrize("wanted", REQUESTS.values(), ids=REQUESTS.keys())
@pytest.mark.parametrize("key", [KEY, TEMPORARY], ids=["long-term", "temporary"])
def test_signs_as_botocore_does(wanted: HttpRequest, key: AccessKey) -> None:
    """Authorization and every other added header are those of botocore at the same second."""
    theirs = botocore_headers(wanted, key)
    stamp = datetime.strptime(theirs.headers["X-Amz-Date"], sigv4.AMZ_DATE_FORMAT)
    ours = sign(wanted, key, region=REGION, service=SERVICE, now=stamp.replace(tzinfo=UTC))
    assert ours == {name: theirs.headers[name] for name in ours}
    assert ("X-Amz-Security-Token" in ours) == (key.session_token is not None)


@pytest.mark.parametrize("path", ["/bucket/a//b/../c", "/bucket/a%20b", "/"])
def test_s3_keeps_its_path(path: str) -> None:
    """For S3 the path is signed as it is on the wire."""
    theirs = botocore_headers(request(path), KEY, S3SigV4Auth)
    stamp = datetime.strptime(theirs.headers["X-Amz-Date"], sigv4.AMZ_DATE_FORMAT)
    ours = sign(request(path), KEY, region=REGION, service="s3", now=stamp.replace(tzinfo=UTC))
    assert ours["Authorization"] == theirs.headers["Authorization"]


UNRESERVED = "abcXYZ019-_.~"
PATHS = st.lists(
    st.one_of(
        st.sampled_from(["/", ".", "..", "%2F", "%3A", "%20", "%C3%A9", "//"]),
        st.text(UNRESERVED + "!$&'()*+,;=:@", max_size=5),
    ),
    max_size=10,
).map(lambda parts: "/" + "".join(parts))
QUERIES = st.lists(
    st.sampled_from(["a", "b", "A", "=", "&", "%20", "%2F", "+", "~", "/", "?", ":", "1"]),
    max_size=14,
).map("".join)
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(["X-Note", "x-note", "Content-Type", "X-Amz-Meta", "Accept"]),
        st.text(" \tabcABC019,;=\"'/é", max_size=12),
    ),
    max_size=6,
).map(lambda pairs: (HOST, *pairs))


@given(
    path=PATHS,
    query=QUERIES,
    headers=HEADERS,
    body=st.binary(max_size=40),
    method=st.sampled_from(["GET", "post", "PUT", "DELETE"]),
)
def test_any_request_is_canonical_as_in_botocore(
    path: str, query: str, headers: tuple[tuple[str, str], ...], body: bytes, method: str
) -> None:
    """Canonical request, text to sign and signature equal botocore's."""
    wanted = request(path, query, (*headers, ("X-Amz-Date", "20260131T120005Z")), body, method)
    theirs = botocore_request(wanted)
    theirs.context["timestamp"] = "20260131T120005Z"
    auth = SigV4Auth(Credentials(KEY.access_key_id, KEY.secret_access_key), SERVICE, REGION)
    names = sigv4.headers_to_sign(name for name, _ in wanted.headers)
    canonical = sigv4.canonical_request(wanted, names, sigv4.hash_payload(body))
    assert canonical == auth.canonical_request(theirs)
    text = sigv4.string_to_sign(
        "20260131T120005Z", sigv4.credential_scope("20260131", REGION, SERVICE), canonical
    )
    assert text == auth.string_to_sign(theirs, canonical)
    ours = sigv4.signature(
        KEY.secret_access_key,
        wanted,
        signed_headers=names,
        payload_hash=sigv4.hash_payload(body),
        amz_date="20260131T120005Z",
        region=REGION,
        service=SERVICE,
    )
    assert ours == auth.signature(text, theirs)


def test_headers_of_an_earlier_signature_are_replaced() -> None:
    """Signing a request again covers only the new headers, so a retry verifies."""
    first = sign(TEMPORARY_REQUEST, TEMPORARY, region=REGION, service=SERVICE, now=NOW)
    again = HttpRequest("POST", "/", "", (HOST, *first.items()), b"x")
    later = NOW + timedelta(minutes=1)
    fresh = sign(TEMPORARY_REQUEST, TEMPORARY, region=REGION, service=SERVICE, now=later)
    assert sign(again, TEMPORARY, region=REGION, service=SERVICE, now=later) == fresh


TEMPORARY_REQUEST = request(body=b"x")


def test_time_is_signed_in_utc() -> None:
    """An aware time of any zone gives the same signature."""
    elsewhere = NOW.astimezone(timezone(timedelta(hours=9)))
    arguments = {"region": REGION, "service": SERVICE}
    assert sign(request(), KEY, now=NOW, **arguments) == sign(
        request(), KEY, now=elsewhere, **arguments
    )


def test_time_without_zone_is_refused() -> None:
    """A naive time would silently be the wrong one."""
    with pytest.raises(ConfigurationError):
        sign(request(), KEY, region=REGION, service=SERVICE, now=datetime(2026, 1, 31))


def test_request_without_host_is_refused() -> None:
    """A signature that is not bound to a host could be replayed at another."""
    with pytest.raises(ConfigurationError, match="Host"):
        sign(request(headers=()), KEY, region=REGION, service=SERVICE, now=NOW)


def test_absent_signed_header_is_refused() -> None:
    """A header named as signed but not there never counts as an empty one."""
    with pytest.raises(CredentialsError):
        sigv4.canonical_request(request(), ("host", "x-amz-date"), sigv4.hash_payload(b""))


def test_secrets_are_not_in_repr() -> None:
    """A key that ends up in a log line shows its id only."""
    shown = repr(TEMPORARY)
    assert TEMPORARY.access_key_id in shown
    assert TEMPORARY.secret_access_key not in shown
    assert str(TEMPORARY.session_token) not in shown
