"""The profile with which a client on this machine may use this daemon; first user and role."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

from accel_daemon.control.identity_store import IdentityStore
from accel_daemon.home import Home, write_private_file
from accel_daemon.iam.principals import (
    Identities,
    Key,
    Role,
    User,
    new_access_key,
    new_role_id,
)
from accel_daemon.invitations import INVITED_POLICY

ADMINISTRATOR = "administrator"
ADMINISTRATOR_POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["elastic-inference:*", "sts:*"], "Resource": "*"}],
}
# Whose credentials instance metadata gives. Nobody may assume it: only the daemon issues them.
INSTANCE_ROLE = "accel-instance"


def prepare_identities(store: IdentityStore, home: Home, now: datetime) -> Identities:
    """The identities; at the first start in this home with an administrator and an instance role.

    Which of them the operator has removed since does not come back.
    """
    if home.client_profile.exists():
        return store.load()
    return store.update(lambda present: _with_first_ones(present, now))


def _with_first_ones(identities: Identities, now: datetime) -> Identities:
    """With those that are missing: a first start may have been cut off in its middle."""
    if identities.find_user(ADMINISTRATOR) is None:
        key = new_access_key(now.isoformat())
        identities = identities.with_user(User(ADMINISTRATOR, (ADMINISTRATOR_POLICY,), (key,)))
    if identities.find_role(INSTANCE_ROLE) is None:
        identities = identities.with_role(Role(INSTANCE_ROLE, new_role_id(), (INVITED_POLICY,)))
    return identities


def write_client_profile(home: Home, identities: Identities, control: str, region: str) -> bool:
    """Write the profile; False when no key is left that it could hold.

    The key that the profile holds stays in it while it is valid; else the administrator's is used.
    """
    profile = {"control": control, "ca_file": str(home.ca_file), "region": region}
    key = _profile_key(home.client_profile, identities)
    if key is not None:
        profile["access_key_id"] = key.access_key_id
        profile["secret_access_key"] = key.secret_access_key
    write_private_file(home.client_profile, (json.dumps(profile, indent=2) + "\n").encode())
    return key is not None


def _profile_key(path: Path, identities: Identities) -> Key | None:
    try:
        found = identities.find_key(str(json.loads(path.read_bytes())["access_key_id"]))
    except (OSError, ValueError, TypeError, KeyError):
        found = None
    if found is not None:
        return found[1]
    administrator = identities.find_user(ADMINISTRATOR)
    return administrator.keys[0] if administrator is not None and administrator.keys else None
