"""Session tokens: what they hold, what ends them, and that nobody can make or change one."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_daemon.clock import Uptime
from accel_daemon.iam.callers import AssumedRole, Principal
from accel_daemon.iam.policy_set import PolicySet
from accel_daemon.iam.principals import (
    Group,
    Identities,
    Role,
    User,
    new_access_key,
    new_role_id,
)
from accel_daemon.iam.sessions import MAX_PARENTS, MAX_TOKEN_CHARACTERS, SessionIssuer
from accel_daemon.iam.temporary_credentials import TemporaryCredentials
from accel_protocol.errors import ConfigurationError, CredentialsError, LimitError

ACCOUNT = "123456789012"
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
POLICY = {"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}
NARROW = {"Statement": {"Effect": "Allow", "Action": "elastic-inference:Connect", "Resource": "*"}}
BOUNDARY = {"Statement": {"Effect": "Allow", "Action": "elastic-inference:*", "Resource": "*"}}
KEY = new_access_key(NOW.isoformat())
ROLE = Role("lab", new_role_id(), (POLICY,), (), BOUNDARY)
IDENTITIES = Identities(
    ACCOUNT,
    (User("ann", (POLICY,), (KEY,), ("staff",), BOUNDARY), User("bob")),
    (Group("staff", (NARROW,)),),
    (ROLE,),
)
ISSUER = SessionIssuer(bytes(range(32)))


def issue(seconds: int = 3600, **more: Any) -> TemporaryCredentials:
    """Credentials of the role, which ann asked for."""
    arguments: dict[str, Any] = {"user": "ann", "parents": (KEY.access_key_id,), **more}
    return ISSUER.issue(IDENTITIES, "lab", "night-run", NOW, seconds, **arguments)


ISSUED = issue()


def refusal(
    token: str = ISSUED.session_token,
    access_key_id: str = ISSUED.access_key_id,
    now: datetime = NOW,
    identities: Identities = IDENTITIES,
    issuer: SessionIssuer = ISSUER,
) -> str:
    """The reason for which a token is refused."""
    with pytest.raises(CredentialsError) as caught:
        issuer.open(access_key_id, token, now, identities)
    return caught.value.reason


def test_session_is_what_was_issued() -> None:
    """Who it is, with which secret, and for how long."""
    session = ISSUER.open(ISSUED.access_key_id, ISSUED.session_token, NOW, IDENTITIES)
    assert session.principal(ACCOUNT) == AssumedRole("lab", ROLE.role_id, "night-run", ACCOUNT)
    assert session.secret_access_key == ISSUED.secret_access_key
    assert session.parents == (KEY.access_key_id, ROLE.role_id)
    assert (session.issued_at, session.expires_at) == (NOW.timestamp(), NOW.timestamp() + 3600)
    assert (ISSUED.issued_at, ISSUED.expires_at) == (NOW, NOW + HOUR)
    assert re.fullmatch(r"ASIA[A-Z2-7]{16}", ISSUED.access_key_id)
    assert len(ISSUED.secret_access_key) == 40


def test_nothing_secret_is_shown() -> None:
    """Neither in what is printed, nor in the token as it travels."""
    session = ISSUER.open(ISSUED.access_key_id, ISSUED.session_token, NOW, IDENTITIES)
    for shown in (repr(session), repr(ISSUED), repr(ISSUER), ISSUED.session_token):
        assert ISSUED.secret_access_key not in shown


def test_equal_sessions_differ() -> None:
    """Each has its own key, secret and token."""
    other = issue()
    for name in ("access_key_id", "secret_access_key", "session_token"):
        assert getattr(other, name) != getattr(ISSUED, name)


@pytest.mark.parametrize("policies", [None, (), (NARROW,)])
def test_session_has_what_limits_the_role(policies: tuple[Any, ...] | None) -> None:
    """Its policies and boundary as they are now, and the session's own."""
    issued = issue(policies=policies)
    session = ISSUER.open(issued.access_key_id, issued.session_token, NOW, IDENTITIES)
    assert session.policy_set(IDENTITIES) == PolicySet((POLICY,), (BOUNDARY,), policies)
    changed = IDENTITIES.with_changed_role("lab", lambda role: replace(role, policies=()))
    assert session.policy_set(changed) == PolicySet((), (BOUNDARY,), policies)


def test_session_of_a_user_is_the_user() -> None:
    """Its groups and boundary included."""
    issued = ISSUER.issue_to_user("ann", KEY.access_key_id, NOW, 900)
    session = ISSUER.open(issued.access_key_id, issued.session_token, NOW, IDENTITIES)
    assert session.principal(ACCOUNT) == Principal("ann", ACCOUNT)
    assert session.policy_set(IDENTITIES) == PolicySet((POLICY, NARROW), (BOUNDARY,))
    assert session.policy_set(Identities(ACCOUNT)) == PolicySet()


@pytest.mark.parametrize("late", [HOUR, HOUR + timedelta(days=1)])
def test_expired_session_is_refused_as_such(late: timedelta) -> None:
    """From the second on at which it ends; a moment before, it is good."""
    assert refusal(now=NOW + late) == "CREDENTIALS_EXPIRED"
    just = NOW + HOUR - timedelta(milliseconds=1)
    assert ISSUER.open(ISSUED.access_key_id, ISSUED.session_token, just, IDENTITIES)


UP = Uptime("boot", 7000.0)


def seconds_left(issued: TemporaryCredentials, now: datetime, uptime: Uptime | None) -> float:
    """Of a session, whose token is opened only while there are some."""
    opened = ISSUER.unseal(issued.access_key_id, issued.session_token)
    assert opened is not None
    left = opened.seconds_left(now, uptime)
    token = (issued.access_key_id, issued.session_token, now, IDENTITIES, uptime)
    if left > 0:
        assert ISSUER.open(*token) == opened
    else:
        with pytest.raises(CredentialsError, match="have expired"):
            ISSUER.open(*token)
    return left


@pytest.mark.parametrize("jump", [-1e9, -7200, 0, 7200, 1e9])
@pytest.mark.parametrize("passed", [0, 3599, 3600, 90_000])
def test_a_session_lasts_as_long_whatever_the_clock_shows(passed: float, jump: float) -> None:
    """By what passed since, which also another daemon on this machine knows."""
    later, now = Uptime("boot", UP.seconds + passed), NOW + timedelta(seconds=passed + jump)
    issued = (issue(uptime=UP), ISSUER.issue_to_user("ann", KEY.access_key_id, NOW, 3600, UP))
    assert [seconds_left(one, now, later) for one in issued] == [3600 - passed] * 2


@pytest.mark.parametrize(
    ("noted", "uptime"),
    [
        (UP, Uptime("another", 1e6)),
        (UP, None),
        (None, UP),
        (Uptime("", 7000.0), Uptime("", 1e6)),
    ],
)
def test_the_clock_decides_where_nothing_else_is_known(
    noted: Uptime | None, uptime: Uptime | None
) -> None:
    """After the machine was started anew, and for tokens of earlier versions."""
    issued = issue(uptime=noted)
    for passed in (0, 3599, 3600):
        assert seconds_left(issued, NOW + timedelta(seconds=passed), uptime) == 3600 - passed


@pytest.mark.parametrize(
    "identities",
    [
        IDENTITIES.without_key(KEY.access_key_id),
        IDENTITIES.without_user("ann"),
        IDENTITIES.without_key(KEY.access_key_id).with_key("bob", KEY),
        IDENTITIES.without_role("lab"),
        IDENTITIES.without_role("lab").with_role(Role("lab", new_role_id(), (POLICY,))),
        Identities(ACCOUNT),
    ],
)
def test_session_ends_with_what_it_goes_back_to(identities: Identities) -> None:
    """The parent key, its user, the role; another one of the same name revives nothing."""
    assert refusal(identities=identities) == "SIGNATURE_MISMATCH"


def test_session_of_the_daemon_itself_needs_its_role_only() -> None:
    """No key stands behind it."""
    issued = ISSUER.issue(IDENTITIES, "lab", "i-0123", NOW, 3600)
    bare = IDENTITIES.without_user("ann")
    session = ISSUER.open(issued.access_key_id, issued.session_token, NOW, bare)
    assert (session.user, session.parents) == ("", (ROLE.role_id,))


def test_foreign_tokens_are_refused() -> None:
    """Sealed with another key, or shown with another access key id."""
    assert refusal(issuer=SessionIssuer.generate()) == "SIGNATURE_MISMATCH"
    assert refusal(access_key_id=issue().access_key_id) == "SIGNATURE_MISMATCH"
    assert refusal(token="A" * (MAX_TOKEN_CHARACTERS + 4)) == "SIGNATURE_MISMATCH"
    assert refusal(token=ISSUED.session_token + "=") == "SIGNATURE_MISMATCH"


@given(place=st.integers(min_value=0), other=st.characters(min_codepoint=33, max_codepoint=126))
def test_any_changed_character_is_refused(place: int, other: str) -> None:
    """Also one that stands for the same bytes."""
    token = ISSUED.session_token
    place %= len(token)
    changed = token[:place] + other + token[place + 1 :]
    if changed != token:
        assert refusal(token=changed) == "SIGNATURE_MISMATCH"


@given(st.text() | st.binary().map(lambda raw: raw.decode("latin-1")))
def test_any_text_is_refused(text: str) -> None:
    """No text of a stranger raises anything else."""
    assert refusal(token=text) == "SIGNATURE_MISMATCH"


@given(st.text(max_size=64))
def test_any_access_key_id_is_refused(text: str) -> None:
    """The token is good with its own only."""
    if text != ISSUED.access_key_id:
        assert refusal(access_key_id=text) == "SIGNATURE_MISMATCH"


@pytest.mark.parametrize("name", ["", "a", "a" * 65, "a b", "a/b", "a:b", "*", "${x}", "é-é"])
def test_malformed_session_name_is_not_issued(name: str) -> None:
    """A name that could change the meaning of an ARN names no session."""
    with pytest.raises(ConfigurationError):
        ISSUER.issue(IDENTITIES, "lab", name, NOW, 900)


def test_unknown_role_is_not_issued() -> None:
    """There is nothing to become."""
    with pytest.raises(ConfigurationError):
        ISSUER.issue(IDENTITIES, "Lab", "night-run", NOW, 900)


@pytest.mark.parametrize(
    "more",
    [
        {"policies": ({"Id": "x" * MAX_TOKEN_CHARACTERS},)},
        {"parents": tuple(f"AKIA{number:016}" for number in range(MAX_PARENTS))},
    ],
)
def test_token_does_not_grow_without_limit(more: dict[str, Any]) -> None:
    """It travels in a header with every request."""
    with pytest.raises(LimitError):
        issue(**more)


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_session_key_has_one_size(size: int) -> None:
    """A key file that is cut off seals nothing."""
    with pytest.raises(ConfigurationError):
        SessionIssuer(b"k" * size)
