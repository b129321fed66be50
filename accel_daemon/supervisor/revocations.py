"""Which access keys and roles are gone between two states of the identities. Pure."""

from __future__ import annotations

from accel_daemon.iam.principals import Identities


def removed_keys(before: Identities, after: Identities) -> frozenset[str]:
    """Ids of the keys that were valid before and are not after, be it that their user is gone.

    A key that now belongs to another user counts as removed. Keys are enough to end the tickets of
    a removed user, since every ticket names its key; naming the principal as well would shut out a
    later user of the same name.
    """
    return frozenset(access_key_id for access_key_id, _ in _owned(before) - _owned(after))


def removed_roles(before: Identities, after: Identities) -> frozenset[str]:
    """Ids of the roles that are gone, whose sessions' tickets end.

    The id, not the name: it leaves a later role of the same name alone.
    """
    return frozenset(role.role_id for role in before.roles) - {role.role_id for role in after.roles}


def _owned(identities: Identities) -> set[tuple[str, str]]:
    return {(key.access_key_id, user.name) for user in identities.users for key in user.keys}
