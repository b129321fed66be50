"""Principals, keys, and the value that holds them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_daemon.iam.identity_file import from_json, to_json
from accel_daemon.iam.principals import (
    Group,
    Identities,
    Key,
    Principal,
    Role,
    User,
    new_access_key,
)
from accel_protocol.errors import ConfigurationError

CREATED = "2026-01-31T12:00:00+00:00"
KEY = new_access_key(CREATED)
OTHER_KEY = new_access_key(CREATED)
POLICY = {"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}
ALICE = User("alice", (POLICY,), (KEY,))
IDENTITIES = Identities("123456789012", (ALICE, User("bob")))


def test_arn_names_account_and_user() -> None:
    """A principal's ARN is that of an IAM user."""
    assert Principal("a+b=c,d.e@f_g-h", "123456789012").arn == (
        "arn:aws:iam::123456789012:user/a+b=c,d.e@f_g-h"
    )


@pytest.mark.parametrize("name", ["", "a" * 65, "a b", "a/b", "a*", "a:b", "é", "a\n", "${x}"])
def test_malformed_user_name_is_refused(name: str) -> None:
    """A name that could change the meaning of an ARN never becomes a principal or a user."""
    with pytest.raises(ConfigurationError):
        Principal(name, "123456789012")
    with pytest.raises(ConfigurationError):
        User(name)


@pytest.mark.parametrize("account", ["", "12345678901", "1234567890123", "12345678901a", "١" * 12])
def test_malformed_account_is_refused(account: str) -> None:
    """An account is twelve ASCII digits."""
    with pytest.raises(ConfigurationError):
        Principal("alice", account)
    with pytest.raises(ConfigurationError):
        Identities(account)


def test_new_key_has_the_promised_form() -> None:
    """AKIA and 16 characters of A-Z2-7; 40 characters that need no escaping in a URI."""
    assert re.fullmatch(r"AKIA[A-Z2-7]{16}", KEY.access_key_id)
    assert re.fullmatch(r"[A-Za-z0-9]{40}", KEY.secret_access_key)


def test_new_keys_differ() -> None:
    """Every key is drawn anew."""
    keys = [new_access_key(CREATED) for _ in range(100)]
    assert len({key.access_key_id for key in keys}) == 100
    assert len({key.secret_access_key for key in keys}) == 100


def test_each_character_comes_from_the_random_source() -> None:
    """Nothing of a key is predictable."""
    key = new_access_key(CREATED, choice=lambda alphabet: alphabet[-1])
    assert (key.access_key_id, key.secret_access_key) == ("AKIA" + "7" * 16, "9" * 40)


def test_secret_is_not_in_repr() -> None:
    """Logging identities shows no secret."""
    assert KEY.access_key_id in repr(IDENTITIES)
    assert KEY.secret_access_key not in repr(IDENTITIES)


@pytest.mark.parametrize(
    ("key_id", "secret", "created"),
    [
        ("AKIA", "s" * 40, CREATED),
        ("AKIA/TESTTESTTESTTEST", "s" * 40, CREATED),
        ("AKIATESTTESTTESTTEST", "short", CREATED),
        ("AKIATESTTESTTESTTEST", "with space" * 4, CREATED),
        ("AKIATESTTESTTESTTEST", "s" * 40, "yesterday"),
        ("AKIATESTTESTTESTTEST", "s" * 40, "2026-01-31T12:00:00"),
    ],
)
def test_malformed_key_is_refused_without_its_secret(
    key_id: str, secret: str, created: str
) -> None:
    """The refusal never quotes the secret."""
    with pytest.raises(ConfigurationError) as refusal:
        Key(key_id, secret, created)
    assert secret not in str(refusal.value)


def test_key_finds_its_user() -> None:
    """A key id leads to exactly one user and key."""
    assert IDENTITIES.find_key(KEY.access_key_id) == (ALICE, KEY)
    assert IDENTITIES.find_key(OTHER_KEY.access_key_id) is None


def test_changes_give_new_values() -> None:
    """Users and keys come and go; the value they came from stays."""
    changed = IDENTITIES.with_user(User("carol")).with_key("carol", OTHER_KEY).without_user("bob")
    assert [user.name for user in changed.users] == ["alice", "carol"]
    assert changed.find_key(OTHER_KEY.access_key_id) == (User("carol", (), (OTHER_KEY,)), OTHER_KEY)
    assert [user.name for user in IDENTITIES.users] == ["alice", "bob"]


def test_removed_key_is_gone() -> None:
    """Revoking one key leaves the user and its other keys."""
    both = IDENTITIES.with_key("alice", OTHER_KEY)
    assert both.without_key(OTHER_KEY.access_key_id) == IDENTITIES


def test_removing_a_user_removes_its_keys() -> None:
    """A removed user's key finds nobody."""
    assert IDENTITIES.without_user("alice").find_key(KEY.access_key_id) is None


def test_policies_are_replaced() -> None:
    """with_policies replaces the documents and keeps the keys."""
    changed = IDENTITIES.with_policies("alice", ())
    assert changed.find_user("alice") == User("alice", (), (KEY,))


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value.with_user(User("alice")),
        lambda value: value.with_user(User("ALICE")),
        lambda value: value.without_user("carol"),
        lambda value: value.without_user("Alice"),
        lambda value: value.with_key("carol", OTHER_KEY),
        lambda value: value.with_key("bob", KEY),
        lambda value: value.without_key(OTHER_KEY.access_key_id),
        lambda value: value.with_policies("carol", ()),
    ],
)
def test_contradicting_change_is_refused(change: Callable[[Identities], Identities]) -> None:
    """Unknown users and keys, and names and keys already taken, are errors."""
    with pytest.raises(ConfigurationError):
        change(IDENTITIES)


def test_json_round_trip() -> None:
    """What was written is what is read."""
    assert from_json(to_json(IDENTITIES)) == IDENTITIES


def broken(change: Callable[[Any], object]) -> str:
    """The written document with one thing changed."""
    document = json.loads(to_json(IDENTITIES))
    change(document)
    return json.dumps(document)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "[" * 100_000,
        '{"format": 1, "format": 1, "account": "123456789012", "users": []}',
        broken(lambda d: d.update(format=3)),
        broken(lambda d: d.update(extra=1)),
        broken(lambda d: d.pop("account")),
        broken(lambda d: d.update(account=123456789012)),
        broken(lambda d: d.update(users={})),
        broken(lambda d: d["users"].append(d["users"][1])),
        broken(lambda d: d["users"][0].pop("policies")),
        broken(lambda d: d["users"][0].update(policies=["x"])),
        broken(lambda d: d["users"][0].update(name="a/b")),
        broken(lambda d: d["users"][0]["keys"][0].pop("created")),
        broken(lambda d: d["users"][0]["keys"][0].update(secret_access_key=1)),
        broken(lambda d: d["users"][1]["keys"].extend(d["users"][0]["keys"])),
    ],
)
def test_malformed_json_is_refused(text: str) -> None:
    """Anything missing, unknown, twice or of another type is an error, without a secret."""
    with pytest.raises(ConfigurationError) as refusal:
        from_json(text)
    assert KEY.secret_access_key not in str(refusal.value)


@given(st.text() | st.recursive(st.none() | st.text(), st.lists).map(json.dumps))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text raises anything else."""
    with pytest.raises(ConfigurationError):
        from_json(text)


FORMAT_1 = {
    "format": 1,
    "account": "123456789012",
    "users": [
        {
            "name": "alice",
            "policies": [POLICY],
            "keys": [
                {
                    "access_key_id": KEY.access_key_id,
                    "secret_access_key": KEY.secret_access_key,
                    "created": CREATED,
                }
            ],
        },
        {"name": "bob", "policies": [], "keys": []},
    ],
}


def test_format_1_is_still_read() -> None:
    """A home of an earlier version: the same users, without groups, boundaries and roles."""
    assert from_json(json.dumps(FORMAT_1)) == IDENTITIES


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(groups=[]),
        lambda d: d["users"][0].update(boundary=None),
        lambda d: d.update(format=True),
    ],
)
def test_format_1_has_nothing_of_format_2(change: Callable[[Any], object]) -> None:
    """What an earlier version did not know was not written by it."""
    document = json.loads(json.dumps(FORMAT_1))
    change(document)
    with pytest.raises(ConfigurationError):
        from_json(json.dumps(document))


ROLE = Role("lab", "AROA" + "A" * 17, (POLICY,), ("arn:aws:iam::123456789012:user/alice",))
STAFF = Group("staff", (POLICY,))
FULL = Identities(
    "123456789012",
    (User("alice", (POLICY,), (KEY,), ("staff",), POLICY), User("bob")),
    (STAFF, Group("idle")),
    (ROLE, Role("other", "AROA" + "B" * 17, trusted=("arn:aws:iam::123456789012:role/lab",))),
)


def test_everything_is_kept() -> None:
    """Groups, boundaries and roles are read as they were written."""
    assert from_json(to_json(FULL)) == FULL


def full_but(change: Callable[[Any], object]) -> str:
    """The full document with one thing changed."""
    document = json.loads(to_json(FULL))
    change(document)
    return json.dumps(document)


@pytest.mark.parametrize(
    "text",
    [
        full_but(lambda d: d["users"][0].update(groups=["nobody"])),
        full_but(lambda d: d["users"][0].update(groups="staff")),
        full_but(lambda d: d["users"][0].update(groups=["staff", "staff"])),
        full_but(lambda d: d["users"][0].update(boundary=[POLICY])),
        full_but(lambda d: d["users"][0].pop("boundary")),
        full_but(lambda d: d["groups"].append({"name": "STAFF", "policies": []})),
        full_but(lambda d: d["groups"][0].pop("policies")),
        full_but(lambda d: d["roles"][1].update(name="LAB")),
        full_but(lambda d: d["roles"][1].update(role_id="AROA" + "A" * 17)),
        full_but(lambda d: d["roles"][0].update(role_id="AROA")),
        full_but(lambda d: d["roles"][0].update(trusted=["*"])),
        full_but(lambda d: d["roles"][0].update(trusted=["arn:aws:iam::123456789012:user/*"])),
        full_but(lambda d: d["roles"][0].update(trusted=["arn:aws:iam::999999999999:user/x"])),
        full_but(lambda d: d["roles"][0].update(trusted=["arn:aws:iam::123456789012:root"])),
        full_but(lambda d: d["roles"][0].update(max_session_seconds=899)),
        full_but(lambda d: d["roles"][0].update(max_session_seconds=43_201)),
        full_but(lambda d: d["roles"][0].update(max_session_seconds=True)),
        full_but(lambda d: d["roles"][0].update(max_session_seconds="900")),
    ],
)
def test_malformed_groups_and_roles_are_refused(text: str) -> None:
    """A limit that cannot be read is not left out."""
    with pytest.raises(ConfigurationError):
        from_json(text)


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value.with_group(Group("Staff")),
        lambda value: value.without_group("staff"),
        lambda value: value.without_group("nobody"),
        lambda value: value.with_member("nobody", "bob"),
        lambda value: value.with_member("staff", "nobody"),
        lambda value: value.with_member("staff", "alice"),
        lambda value: value.without_member("staff", "bob"),
        lambda value: value.with_changed_group(Group("nobody")),
        lambda value: value.with_role(Role("LAB", "AROA" + "C" * 17)),
        lambda value: value.without_role("Lab"),
        lambda value: value.with_changed_role("Lab", lambda role: role),
    ],
)
def test_contradicting_change_of_groups_and_roles_is_refused(
    change: Callable[[Identities], Identities],
) -> None:
    """Names that are taken or unknown, and a group that users depend on."""
    with pytest.raises(ConfigurationError):
        change(FULL)


def test_groups_and_roles_come_and_go() -> None:
    """Each change gives the value that one expects."""
    changed = FULL.without_member("staff", "alice").without_group("staff").without_role("other")
    assert changed.groups == (Group("idle"),)
    assert changed.roles == (ROLE,)
    assert FULL.with_member("idle", "bob").users[1].groups == ("idle",)
    assert FULL.with_changed_group(Group("staff")).groups[0] == Group("staff")


def test_who_is_gone_is_no_longer_trusted() -> None:
    """A later user or role of the same name inherits nothing."""
    assert FULL.without_user("alice").roles[0].trusted == ()
    assert FULL.without_role("lab").roles[0].trusted == ()


def test_temporary_key_belongs_to_no_user() -> None:
    """Its form says that it needs a session token."""
    with pytest.raises(ConfigurationError):
        Key("ASIA" + "A" * 16, "s" * 40, CREATED)
