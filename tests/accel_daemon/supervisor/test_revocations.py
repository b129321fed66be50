"""Which keys and roles are gone when the identities change."""

from __future__ import annotations

from dataclasses import replace

from accel_daemon.iam.principals import Identities, Role, User, new_access_key, new_role_id
from accel_daemon.supervisor.revocations import removed_keys, removed_roles

CREATED = "2026-01-31T12:00:00+00:00"
ONE, TWO = new_access_key(CREATED), new_access_key(CREATED)
BOTH = Identities(users=(User("ann", keys=(ONE,)), User("bob", keys=(TWO,))))


def test_nothing_removed() -> None:
    """New users and keys revoke nothing."""
    more = BOTH.with_user(User("cid")).with_key("ann", new_access_key(CREATED))
    assert removed_keys(BOTH, more) == frozenset()


def test_removed_key() -> None:
    """A key that was revoked."""
    assert removed_keys(BOTH, BOTH.without_key(ONE.access_key_id)) == {ONE.access_key_id}


def test_removed_user() -> None:
    """All keys of a user that was removed."""
    assert removed_keys(BOTH, BOTH.without_user("bob")) == {TWO.access_key_id}


def test_key_that_changed_hands() -> None:
    """A key that now belongs to another user ends the tickets of the first."""
    swapped = replace(BOTH, users=(User("ann", keys=(TWO,)), User("bob", keys=(ONE,))))
    assert removed_keys(BOTH, swapped) == {ONE.access_key_id, TWO.access_key_id}


def test_file_that_vanished() -> None:
    """Without identities nobody keeps a session."""
    assert removed_keys(BOTH, Identities()) == {ONE.access_key_id, TWO.access_key_id}


def test_removed_role() -> None:
    """By its id, so that a later role of the same name is another one."""
    lab, other = Role("lab", new_role_id()), Role("other", new_role_id())
    before = replace(BOTH, roles=(lab, other))
    assert removed_roles(before, before.with_changed_role("lab", lambda one: one)) == frozenset()
    assert removed_roles(before, before.without_role("lab")) == {lab.role_id}
    again = before.without_role("lab").with_role(Role("lab", new_role_id()))
    assert removed_roles(before, again) == {lab.role_id}
