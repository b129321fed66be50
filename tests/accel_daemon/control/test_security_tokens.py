"""The Security Token Service, by botocore's own client, and what its credentials are good for."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import botocore.session
import jwt
import pytest
from aiohttp.test_utils import TestClient, TestServer
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from accel_daemon.clock import Clock
from accel_daemon.control.gate import SIGNATURES
from accel_daemon.control.identity_store import IdentityStore
from accel_daemon.control.server import build_app
from accel_daemon.control.service import ControlService
from accel_daemon.iam.principals import Identities, Role, User, new_access_key, new_role_id
from accel_daemon.iam.replays import SignatureMemory
from accel_daemon.iam.sessions import SessionIssuer
from accel_daemon.iam.temporary_credentials import TemporaryCredentials
from accel_daemon.iam.tickets import TicketSigner
from accel_daemon.supervisor.fleet import Fleet
from accel_protocol.sigv4 import AccessKey, HttpRequest, sign

ACCOUNT = "000000000000"
CREATED = "2026-01-31T12:00:00+00:00"


def policy(*actions: str, effect: str = "Allow", resource: str = "*") -> dict[str, Any]:
    """A document with one statement."""
    statement = {"Effect": effect, "Action": list(actions), "Resource": resource}
    return {"Version": "2012-10-17", "Statement": [statement]}


ANY = policy("elastic-inference:*")
STATUS = policy("elastic-inference:GetStatus")


def user_arn(name: str) -> str:
    """A user's ARN."""
    return f"arn:aws:iam::{ACCOUNT}:user/{name}"


def role_arn(name: str) -> str:
    """A role's ARN."""
    return f"arn:aws:iam::{ACCOUNT}:role/{name}"


@dataclass
class Office:
    """The daemon with users and roles of these tests."""

    daemon: Any
    store: IdentityStore

    def add_user(self, name: str, *policies: Mapping[str, object]) -> AccessKey:
        """A user with these policies; the daemon takes it in at its next request."""
        made = new_access_key(CREATED)
        self.store.update(lambda present: present.with_user(User(name, policies, (made,))))
        return AccessKey(made.access_key_id, made.secret_access_key)

    def add_role(self, name: str, *policies: Mapping[str, object], **more: Any) -> Role:
        """A role with these policies."""
        role = Role(name, new_role_id(), policies, **more)
        self.store.update(lambda present: present.with_role(role))
        return role

    def change(self, step: Callable[[Identities], Identities]) -> None:
        """Another change."""
        self.store.update(step)

    def sts(self, key: AccessKey) -> Any:
        """Botocore's client, with nothing but keys, address and CA."""
        return botocore.session.Session().create_client(
            "sts",
            region_name="us-east-1",
            endpoint_url=self.daemon.ready["control"],
            verify=self.daemon.ready["ca_file"],
            aws_access_key_id=key.access_key_id,
            aws_secret_access_key=key.secret_access_key,
            aws_session_token=key.session_token,
            config=Config(retries={"max_attempts": 1}),
        )

    def assume(self, key: AccessKey, role: str, name: str = "night-run", **more: Any) -> AccessKey:
        """Become a role."""
        answer = self.sts(key).assume_role(RoleArn=role_arn(role), RoleSessionName=name, **more)
        return access_key(answer["Credentials"])

    def status(self, key: AccessKey) -> str:
        """What `GET /status` says to a key: its reason, or "" for a success."""
        answer = self.daemon.call("GET", "/status", key=key)
        return str(answer.json().get("reason", "")) if answer.status != 200 else ""

    def audited(self, request_id: str) -> list[dict[str, Any]]:
        """The lines of one request."""
        lines = (self.daemon.home / "daemon" / "audit.log").read_text().splitlines()
        return [one for one in map(json.loads, lines) if one["request_id"] == request_id]


def access_key(credentials: Mapping[str, Any]) -> AccessKey:
    """What an answer's credentials sign with."""
    return AccessKey(
        credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials["SessionToken"]
    )


def refusal(call: Callable[..., Any], **arguments: Any) -> tuple[int, str]:
    """HTTP status and code of a call that must fail, whose message and request id are there."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    answer: Any = caught.value.response
    assert answer["Error"]["Message"]
    assert answer["ResponseMetadata"]["RequestId"]
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]


@pytest.fixture(scope="module")
def office(
    tmp_path_factory: pytest.TempPathFactory, tools: Any, interpreter: Path
) -> Iterator[Office]:
    """A daemon of this module's own, whose accelerator has one tenant: the session `tenant`."""
    home = tmp_path_factory.mktemp("home")
    with tools.running_daemon(home, "--accelerator", f"host,python={interpreter}") as daemon:
        yield furnish(Office(daemon, IdentityStore(home / "daemon" / "identities.json")))


def furnish(made: Office) -> Office:
    """Users eve, who may assume roles, idle, who may nothing, and ann; lab trusts the first two."""
    daemon = made.daemon
    profile = json.loads((daemon.home / "client.json").read_text())
    daemon.keys["administrator"] = AccessKey(profile["access_key_id"], profile["secret_access_key"])
    daemon.keys["ann"] = made.add_user("ann", ANY)
    daemon.keys["eve"] = made.add_user("eve", policy("sts:AssumeRole"))
    daemon.keys["idle"] = made.add_user("idle", policy("*", effect="Deny"))
    trusted = (user_arn("eve"), user_arn("idle"))
    made.add_role("lab", ANY, trusted=trusted, max_session_seconds=7200)
    return made


def test_assumed_role(office: Office) -> None:
    """The credentials work where the role may go, under the session's name, and for an hour."""
    answer = office.sts(office.daemon.keys["eve"]).assume_role(
        RoleArn=role_arn("lab"), RoleSessionName="night-run"
    )
    lasting = answer["Credentials"]["Expiration"] - datetime.now(UTC)
    assert abs(lasting - timedelta(hours=1)) < timedelta(seconds=30)
    session = access_key(answer["Credentials"])
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/lab/night-run"
    assert answer["AssumedRoleUser"]["Arn"] == arn
    assert answer["AssumedRoleUser"]["AssumedRoleId"].endswith(":night-run")
    assert office.status(session) == ""
    identity = office.sts(session).get_caller_identity()
    assert (identity["Arn"], identity["Account"]) == (arn, ACCOUNT)
    assert identity["UserId"] == answer["AssumedRoleUser"]["AssumedRoleId"]


def test_assumed_role_is_a_tenant(office: Office) -> None:
    """A ticket for it names the session, and what the session goes back to."""
    key = office.daemon.keys["eve"]
    session = office.assume(key, "lab", "tenant")
    answer = office.daemon.call("POST", "/connect", {"accelerator": 0}, key=session)
    body = answer.json()
    assert answer.status == 200, body
    assert body["principal"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/lab/tenant"
    claims = jwt.decode(body["ticket"], options={"verify_signature": False})
    role = office.store.load().find_role("lab")
    assert role is not None
    assert (claims["sub"], claims["akid"]) == (body["principal"], session.access_key_id)
    assert claims["parents"] == [key.access_key_id, role.role_id]


def test_ticket_ends_no_later_than_its_session(office: Office) -> None:
    """A session of one minute gets a ticket of one minute."""
    session = sealed(office, datetime.now(UTC), 60, name="tenant")
    answer = office.daemon.call("POST", "/connect", {"accelerator": 0}, key=session).json()
    assert 50 <= answer["ticketExpiresIn"] <= 60
    claims = jwt.decode(answer["ticket"], options={"verify_signature": False})
    assert claims["exp"] <= time.time() + 60


def sealed(office: Office, now: datetime, seconds: int, name: str = "night-run") -> AccessKey:
    """Credentials of the role lab as the daemon itself could have issued them."""
    issuer = SessionIssuer((office.daemon.home / "daemon" / "session.key").read_bytes())
    return as_key(issuer.issue(office.store.load(), "lab", name, now, seconds))


def as_key(credentials: TemporaryCredentials) -> AccessKey:
    """Sign with them."""
    return AccessKey(
        credentials.access_key_id, credentials.secret_access_key, credentials.session_token
    )


def test_expired_credentials(office: Office) -> None:
    """Are refused as such, so that clients fetch new ones."""
    expired = sealed(office, datetime.now(UTC) - timedelta(hours=2), 3600)
    answer = office.daemon.call("GET", "/status", key=expired)
    assert answer.json()["reason"] == "CREDENTIALS_EXPIRED"
    assert answer.headers["x-amzn-ErrorType"] == "ExpiredTokenException"
    assert refusal(office.sts(expired).get_caller_identity) == (403, "ExpiredToken")
    wrong = replace(expired, secret_access_key="0" * 40)
    assert office.status(wrong) == "SIGNATURE_MISMATCH"


def test_key_and_token_go_together(office: Office) -> None:
    """A lasting key has no token, a temporary one only its own, and the secret counts."""
    good, other = sealed(office, datetime.now(UTC), 900), sealed(office, datetime.now(UTC), 900)
    token = good.session_token
    assert token is not None
    assert office.status(good) == ""
    assert office.status(replace(good, session_token=None)) == "INVALID_CREDENTIALS"
    lasting = office.daemon.keys["administrator"]
    assert office.status(replace(lasting, session_token=token)) == "INVALID_CREDENTIALS"
    changed = token[:-5] + ("A" if token[-5] != "A" else "B") + token[-4:]
    for wrong in (
        replace(good, session_token=other.session_token),
        replace(good, session_token=changed),
        replace(good, secret_access_key=other.secret_access_key),
    ):
        assert office.status(wrong) == "SIGNATURE_MISMATCH"


def test_session_policy_narrows(office: Office) -> None:
    """It takes away what the role may do, and gives nothing that the role may not."""
    key = office.daemon.keys["eve"]
    assert office.status(office.assume(key, "lab", Policy=json.dumps(STATUS))) == ""
    narrow = json.dumps(policy("elastic-inference:Connect", "sts:*"))
    narrowed = office.assume(key, "lab", Policy=narrow)
    assert office.status(narrowed) == "ACCESS_DENIED"
    arguments = {"RoleArn": role_arn("lab"), "RoleSessionName": "again"}
    assert refusal(office.sts(narrowed).assume_role, **arguments) == (403, "AccessDenied")


def test_boundary_of_a_user(office: Office) -> None:
    """What the boundary does not name is denied, whatever the policies say."""
    key = office.add_user("bounded", ANY)
    assert office.status(key) == ""
    office.change(
        lambda present: present.with_changed_user(
            "bounded", lambda user: replace(user, boundary=policy("elastic-inference:Connect"))
        )
    )
    assert office.status(key) == "ACCESS_DENIED"


def test_session_of_a_user(office: Office) -> None:
    """The user itself, who may assume roles with it, but not make it last for ever."""
    token = office.sts(office.daemon.keys["eve"]).get_session_token(DurationSeconds=900)
    session = access_key(token["Credentials"])
    assert office.sts(session).get_caller_identity()["Arn"] == user_arn("eve")
    assert office.status(office.assume(session, "lab")) == ""
    assert refusal(office.sts(session).get_session_token) == (403, "AccessDenied")


def test_who_one_is_cannot_be_denied(office: Office) -> None:
    """Also to a user who may nothing; there is a line about it."""
    answer = office.sts(office.daemon.keys["idle"]).get_caller_identity()
    assert answer["Arn"] == user_arn("idle")
    (line,) = office.audited(answer["ResponseMetadata"]["RequestId"])
    assert (line["action"], line["allowed"]) == ("sts:GetCallerIdentity", True)


@pytest.mark.parametrize("user", ["idle", "ann"])
@pytest.mark.parametrize("arn", [role_arn("lab"), role_arn("none"), role_arn("accel-instance"),
                                 "arn:aws:iam::999999999999:role/lab"])  # fmt: skip
def test_both_sides_must_agree(office: Office, user: str, arn: str) -> None:
    """Idle is trusted and denied, ann is not trusted: each hears the same, with one audit line."""
    with pytest.raises(ClientError) as caught:
        office.sts(office.daemon.keys[user]).assume_role(RoleArn=arn, RoleSessionName="night-run")
    answer: Any = caught.value.response
    assert answer["Error"]["Code"] == "AccessDenied"
    said = f"{user_arn(user)} is not allowed to do sts:AssumeRole on {arn}."
    assert answer["Error"]["Message"] == said
    (line,) = office.audited(answer["ResponseMetadata"]["RequestId"])
    assert (line["who"], line["action"]) == (user_arn(user), "sts:AssumeRole")
    assert (line["accelerator"], line["allowed"]) == (arn, False)


def test_caller_that_is_allowed_but_not_trusted(office: Office) -> None:
    """Its policies are not enough."""
    key = office.add_user("hopeful", policy("sts:*"))
    arguments = {"RoleArn": role_arn("lab"), "RoleSessionName": "night-run"}
    assert refusal(office.sts(key).assume_role, **arguments) == (403, "AccessDenied")
    assert refusal(office.sts(key).assume_role, **{**arguments, "RoleArn": role_arn("x")}) == (
        403,
        "AccessDenied",
    )


def test_role_after_role(office: Office) -> None:
    """A session may assume a role that trusts its role, for an hour at most."""
    office.add_role("second", STATUS, trusted=(role_arn("first"),), max_session_seconds=7200)
    office.add_role("first", policy("sts:AssumeRole"), trusted=(user_arn("eve"),))
    first = office.assume(office.daemon.keys["eve"], "first")
    long = {"RoleArn": role_arn("second"), "RoleSessionName": "on", "DurationSeconds": 3601}
    assert refusal(office.sts(first).assume_role, **long) == (400, "ValidationError")
    second = office.assume(first, "second", "on", DurationSeconds=3600)
    assert office.status(second) == ""
    office.change(lambda present: present.without_role("first"))
    assert office.status(second) == "SIGNATURE_MISMATCH"


def test_removed_role_ends_its_sessions(office: Office) -> None:
    """One of the same name does not revive them."""
    office.add_role("brief", ANY, trusted=(user_arn("eve"),))
    session = office.assume(office.daemon.keys["eve"], "brief")
    office.change(lambda present: present.without_role("brief"))
    assert office.status(session) == "SIGNATURE_MISMATCH"
    office.add_role("brief", ANY, trusted=(user_arn("eve"),))
    assert office.status(session) == "SIGNATURE_MISMATCH"
    assert refusal(office.sts(session).get_caller_identity) == (403, "InvalidClientTokenId")


def test_revoked_key_ends_its_sessions(office: Office) -> None:
    """Those of the user and those of roles that were assumed with it."""
    key = office.add_user("leaver", policy("sts:AssumeRole"))
    office.change(
        lambda present: present.with_changed_role(
            "lab", lambda role: replace(role, trusted=(*role.trusted, user_arn("leaver")))
        )
    )
    session = office.assume(key, "lab")
    assert office.status(session) == ""
    office.change(lambda present: present.without_key(key.access_key_id))
    assert office.status(session) == "SIGNATURE_MISMATCH"


GOOD = {"RoleArn": role_arn("lab"), "RoleSessionName": "night-run"}


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"RoleArn": "lab"}, "ValidationError"),
        ({"RoleArn": role_arn("lab") + "/*"}, "ValidationError"),
        ({"RoleArn": role_arn("lab").replace("aws", "aws-cn")}, "ValidationError"),
        ({"RoleSessionName": "a"}, "ValidationError"),
        ({"RoleSessionName": "a b"}, "ValidationError"),
        ({"RoleSessionName": "a" * 65}, "ValidationError"),
        ({"DurationSeconds": "899"}, "ValidationError"),
        ({"DurationSeconds": "43201"}, "ValidationError"),
        ({"DurationSeconds": "7201"}, "ValidationError"),
        ({"DurationSeconds": "1e3"}, "ValidationError"),
        ({"Policy": ""}, "ValidationError"),
        ({"Policy": " " * 2049}, "ValidationError"),
        ({"Policy": "{"}, "MalformedPolicyDocument"),
        ({"Policy": '{"Statement": []}'}, "MalformedPolicyDocument"),
        ({"PolicyArns.member.1.arn": "arn:aws:iam::aws:policy/X"}, "ValidationError"),
        ({"Tags.member.1.Key": "x"}, "ValidationError"),
        ({"ExternalId": "x"}, "ValidationError"),
        ({"Action": "AssumeRoot"}, "InvalidAction"),
        ({"Action": ""}, "InvalidAction"),
        ({"Version": "2011-06-16"}, "InvalidAction"),
    ],
)
def test_what_is_not_understood_is_refused(
    office: Office, changed: dict[str, str], code: str
) -> None:
    """Nothing that could have been meant to narrow is passed over; the answer is XML as in AWS."""
    form = {"Action": "AssumeRole", "Version": "2011-06-15", **GOOD, **changed}
    status, text = post(office, urlencode(form).encode())
    assert status == 400
    assert f"<Type>Sender</Type><Code>{code}</Code><Message>" in text


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"Action",
        b'{"Action": "AssumeRole"}',
        b"Action=GetCallerIdentity&Version=2011-06-15&Action=GetCallerIdentity",
        b"&".join([b"a=b"] * 33),
    ],
)
def test_malformed_form_is_refused(office: Office, body: bytes) -> None:
    """A form states everything once."""
    status, text = post(office, body)
    assert status == 400
    assert "<Code>ValidationError</Code>" in text or "<Code>InvalidAction</Code>" in text


def post(office: Office, body: bytes) -> tuple[int, str]:
    """A signed form; status and text of its answer."""
    key = office.daemon.keys["eve"]
    answer = office.daemon.call("POST", "/", body, key=key, service="sts")
    assert answer.headers["Content-Type"].startswith("text/xml")
    return answer.status, answer.data.decode()


IDENTITY = b"Action=GetCallerIdentity&Version=2011-06-15"


def test_refusals_of_the_gate_are_xml(office: Office) -> None:
    """Unsigned, wrong, or signed for the other service."""
    key = office.daemon.keys["eve"]
    wrong = replace(key, secret_access_key="0" * 40)
    for options, code in (
        ({}, "MissingAuthenticationToken"),
        ({"key": wrong, "service": "sts"}, "InvalidClientTokenId"),
        ({"key": key}, "IncompleteSignature"),
        ({"key": key, "service": "sts", "now": datetime(2020, 1, 1, tzinfo=UTC)}, "RequestExpired"),
    ):
        answer = office.daemon.call("POST", "/", IDENTITY, **options)
        assert answer.status == 403
        assert answer.headers["x-amzn-ErrorType"] == code
        assert f"<Code>{code}</Code>" in answer.data.decode()


def test_signature_for_sts_is_not_good_elsewhere(office: Office) -> None:
    """Each route has its service."""
    key = office.daemon.keys["administrator"]
    answer = office.daemon.call("GET", "/status", key=key, service="sts")
    assert answer.json()["reason"] == "INVALID_CREDENTIALS"


def test_refusal_shows_what_was_said_as_text(office: Office) -> None:
    """A parameter's name cannot become an element."""
    form = {"Action": "GetCallerIdentity", "Version": "2011-06-15", "<x/>": "1"}
    _, text = post(office, urlencode(form).encode())
    assert "&lt;x/&gt;" in text
    assert "<x/>" not in text


def test_many_sessions_have_the_room_of_one_key() -> None:
    """What is remembered against replays is bounded by lasting keys, which nobody can multiply."""
    made, issuer, now = new_access_key(CREATED), SessionIssuer.generate(), datetime.now(UTC)
    identities = Identities(users=(User("eve", (), (made,)),))
    service = ControlService(
        fleet=Fleet(()),
        identities=lambda: identities,
        tickets=TicketSigner.generate(),
        region="us-east-1",
        is_ready=lambda: True,
        clock=Clock.start(read_wall=now.timestamp),
        sessions=issuer,
    )
    app = build_app(service)
    app[SIGNATURES] = SignatureMemory(capacity=1)
    sessions = [as_key(issuer.issue_to_user("eve", made.access_key_id, now, 900)) for _ in range(2)]

    async def ask() -> list[int]:
        async with TestClient(TestServer(app)) as client:
            return [
                (await client.post("/", **signed_form(client, key, now))).status for key in sessions
            ]

    assert asyncio.run(ask()) == [200, 503]


def signed_form(client: Any, key: AccessKey, now: datetime) -> dict[str, Any]:
    """GetCallerIdentity, as an argument of the client's `post`."""
    headers = {"Host": f"{client.host}:{client.port}"}
    request = HttpRequest("POST", "/", "", tuple(headers.items()), IDENTITY)
    added = sign(request, key, region="us-east-1", service="sts", now=now)
    return {"data": IDENTITY, "headers": {**headers, **added}}


def test_presigned_address_of_a_session(office: Office) -> None:
    """The token stands in the query, inside what is signed."""
    good, other = sealed(office, datetime.now(UTC), 900), sealed(office, datetime.now(UTC), 900)
    url = presigned(office, good)
    assert opened(office, url) == ""
    exchanged = url.replace(quote(str(good.session_token)), quote(str(other.session_token)))
    assert exchanged != url
    assert opened(office, exchanged) == "SIGNATURE_MISMATCH"
    bare = presigned(office, replace(good, session_token=None))
    assert opened(office, bare) == "INVALID_CREDENTIALS"
    added = f"{bare}&X-Amz-Security-Token={quote(str(good.session_token))}"
    assert opened(office, added) == "SIGNATURE_MISMATCH"


def presigned(office: Office, key: AccessKey) -> str:
    """An address of `GET /status` that botocore signed."""
    credentials = Credentials(key.access_key_id, key.secret_access_key, key.session_token)
    request = AWSRequest("GET", office.daemon.ready["control"] + "/status")
    SigV4QueryAuth(credentials, "elastic-inference", "us-east-1", expires=60).add_auth(request)
    return str(request.url)


def opened(office: Office, url: str) -> str:
    """What an address answers without a key: its reason, or "" for a success."""
    answer = office.daemon.call("GET", url.removeprefix(office.daemon.ready["control"]))
    return str(answer.json().get("reason", "")) if answer.status != 200 else ""
