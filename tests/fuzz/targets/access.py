"""What decides who may do what: signatures, tickets, session tokens, policies, identities."""

from __future__ import annotations

import base64
import json
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import jwt

from accel_daemon.iam.authentication import authenticate
from accel_daemon.iam.callers import Principal
from accel_daemon.iam.claims import claimed_access_key_id
from accel_daemon.iam.evaluation import evaluate, judge_all
from accel_daemon.iam.identification import identify
from accel_daemon.iam.identity_file import from_json, to_json
from accel_daemon.iam.lint import lint
from accel_daemon.iam.policy import load_document, parse_policy
from accel_daemon.iam.principals import Group, Identities, Key, Role, User
from accel_daemon.iam.request_context import AccessRequest
from accel_daemon.iam.sessions import SessionIssuer
from accel_daemon.iam.tickets import ALGORITHM, TOKEN_TYPE, TicketSigner, TicketVerifier
from accel_daemon.iam.tickets import claimed_access_key_id as claimed_by_ticket
from accel_protocol import sigv4
from accel_protocol.errors import CredentialsError
from accel_protocol.sigv4 import AccessKey, HttpRequest
from tests.fuzz.mutation import change_json, change_text, json_text, one_of
from tests.fuzz.oracle import CANARY, Setting, Target

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
ACCOUNT = "000000000000"
KEY_ID, HIDDEN_KEY_ID = "AKIA" + "A" * 16, "AKIA" + "B" * 16
CREATED = "2026-01-31T12:00:00+00:00"
ACCELERATOR = "eia-" + "a1" * 16
ARN = f"arn:aws:elastic-inference:us-east-1:{ACCOUNT}:elastic-inference-accelerator/{ACCELERATOR}"
ALLOW_ALL = {
    "Version": "2012-10-17",
    "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"},
}
POLICIES: list[Any] = [
    ALLOW_ALL,
    {
        "Version": "2012-10-17",
        "Id": "x",
        "Statement": [
            {
                "Sid": "One",
                "Effect": "Allow",
                "Action": ["elastic-inference:Connect", "elastic-inference:Describe*"],
                "Resource": [
                    "arn:aws:elastic-inference:*:*:elastic-inference-accelerator/${aws:username}*"
                ],
                "Condition": {
                    "StringLike": {"aws:username": ["a*", "${aws:userid}"]},
                    "IpAddressIfExists": {"aws:SourceIp": ["10.0.0.0/8", "fe80::/10"]},
                    "DateGreaterThan": {"aws:CurrentTime": "2026-01-01T00:00:00Z"},
                },
            },
            {
                "Effect": "Deny",
                "NotAction": "sts:*",
                "NotResource": "arn:aws:iam::*:role/*",
                "Condition": {
                    "ForAnyValue:StringNotEquals": {"aws:TagKeys": ["a", "b"]},
                    "NumericLessThanEquals": {"aws:EpochTime": "1e3"},
                    "Bool": {"aws:SecureTransport": "true"},
                    "Null": {"aws:TokenIssueTime": "false"},
                    "ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:user/${aws:username}"},
                    "BinaryEquals": {"elastic-inference:GraphId": "QUJD"},
                },
            },
        ],
    },
]


def identities(secret: str) -> Identities:
    """A caller "ann" and others, of whom nobody is to hear: their names and keys are canaries."""
    mine = Key(KEY_ID, secret, CREATED)
    hidden = Key(HIDDEN_KEY_ID, secret[::-1] + CANARY, CREATED)
    return Identities(
        ACCOUNT,
        (
            User("ann", (ALLOW_ALL,), (mine,)),
            User(f"{CANARY}-user", (ALLOW_ALL,), (hidden,), (f"{CANARY}-group",), ALLOW_ALL),
        ),
        (Group(f"{CANARY}-group", (ALLOW_ALL,)),),
        (
            Role("worker", "AROA" + "A" * 17, (ALLOW_ALL,), (f"arn:aws:iam::{ACCOUNT}:user/ann",)),
            Role(f"{CANARY}-role", "AROA" + "B" * 17, (ALLOW_ALL,), (), ALLOW_ALL),
        ),
    )


def signed(secret: str, token: str | None = None, key_id: str = KEY_ID) -> HttpRequest:
    """A request that is signed in its header."""
    plain = HttpRequest(
        "POST", "/connect", "a=b&c", (("Host", "127.0.0.1:9443"), ("X-Note", "a  b")), b'{"a":1}'
    )
    added = sigv4.sign(
        plain,
        AccessKey(key_id, secret, token),
        region="us-east-1",
        service="elastic-inference",
        now=NOW,
    )
    return replace(plain, headers=(*plain.headers, *added.items()))


def presigned(secret: str) -> HttpRequest:
    """A request that is signed in its query."""
    date = sigv4.format_amz_date(NOW)
    scope = sigv4.credential_scope(date[:8], "us-east-1", "elastic-inference")
    query = "&".join(
        (
            f"X-Amz-Algorithm={sigv4.ALGORITHM}",
            f"X-Amz-Credential={quote(f'{KEY_ID}/{scope}', safe='')}",
            f"X-Amz-Date={date}",
            "X-Amz-Expires=300",
            "X-Amz-SignedHeaders=host",
        )
    )
    body = b"{}"
    request = HttpRequest("POST", "/connect", query, (("Host", "127.0.0.1"),), body)
    proof = sigv4.signature(
        secret,
        request,
        signed_headers=("host",),
        payload_hash=sigv4.hash_payload(body),
        amz_date=date,
        region="us-east-1",
        service="elastic-inference",
    )
    return replace(request, query=f"{query}&X-Amz-Signature={proof}")


def change_request(chance: random.Random, request: HttpRequest) -> HttpRequest:
    """A request with its parts and its headers changed."""
    for _ in range(chance.choice((1, 1, 2, 3))):
        match chance.randrange(8):
            case 0:
                request = replace(request, path=change_text(chance, request.path))
            case 1 | 2:
                request = replace(request, query=change_text(chance, request.query))
            case 3:
                request = replace(request, body=change_text(chance, "{}").encode(errors="replace"))
            case 4:
                request = replace(request, method=change_text(chance, request.method))
            case _:
                request = replace(request, headers=_change_headers(chance, request.headers))
    return request


def _change_headers(
    chance: random.Random, headers: tuple[tuple[str, str], ...]
) -> tuple[tuple[str, str], ...]:
    changed = list(headers)
    place = chance.randrange(len(changed)) if changed else 0
    if not changed or chance.random() < 0.1:
        return (*headers, (change_text(chance, "X-Amz-Date"), change_text(chance, "a")))
    name, value = changed[place]
    match chance.randrange(5):
        case 0:
            del changed[place]
        case 1:
            changed.append((name, value))
        case 2:
            changed[place] = (change_text(chance, name), value)
        case _:
            changed[place] = (name, change_text(chance, value))
    return tuple(changed)


def signature_target(setting: Setting) -> Target:
    """`authenticate` and `identify`, with header and query, key and session token."""
    known = identities(setting.secret)
    issuer = SessionIssuer.generate()
    made = issuer.issue(known, "worker", "night", NOW, 900, user="ann", parents=(KEY_ID,))
    seeds = [
        signed(setting.secret),
        presigned(setting.secret),
        signed(made.secret_access_key, made.session_token, made.access_key_id),
    ]

    def find(access_key_id: str) -> str | None:
        found = known.find_key(access_key_id)
        return None if found is None else found[1].secret_access_key

    def find_session(access_key_id: str, token: str) -> str | None:
        session = issuer.unseal(access_key_id, token)
        return None if session is None else session.secret_access_key

    def check(request: HttpRequest) -> None:
        claimed_access_key_id(request)
        signer = authenticate(
            request,
            now=NOW,
            region="us-east-1",
            find_secret=find,
            find_session_secret=find_session,
            use_once=lambda *_: None,
        )
        # What proves itself is ann's, since nobody else's key signed anything here.
        assert identify(signer, known, issuer, NOW).user == "ann"

    return Target(lambda chance: change_request(chance, one_of(chance, seeds)), check)


def signing_target(setting: Setting) -> Target:
    """The canonical form: whoever signs with botocore's rules meets any path and query."""
    plain = signed(setting.secret)

    def check(request: HttpRequest) -> None:
        text = sigv4.canonical_request(request, ("host",), "0" * 64)
        assert text.count("\n") >= 6

    def make(chance: random.Random) -> HttpRequest:
        changed = change_request(chance, plain)
        # Texts as aiohttp hands them over: every byte that is no ASCII is a surrogate.
        return replace(changed, path=_as_received(changed.path), query=_as_received(changed.query))

    return Target(make, check, allowed=(UnicodeEncodeError,))


def _as_received(text: str) -> str:
    return text.encode("utf-8", "surrogatepass").decode("ascii", "replace")


def ticket_target(setting: Setting) -> Target:
    """`TicketVerifier`: tokens that are damaged, and well-signed ones with strange claims."""
    signer = TicketSigner.generate()
    verifier = TicketVerifier(signer.public_key_pem(), ACCELERATOR)
    at = NOW.timestamp()
    token = signer.issue(Principal("ann", ACCOUNT), ACCELERATOR, KEY_ID, 1, at, parents=("AROA",))
    claims = jwt.decode(token, options={"verify_signature": False})
    header = {"typ": TOKEN_TYPE, "alg": ALGORITHM, "crit": []}

    def make(chance: random.Random) -> str:
        kind = chance.randrange(10)
        if kind < 4:
            return change_text(chance, token)
        body = change_json(chance, claims) if kind < 9 else one_of(chance, [[], None, "x", 1])
        head = change_json(chance, header) if chance.random() < 0.5 else {"typ": TOKEN_TYPE}
        return _signed_token(signer, head, body)

    def check(text: str) -> None:
        claimed_by_ticket(text)
        ticket = verifier.verify(text, at)
        assert ticket.accelerator_id == ACCELERATOR
        assert ticket.expires_at - ticket.issued_at <= 900

    return Target(make, check)


def _signed_token(signer: TicketSigner, header: Any, body: Any) -> str:
    """A token of any header and body; PyJWT would refuse to write most of them."""
    parts = [
        base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=") for one in (header, body)
    ]
    proof = signer.private_key.sign(b".".join(parts))
    return b".".join([*parts, base64.urlsafe_b64encode(proof).rstrip(b"=")]).decode()


def session_target(setting: Setting) -> Target:
    """`SessionIssuer.open`: damaged tokens, and those of another key or access key."""
    known, issuer = identities(setting.secret), SessionIssuer.generate()
    made = [
        issuer.issue(known, "worker", "night", NOW, 900, user="ann", parents=(KEY_ID,)),
        issuer.issue_to_user("ann", KEY_ID, NOW, 900),
        SessionIssuer.generate().issue_to_user("ann", KEY_ID, NOW, 900),
        issuer.issue_to_user("ann", KEY_ID, NOW - timedelta(hours=1), 900),
    ]
    seeds = [(one.access_key_id, one.session_token) for one in made]

    def make(chance: random.Random) -> tuple[str, str]:
        key_id, token = one_of(chance, seeds)
        if chance.random() < 0.3:
            key_id = change_text(chance, key_id)
        if chance.random() < 0.9:
            token = change_text(chance, token)
        return key_id, token

    def check(value: tuple[str, str]) -> None:
        session = issuer.open(*value, NOW, known)
        # A token has one spelling: what opens is what was issued.
        if value not in seeds:
            raise AssertionError(f"{value} opened {session}")

    return Target(make, check)


def policy_target(setting: Setting) -> Target:
    """Policy documents: read, warned about, and asked."""
    contexts = [
        {"aws:SourceIp": "10.1.2.3", "aws:CurrentTime": NOW.isoformat(), "aws:EpochTime": "12"},
        {"aws:TagKeys": ["a", "c"], "aws:SecureTransport": "true", "aws:ResourceTag/x": "y"},
    ]
    actions = ("elastic-inference:Connect", "sts:AssumeRole", "elastic-inference:TagResource")

    def make(chance: random.Random) -> tuple[str, AccessRequest]:
        action, arn = one_of(chance, actions), one_of(chance, (ARN, "*", "arn:aws:iam::1:role/x"))
        if chance.random() < 0.2:
            arn = change_text(chance, arn)
        context = {
            key: change_text(chance, value)
            if isinstance(value, str) and chance.random() < 0.3
            else value
            for key, value in one_of(chance, contexts).items()
        }
        asked = AccessRequest(Principal("ann", ACCOUNT), action, arn, context)
        return json_text(chance, one_of(chance, POLICIES)), asked

    def check(value: tuple[str, AccessRequest]) -> None:
        text, asked = value
        document = load_document(text)
        policy = parse_policy(document)
        lint(policy)
        assert isinstance(evaluate((policy,), asked).allowed, bool)
        # What `evaluate` turns into a denial, whatever it was, shows here.
        list(judge_all((policy,), asked))

    return Target(make, check)


def identity_file_target(setting: Setting) -> Target:
    """The identities' file, which the operator may have edited."""
    written = json.loads(to_json(identities(setting.secret)))
    old = {
        "format": 1,
        "account": ACCOUNT,
        "users": [
            {key: one[key] for key in ("name", "policies", "keys")} for one in written["users"]
        ],
    }

    def make(chance: random.Random) -> str:
        return json_text(chance, one_of(chance, [written, written, old]))

    def check(text: str) -> None:
        read = from_json(text)
        assert from_json(to_json(read)) == read
        for user in read.users:
            read.policy_set(user).rules()

    # The operator, who sees the message, may see names; but never a secret.
    return Target(make, check)


def header_claim_target(setting: Setting) -> Target:
    """Authorization headers alone: many more of them than whole requests."""
    request = signed(setting.secret)
    text = dict(request.headers)["Authorization"]
    others = tuple(pair for pair in request.headers if pair[0] != "Authorization")

    def make(chance: random.Random) -> HttpRequest:
        return replace(request, headers=(*others, ("Authorization", change_text(chance, text))))

    def check(changed: HttpRequest) -> None:
        claimed_access_key_id(changed)
        if dict(changed.headers)["Authorization"] == text:
            raise CredentialsError("not changed")
        authenticate(changed, now=NOW, region="us-east-1", find_secret=lambda _: setting.secret)

    return Target(make, check)


TARGETS = {
    "signed requests": signature_target,
    "canonical requests": signing_target,
    "authorization headers": header_claim_target,
    "tickets": ticket_target,
    "session tokens": session_target,
    "policies": policy_target,
    "identities file": identity_file_target,
}
