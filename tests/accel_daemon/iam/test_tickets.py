"""Which tickets are believed, and how the others are refused."""

from __future__ import annotations

import base64
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from jwt.api_jws import PyJWS

from accel_daemon.iam.principals import Principal
from accel_daemon.iam.tickets import (
    ISSUER,
    MAX_TICKET_CHARACTERS,
    MAX_TICKET_SECONDS,
    TOKEN_TYPE,
    Ticket,
    TicketSigner,
    TicketVerifier,
)
from accel_protocol.errors import ConfigurationError, CredentialsError

NOW = 1_770_000_000.75
ISSUED = 1_770_000_000
ALICE = Principal("alice", "123456789012")
PRIVATE_KEY = Ed25519PrivateKey.generate()
SIGNER = TicketSigner(PRIVATE_KEY)
VERIFIER = TicketVerifier(SIGNER.public_key_pem(), "eia-1")
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "aud": "eia-1",
    "sub": ALICE.arn,
    "account": ALICE.account,
    "akid": "AKIATESTTESTTESTTEST",
    "tenancy": 3,
    "iat": ISSUED,
    "exp": ISSUED + 60,
    "jti": "t-1",
    "parents": [],
    "policies": 0,
}


def issue(**more: Any) -> str:
    """A ticket for accelerator eia-1."""
    arguments: dict[str, Any] = {"accelerator_id": "eia-1", "now": NOW, **more}
    return SIGNER.issue(ALICE, access_key_id="AKIATESTTESTTESTTEST", tenancy=3, **arguments)


def forge(claims: Any, typ: str | None = TOKEN_TYPE, **more: Any) -> str:
    """A token with any claims, signed with the real key."""
    payload = json.dumps(claims).encode()
    headers = {"typ": typ, **more}
    return PyJWS().encode(payload, PRIVATE_KEY, algorithm="EdDSA", headers=headers)


def refusal(token: str, now: float = NOW, verifier: TicketVerifier = VERIFIER) -> CredentialsError:
    """How a token is refused."""
    with pytest.raises(CredentialsError) as caught:
        verifier.verify(token, now)
    return caught.value


def test_issued_ticket_is_believed() -> None:
    """Everything the signer was told comes out of the verifier."""
    ticket = VERIFIER.verify(issue(), NOW)
    assert ticket == Ticket(
        principal="arn:aws:iam::123456789012:user/alice",
        account="123456789012",
        accelerator_id="eia-1",
        access_key_id="AKIATESTTESTTESTTEST",
        tenancy=3,
        issued_at=ISSUED,
        expires_at=ISSUED + MAX_TICKET_SECONDS,
        ticket_id=ticket.ticket_id,
    )
    assert ticket.ticket_id != VERIFIER.verify(issue(), NOW).ticket_id


def test_forged_claims_of_the_table_are_otherwise_good() -> None:
    """The claims that the negative tables change are accepted unchanged."""
    assert VERIFIER.verify(forge(CLAIMS), NOW).ticket_id == "t-1"


def test_ticket_ends_with_what_it_goes_back_to() -> None:
    """Its own key, the key and the role behind a temporary one, and its principal; no other."""
    ticket = VERIFIER.verify(issue(parents=("AKIA1", "AROA1")), NOW)
    for name in ("AKIATESTTESTTESTTEST", "AKIA1", "AROA1", ALICE.arn):
        assert ticket.ends_with({name})
    assert not ticket.ends_with({"AKIA2", "", "alice"})


@pytest.mark.parametrize("seconds", [1, 900])
def test_lifetimes_within_the_limit(seconds: int) -> None:
    """One second and fifteen minutes are issued."""
    ticket = VERIFIER.verify(issue(seconds=seconds), NOW)
    assert ticket.expires_at - ticket.issued_at == seconds


@pytest.mark.parametrize("seconds", [-1, 0, 901])
def test_lifetimes_beyond_the_limit_are_not_issued(seconds: int) -> None:
    """No caller can ask for more."""
    with pytest.raises(ConfigurationError):
        issue(seconds=seconds)


@pytest.mark.parametrize(
    ("now", "good"),
    [
        (ISSUED - 301.0, False),
        (ISSUED - 300.0, True),
        (ISSUED + 59.999, True),
        (ISSUED + 60.0, False),
        (ISSUED + 61.0, False),
        (float("nan"), False),
        (float("inf"), False),
    ],
)
def test_ticket_is_good_in_its_time_only(now: float, good: bool) -> None:
    """No leeway at the end; five minutes at the start, for clocks that differ."""
    if good:
        assert VERIFIER.verify(forge(CLAIMS), now)
    else:
        refusal(forge(CLAIMS), now)


def test_expired_ticket_says_so() -> None:
    """Clients renew on this reason."""
    assert refusal(issue(), NOW + 900).reason == "TICKET_EXPIRED"


def test_ticket_for_another_accelerator_says_so() -> None:
    """A ticket is worth nothing elsewhere, expired or not."""
    for token in (issue(accelerator_id="eia-2"), issue(accelerator_id="eia-2", now=NOW - 5000)):
        error = refusal(token)
        assert error.reason == "INVALID_TICKET"
        assert "another accelerator" in error.message


@pytest.mark.parametrize("name", sorted(CLAIMS))
def test_missing_claim(name: str) -> None:
    """Every claim is needed."""
    token = forge({key: value for key, value in CLAIMS.items() if key != name})
    assert refusal(token).reason == "INVALID_TICKET"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("iss", "someone"),
        ("iss", [ISSUER]),
        ("aud", ["eia-1"]),
        ("aud", "eia-1 "),
        ("sub", ""),
        ("sub", 1),
        ("tenancy", "3"),
        ("tenancy", True),
        ("tenancy", 3.0),
        ("iat", str(ISSUED)),
        ("iat", ISSUED + 0.5),
        ("iat", ISSUED + 302),
        ("iat", ISSUED - 841),
        ("iat", ISSUED + 60),
        ("exp", None),
        ("exp", ISSUED + 901),
        ("exp", 10**300),
        ("nbf", ISSUED + 302),
        ("nbf", "soon"),
        ("jti", None),
        ("parents", None),
        ("parents", "AKIA"),
        ("parents", [1]),
        ("akid", {}),
    ],
)
def test_wrong_claim(name: str, value: object) -> None:
    """Wrong types, lifetimes over fifteen minutes, and starts in the future."""
    assert refusal(forge({**CLAIMS, name: value})).reason == "INVALID_TICKET"


def encode(part: object) -> str:
    """A token's part."""
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def other_algorithm(algorithm: str, key: Any) -> str:
    """The good claims under another algorithm."""
    return jwt.encode(CLAIMS, key, algorithm=algorithm, headers={"typ": TOKEN_TYPE})


HEADER = {"alg": "EdDSA", "typ": TOKEN_TYPE}
MALFORMED = {
    "empty": "",
    "dots": "..",
    "not base64": "a.b.c",
    "no signature": f"{encode(HEADER)}.{encode(CLAIMS)}.",
    "algorithm none": f"{encode({**HEADER, 'alg': 'none'})}.{encode(CLAIMS)}.",
    "other key": TicketSigner.generate().issue(ALICE, "eia-1", "AKIATESTTESTTESTTEST", 3, NOW),
    "public key as HMAC secret": other_algorithm(
        "HS256", PRIVATE_KEY.public_key().public_bytes_raw()
    ),
    "HMAC": other_algorithm("HS256", "k" * 32),
    "ECDSA": other_algorithm("ES256", ec.generate_private_key(ec.SECP256R1())),
    "RSA": other_algorithm("RS256", rsa.generate_private_key(65537, 2048)),
    "other type": forge(CLAIMS, typ="JWT"),
    "no type": forge(CLAIMS, typ=None),
    "unknown critical header": forge(CLAIMS, crit=["x"], x=1),
    "cut": issue()[:-2],
    "longer": issue() + ".x",
    "surrogates": "\ud800.\ud800.\ud800",
    "deep": base64.urlsafe_b64encode(b"[" * 2900).decode().rstrip("=") + ".e30.e30",
    "too long": issue() + "A" * MAX_TICKET_CHARACTERS,
}


@pytest.mark.parametrize("token", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_token(token: str) -> None:
    """No other key, algorithm or form is a ticket."""
    assert refusal(token).reason == "INVALID_TICKET"


def test_payload_that_is_no_object() -> None:
    """Signed JSON of another shape is refused."""
    signing_input = f"{encode(HEADER)}.{encode([1])}"
    signature = base64.urlsafe_b64encode(PRIVATE_KEY.sign(signing_input.encode())).rstrip(b"=")
    assert refusal(f"{signing_input}.{signature.decode()}").reason == "INVALID_TICKET"


@pytest.mark.parametrize("over", [0, 1])
def test_length_limit(over: int) -> None:
    """A token of exactly the limit is read; one more character is not."""
    padding = 0
    while len(forge({**CLAIMS, "pad": "x" * padding})) < MAX_TICKET_CHARACTERS + over:
        padding += 1
    token = forge({**CLAIMS, "pad": "x" * padding})
    if len(token) <= MAX_TICKET_CHARACTERS:
        assert VERIFIER.verify(token, NOW)
    else:
        assert "characters" in refusal(token).message


@given(st.text() | st.binary().map(lambda raw: raw.decode("latin-1")))
def test_random_token_is_refused_properly(token: str) -> None:
    """Nothing but CredentialsError comes out."""
    assert refusal(token).reason == "INVALID_TICKET"


@given(st.integers(0, len(issue()) - 1), st.characters(codec="ascii"))
def test_changed_character_is_refused(position: int, character: str) -> None:
    """Whatever single character of a ticket changes, it is refused (or means the same)."""
    token = issue()
    changed = token[:position] + character + token[position + 1 :]
    try:
        assert VERIFIER.verify(changed, NOW) == VERIFIER.verify(token, NOW)
    except CredentialsError as error:
        assert error.reason == "INVALID_TICKET"


def test_refusal_does_not_quote_the_token() -> None:
    """A ticket is a secret; the other side's log must not get it."""
    token = issue()
    assert token[:20] not in str(refusal(token, NOW + 5000))


def test_private_key_is_not_in_repr() -> None:
    """A signer in a log line shows nothing."""
    assert repr(SIGNER) == "TicketSigner()"


EC_PEM = (
    ec.generate_private_key(ec.SECP256R1())
    .public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    .decode()
)


@pytest.mark.parametrize("pem", ["", "x", "-----BEGIN PUBLIC KEY-----\n", EC_PEM, "\ud800"])
def test_verifier_needs_an_ed25519_key(pem: str) -> None:
    """A verifier that cannot verify does not start."""
    with pytest.raises(ConfigurationError):
        TicketVerifier(pem, "eia-1")
