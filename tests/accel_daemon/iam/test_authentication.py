"""Which signed requests are believed, and how the others are refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from accel_daemon.iam.authentication import Signer, authenticate
from accel_protocol import sigv4
from accel_protocol.errors import CredentialsError
from accel_protocol.sigv4 import AccessKey, HttpRequest, sign

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
REGION = "us-east-1"
SERVICE = "elastic-inference"
KEY = AccessKey("AKIATESTTESTTESTTEST", "not-a-real-secret-of-forty-characters-ab")
SECRETS = {KEY.access_key_id: KEY.secret_access_key}
PLAIN = HttpRequest(
    "POST",
    "/tags/arn%3Aaws%3Ax",
    "tagKeys=b&tagKeys=a",
    (("Host", "accel.example:8443"), ("Content-Type", "application/json")),
    b'{"a": 1}',
)


def signed(
    request: HttpRequest = PLAIN,
    key: AccessKey = KEY,
    at: datetime = NOW,
    region: str = REGION,
    service: str = SERVICE,
) -> HttpRequest:
    """The request with its signature."""
    added = sign(request, key, region=region, service=service, now=at)
    return replace(request, headers=(*request.headers, *added.items()))


def check(request: HttpRequest, now: datetime = NOW) -> str:
    """Authenticate against the one known key."""
    return authenticate(request, now=now, region=REGION, find_secret=SECRETS.get).access_key_id


def refusal(request: HttpRequest, now: datetime = NOW) -> CredentialsError:
    """How a request is refused."""
    with pytest.raises(CredentialsError) as caught:
        check(request, now)
    return caught.value


def with_header(request: HttpRequest, name: str, value: str) -> HttpRequest:
    """The request with one header set, without signing it again."""
    kept = tuple(pair for pair in request.headers if pair[0].lower() != name.lower())
    return replace(request, headers=(*kept, (name, value)))


def without_header(request: HttpRequest, name: str) -> HttpRequest:
    """The request without a header."""
    kept = tuple(pair for pair in request.headers if pair[0].lower() != name.lower())
    return replace(request, headers=kept)


def with_authorization(request: HttpRequest, change: Callable[[str], str]) -> HttpRequest:
    """The request with its Authorization header rewritten."""
    (value,) = request.header_values("authorization")
    return with_header(request, "Authorization", change(value))


def test_signed_request_gives_its_key_id() -> None:
    """What our own signer signs is believed."""
    assert check(signed()) == KEY.access_key_id


def test_botocore_signature_is_believed() -> None:
    """A request that botocore signed, which sends no X-Amz-Content-Sha256, is believed."""
    url = f"https://accel.example:8443{PLAIN.path}?{PLAIN.query}"
    made = AWSRequest(method="POST", url=url, data=PLAIN.body, headers=dict(PLAIN.headers))
    credentials = Credentials(KEY.access_key_id, KEY.secret_access_key)
    SigV4Auth(credentials, SERVICE, REGION).add_auth(made)
    stamp = datetime.strptime(made.headers["X-Amz-Date"], sigv4.AMZ_DATE_FORMAT)
    arrived = replace(PLAIN, headers=tuple(made.headers.items()))
    assert "x-amz-content-sha256" not in {name.lower() for name, _ in arrived.headers}
    assert check(arrived, stamp.replace(tzinfo=UTC)) == KEY.access_key_id


def test_authorization_without_spaces_after_commas_is_believed() -> None:
    """Some SDKs leave them out."""
    assert check(with_authorization(signed(), lambda v: v.replace(", ", ","))) == KEY.access_key_id


def test_unsigned_header_may_change() -> None:
    """A proxy may rewrite what no signature covers."""
    assert check(with_header(signed(), "User-Agent", "other")) == KEY.access_key_id


def test_missing_authorization() -> None:
    """An anonymous caller is told to bring credentials."""
    assert refusal(PLAIN).reason == "MISSING_CREDENTIALS"


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Bearer abc",
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 Credential=a/b/c",
        "AWS4-HMAC-SHA1 Credential=a/20260131/us-east-1/s/aws4_request, SignedHeaders=a, "
        "Signature=" + "0" * 64,
        "AWS4-HMAC-SHA256 Credential=" + "a" * 5000,
    ],
)
def test_malformed_authorization(value: str) -> None:
    """Whatever is no SigV4 header is refused as such."""
    assert refusal(with_header(signed(), "Authorization", value)).reason == "INVALID_CREDENTIALS"


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v.replace("aws4_request", "aws4_other"),
        lambda v: v.replace("/20260131/", "/20260130/"),
        lambda v: v.replace("/us-east-1/", "/eu-west-1/"),
        lambda v: v.replace("/elastic-inference/", "/s3/"),
        lambda v: v.replace("host;", ""),
        lambda v: v.replace(";x-amz-date", ""),
        lambda v: v.replace(";x-amz-content-sha256", ""),
        lambda v: v.replace("content-type;host", "host;content-type"),
        lambda v: v.replace("host;", "host;host;"),
        lambda v: v.replace("host;", "Host;"),
        lambda v: v.replace("x-amz-date", "x-amz-date;x-not-there"),
        lambda v: v[:-1],
        lambda v: v + "0",
        lambda v: v[:-64] + v[-64:].upper(),
        lambda v: v + ", Signature=" + "0" * 64,
    ],
)
def test_wrong_claim(change: Callable[[str], str]) -> None:
    """Scope, signed headers and form are checked before any secret is."""
    assert refusal(with_authorization(signed(), change)).reason == "INVALID_CREDENTIALS"


@pytest.mark.parametrize(
    "name",
    ["Authorization", "X-Amz-Date", "host", "X-AMZ-content-sha256", "Content-Type", "X-Amz-Meta"],
)
def test_duplicate_header(name: str) -> None:
    """A header that decides something may not be there twice, even with the same value."""
    request = signed(with_header(PLAIN, "X-Amz-Meta", "1"))
    (value,) = request.header_values(name)
    twice = replace(request, headers=(*request.headers, (name, value)))
    error = refusal(twice)
    assert error.reason == "INVALID_CREDENTIALS"
    assert "twice" in error.message


@pytest.mark.parametrize("value", ["", "20260131", "20260131T120000", "20261331T120000Z", "now"])
def test_malformed_date(value: str) -> None:
    """X-Amz-Date is a time."""
    assert refusal(with_header(signed(), "X-Amz-Date", value)).reason == "INVALID_CREDENTIALS"


def test_missing_date() -> None:
    """A request without its time could be replayed for ever."""
    assert refusal(without_header(signed(), "X-Amz-Date")).reason == "INVALID_CREDENTIALS"


def test_unsigned_amz_header() -> None:
    """An X-Amz- header that was added on the way is refused."""
    assert refusal(with_header(signed(), "X-Amz-Target", "x")).reason == "INVALID_CREDENTIALS"


@pytest.mark.parametrize("stated", ["UNSIGNED-PAYLOAD", "", "0" * 64, "é"])
def test_wrong_body_hash(stated: str) -> None:
    """The stated hash must be that of the body; not stating one is no way around it."""
    error = refusal(with_header(signed(), "X-Amz-Content-Sha256", stated))
    assert error.reason == "INVALID_CREDENTIALS"


def test_properly_signed_unsigned_payload() -> None:
    """UNSIGNED-PAYLOAD is refused even when it is what was signed."""
    request = with_header(PLAIN, "X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
    request = with_header(request, "X-Amz-Date", "20260131T120000Z")
    names = sigv4.headers_to_sign(name for name, _ in request.headers)
    proof = sigv4.signature(
        KEY.secret_access_key,
        request,
        signed_headers=names,
        payload_hash="UNSIGNED-PAYLOAD",
        amz_date="20260131T120000Z",
        region=REGION,
        service=SERVICE,
    )
    scope = sigv4.credential_scope("20260131", REGION, SERVICE)
    value = (
        f"{sigv4.ALGORITHM} Credential={KEY.access_key_id}/{scope}, "
        f"SignedHeaders={';'.join(names)}, Signature={proof}"
    )
    assert refusal(with_header(request, "Authorization", value)).reason == "INVALID_CREDENTIALS"


@pytest.mark.parametrize(
    "changed",
    [
        replace(signed(), method="GET"),
        replace(signed(), path="/tags/arn%3Aaws%3Ay"),
        replace(signed(), query="tagKeys=a"),
        with_header(signed(), "Host", "elsewhere.example"),
        with_header(signed(), "Content-Type", "text/plain"),
        with_header(signed(), "X-Amz-Date", "20260131T120001Z"),
        with_authorization(signed(), lambda v: v[:-64] + "0" * 64),
        signed(key=AccessKey(KEY.access_key_id, "another-secret")),
    ],
)
def test_tampered_request(changed: HttpRequest) -> None:
    """Every signed part is bound."""
    assert refusal(changed).reason == "SIGNATURE_MISMATCH"


def test_tampered_body() -> None:
    """The body is bound even where no hash is stated."""
    assert refusal(replace(signed(), body=b"{}")).reason == "INVALID_CREDENTIALS"


@pytest.mark.parametrize("minutes", [-5, 0, 5])
def test_five_minutes_either_way_are_accepted(minutes: int) -> None:
    """Exactly the limit is within it."""
    assert check(signed(at=NOW + timedelta(minutes=minutes))) == KEY.access_key_id


@pytest.mark.parametrize(
    ("off", "said"),
    [
        (timedelta(minutes=7), "7 minutes ahead"),
        (timedelta(minutes=-90), "90 minutes behind"),
        (timedelta(minutes=5, seconds=1), "5 minutes ahead"),
        (timedelta(minutes=-5, seconds=-1), "5 minutes behind"),
    ],
)
def test_wrong_clock_is_told_by_how_much(off: timedelta, said: str) -> None:
    """The message says which way, how far, and what time the daemon has."""
    error = refusal(signed(at=NOW + off))
    assert error.reason == "CLOCK_SKEW"
    assert said in error.message
    assert error.fields["server_time"] == "2026-01-31T12:00:00+00:00"
    assert error.fields["skew_seconds"] == str(int(off.total_seconds()))
    assert error.fields["server_time"] in error.message


def test_wrong_clock_is_told_before_a_wrong_signature() -> None:
    """A machine with both problems learns of the clock, and nothing about the key."""
    late = signed(key=AccessKey("AKIAUNKNOWNUNKNOWN22", "x" * 40), at=NOW - timedelta(hours=1))
    assert refusal(late).reason == "CLOCK_SKEW"


def test_unknown_key_and_wrong_signature_look_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Same reason, same text, same fields, and one signature computed for each."""
    computed: list[HttpRequest] = []
    real = sigv4.signature

    def counted(secret: str, request: HttpRequest, **more: Any) -> str:
        computed.append(request)
        return real(secret, request, **more)

    monkeypatch.setattr(sigv4, "signature", counted)
    wrong = signed(key=AccessKey(KEY.access_key_id, "wrong-secret-of-forty-characters-abcdefg"))
    unknown = signed(key=AccessKey("AKIAUNKNOWNUNKNOWN22", KEY.secret_access_key))
    computed.clear()
    first, second = refusal(wrong), refusal(unknown)
    assert computed == [wrong, unknown]
    assert first.reason == second.reason == "SIGNATURE_MISMATCH"
    assert (str(first), first.fields) == (str(second), second.fields)


def test_signing_with_the_dummy_secret_does_not_help(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even who knew the dummy secret would get nowhere with an unknown key id."""
    monkeypatch.setattr("accel_daemon.iam.authentication._DUMMY_SECRET", "known-to-the-attacker")
    forged = signed(key=AccessKey("AKIAUNKNOWNUNKNOWN22", "known-to-the-attacker"))
    assert refusal(forged).reason == "SIGNATURE_MISMATCH"


TEMPORARY = AccessKey("ASIA" + "T" * 16, "temporary-secret", "good")


def check_session(request: HttpRequest) -> Signer:
    """Authenticate where one session token is known."""
    known = {(TEMPORARY.access_key_id, "good"): TEMPORARY.secret_access_key}
    return authenticate(
        request,
        now=NOW,
        region=REGION,
        find_secret={**SECRETS, TEMPORARY.access_key_id: TEMPORARY.secret_access_key}.get,
        find_session_secret=lambda *pair: known.get(pair),
    )


def test_session_token_that_nobody_checks_is_refused() -> None:
    """A token is never ignored."""
    assert refusal(signed(key=TEMPORARY)).reason == "INVALID_CREDENTIALS"


def test_secret_of_a_temporary_key_comes_with_its_token() -> None:
    """Key and token together find the secret; the token is given back, but not shown."""
    signer = check_session(signed(key=TEMPORARY))
    assert signer == Signer(TEMPORARY.access_key_id, "good")
    assert "good" not in repr(signer)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (replace(TEMPORARY, session_token="bad"), "SIGNATURE_MISMATCH"),
        (replace(TEMPORARY, access_key_id="ASIA" + "U" * 16), "SIGNATURE_MISMATCH"),
        (replace(TEMPORARY, secret_access_key="wrong"), "SIGNATURE_MISMATCH"),
        (replace(TEMPORARY, session_token=None), "INVALID_CREDENTIALS"),
        (replace(KEY, session_token="good"), "INVALID_CREDENTIALS"),
    ],
)
def test_temporary_key_and_token_go_together(key: AccessKey, reason: str) -> None:
    """Neither is good without the other, and a lasting key has no token."""
    with pytest.raises(CredentialsError) as caught:
        check_session(signed(key=key))
    assert caught.value.reason == reason


def test_session_token_is_signed() -> None:
    """A token that was put beside the signed headers, or changed, is refused."""
    without = signed(key=replace(TEMPORARY, session_token=None))
    for request, reason in (
        (with_header(without, "X-Amz-Security-Token", "good"), "INVALID_CREDENTIALS"),
        (with_header(signed(key=TEMPORARY), "X-Amz-Security-Token", ""), "INVALID_CREDENTIALS"),
    ):
        with pytest.raises(CredentialsError) as caught:
            check_session(request)
        assert caught.value.reason == reason


@pytest.mark.parametrize(
    "refused",
    [
        with_header(signed(), "Content-Type", "text/plain"),
        with_header(signed(), "X-Amz-Date", "20260131T110000Z"),
        replace(signed(), body=b""),
        with_authorization(signed(), lambda value: value[:-1]),
    ],
)
def test_refusals_hold_no_secret_and_no_key_id(refused: HttpRequest) -> None:
    """Neither the message nor the fields repeat credentials."""
    error = refusal(refused)
    said = f"{error} {error.fields}"
    assert KEY.access_key_id not in said
    assert KEY.secret_access_key not in said


@given(st.text() | st.binary().map(lambda raw: raw.decode("latin-1")))
def test_any_authorization_is_refused_properly(value: str) -> None:
    """Random text never raises anything but CredentialsError."""
    refusal(with_header(signed(), "Authorization", value))


@given(
    st.tuples(st.text(), st.text(), st.text(), st.binary()),
    st.lists(st.tuples(st.text(), st.text()), max_size=4),
)
def test_any_request_is_refused_properly(
    line: tuple[str, str, str, bytes], headers: list[tuple[str, str]]
) -> None:
    """Random requests under a real Authorization header raise nothing else either."""
    method, path, query, body = line
    refusal(HttpRequest(method, path, query, (*headers, *signed().headers), body))


@pytest.mark.parametrize("field", ["method", "path", "query"])
def test_control_characters_in_the_request_line(field: str) -> None:
    """Nothing may smuggle a line into the canonical request."""
    smuggled = replace(PLAIN, **{field: "/a\nhost:x"})  # type: ignore[arg-type]
    assert refusal(signed(smuggled)).reason == "INVALID_CREDENTIALS"


@pytest.mark.parametrize(("off", "good"), [(-301, False), (-300, True), (300, True), (301, False)])
def test_times_of_a_clock_that_was_set(off: int, good: bool) -> None:
    """A signature may name any of them, within the same five minutes as of the clock itself."""
    hour = timedelta(hours=1)
    request = signed(at=NOW + hour + timedelta(seconds=off))
    known: Any = {"region": REGION, "find_secret": SECRETS.get, "also": (NOW - hour, NOW + hour)}
    if good:
        assert authenticate(request, now=NOW, **known).access_key_id == KEY.access_key_id
        return
    with pytest.raises(CredentialsError) as caught:
        authenticate(request, now=NOW, **known)
    assert caught.value.reason == "CLOCK_SKEW"
    assert caught.value.fields["server_time"] == NOW.isoformat()
