"""The first user, and the profile that a client on this machine uses."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from accel_daemon.control.identity_store import IdentityStore
from accel_daemon.home import Home, make_private_folder
from accel_daemon.iam.principals import User, new_access_key
from accel_daemon.supervisor.client_profile import (
    ADMINISTRATOR,
    INSTANCE_ROLE,
    prepare_identities,
    write_client_profile,
)

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home that no daemon has seen."""
    home = Home(tmp_path / "home")
    make_private_folder(home.daemon)
    return home


def profile(home: Home) -> dict[str, str]:
    """What a client would read."""
    return json.loads(home.client_profile.read_text())


def test_first_start_makes_an_administrator_once(home: Home) -> None:
    """A second start finds the same key."""
    store = IdentityStore(home.identities)
    first = prepare_identities(store, home, NOW)
    write_client_profile(home, first, "https://127.0.0.1:1", "us-east-1")
    assert prepare_identities(IdentityStore(home.identities), home, NOW) == first
    assert [user.name for user in first.users] == [ADMINISTRATOR]


def test_first_start_keeps_users_added_before(home: Home) -> None:
    """`user add` works before the first `up`."""
    store = IdentityStore(home.identities)
    store.update(lambda identities: identities.with_user(User("early")))
    names = [user.name for user in prepare_identities(store, home, NOW).users]
    assert names == ["early", ADMINISTRATOR]


def test_removed_administrator_stays_removed(home: Home) -> None:
    """What the operator removed is not made anew, and the profile loses its key."""
    store = IdentityStore(home.identities)
    identities = prepare_identities(store, home, NOW)
    assert write_client_profile(home, identities, "https://127.0.0.1:1", "us-east-1")
    store.update(lambda present: present.without_user(ADMINISTRATOR))
    identities = prepare_identities(store, home, NOW)
    assert identities.users == ()
    assert [role.name for role in identities.roles] == [INSTANCE_ROLE]
    assert not write_client_profile(home, identities, "https://127.0.0.1:2", "us-east-1")
    assert profile(home) == {
        "control": "https://127.0.0.1:2",
        "ca_file": str(home.ca_file),
        "region": "us-east-1",
    }


def test_instance_role_is_made_once(home: Home) -> None:
    """Nobody may assume it; a second start keeps it, and does not bring it back."""
    store = IdentityStore(home.identities)
    identities = prepare_identities(store, home, NOW)
    (role,) = identities.roles
    assert (role.name, role.trusted) == (INSTANCE_ROLE, ())
    rules = identities.role_policy_set(role, None).rules()
    assert rules is not None
    write_client_profile(home, identities, "https://127.0.0.1:1", "us-east-1")
    assert prepare_identities(store, home, NOW).roles == (role,)
    store.update(lambda present: present.without_role(INSTANCE_ROLE))
    assert prepare_identities(store, home, NOW).roles == ()


def test_profile_keeps_the_key_it_has_while_that_is_valid(home: Home) -> None:
    """An operator may put another user's key into the profile."""
    store = IdentityStore(home.identities)
    prepare_identities(store, home, NOW)
    key = new_access_key(NOW.isoformat())
    identities = store.update(lambda present: present.with_user(User("ann", (), (key,))))
    home.client_profile.write_text(json.dumps({"access_key_id": key.access_key_id}))
    write_client_profile(home, identities, "https://127.0.0.1:1", "us-east-1")
    assert profile(home)["secret_access_key"] == key.secret_access_key


def test_profile_is_private(home: Home) -> None:
    """It holds a secret."""
    identities = prepare_identities(IdentityStore(home.identities), home, NOW)
    write_client_profile(home, identities, "https://127.0.0.1:1", "us-east-1")
    assert stat.S_IMODE(home.client_profile.stat().st_mode) == 0o600
