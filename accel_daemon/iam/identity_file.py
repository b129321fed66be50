"""The identities as JSON text, and back. Pure; `control.identity_store` keeps the file.

Format 2 holds users, groups and roles. Format 1, which had users without groups and boundaries, is
still read. Anything missing, unknown or there twice is refused: what is skipped could have been a
limit.
"""

from __future__ import annotations

import json

from accel_daemon.iam.callers import malformed
from accel_daemon.iam.policy_set import Document
from accel_daemon.iam.principals import Group, Identities, Key, Role, User

FORMAT = 2

_USER_1 = {"name", "policies", "keys"}
_USER = _USER_1 | {"groups", "boundary"}
_ROLE = {"name", "role_id", "policies", "trusted", "boundary", "max_session_seconds"}


def to_json(identities: Identities) -> str:
    """As JSON text. It holds the secrets: write it only to a file of mode 0600."""
    document = {
        "format": FORMAT,
        "account": identities.account,
        "users": [_user_document(user) for user in identities.users],
        "groups": [
            {"name": group.name, "policies": [dict(one) for one in group.policies]}
            for group in identities.groups
        ],
        "roles": [_role_document(role) for role in identities.roles],
    }
    return json.dumps(document, indent=2) + "\n"


def from_json(text: str) -> Identities:
    """Read what to_json wrote, now or in format 1.

    Raises:
        ConfigurationError: anything missing, unknown, twice or of another type.
    """
    members = _any_object(_parse_json(text))
    written = members.get("format")
    if isinstance(written, bool) or written not in (1, FORMAT):
        raise malformed(f"The identities are not in format 1 or {FORMAT}")
    names = {"format", "account", "users"} | (set() if written == 1 else {"groups", "roles"})
    document = _object(members, names, "the identities")
    return Identities(
        _text(document["account"], "account"),
        tuple(_read_user(one, written == 1) for one in _list(document["users"], "users")),
        tuple(_read_group(one) for one in _list(document.get("groups", []), "groups")),
        tuple(_read_role(one) for one in _list(document.get("roles", []), "roles")),
    )


def _user_document(user: User) -> dict[str, object]:
    keys = [
        {
            "access_key_id": key.access_key_id,
            "secret_access_key": key.secret_access_key,
            "created": key.created,
        }
        for key in user.keys
    ]
    return {
        "name": user.name,
        "policies": [dict(one) for one in user.policies],
        "keys": keys,
        "groups": list(user.groups),
        "boundary": None if user.boundary is None else dict(user.boundary),
    }


def _role_document(role: Role) -> dict[str, object]:
    return {
        "name": role.name,
        "role_id": role.role_id,
        "policies": [dict(one) for one in role.policies],
        "trusted": list(role.trusted),
        "boundary": None if role.boundary is None else dict(role.boundary),
        "max_session_seconds": role.max_session_seconds,
    }


def _read_user(value: object, is_format_1: bool) -> User:
    document = _object(value, _USER_1 if is_format_1 else _USER, "a user")
    return User(
        _text(document["name"], "name"),
        _policies(document["policies"]),
        tuple(_read_key(item) for item in _list(document["keys"], "keys")),
        _texts(document.get("groups", []), "groups"),
        _boundary(document.get("boundary")),
    )


def _read_key(value: object) -> Key:
    names = {"access_key_id", "secret_access_key", "created"}
    document = _object(value, names, "an access key")
    return Key(**{name: _text(document[name], name) for name in sorted(names)})


def _read_group(value: object) -> Group:
    document = _object(value, {"name", "policies"}, "a group")
    return Group(_text(document["name"], "name"), _policies(document["policies"]))


def _read_role(value: object) -> Role:
    document = _object(value, _ROLE, "a role")
    seconds = document["max_session_seconds"]
    if isinstance(seconds, bool) or not isinstance(seconds, int):
        raise malformed("max_session_seconds is not a number")
    return Role(
        _text(document["name"], "name"),
        _text(document["role_id"], "role_id"),
        _policies(document["policies"]),
        _texts(document["trusted"], "trusted"),
        _boundary(document["boundary"]),
        seconds,
    )


def _policies(value: object) -> tuple[Document, ...]:
    return tuple(_any_object(one) for one in _list(value, "policies"))


def _boundary(value: object) -> Document | None:
    return None if value is None else _any_object(value)


def _parse_json(text: str) -> object:
    try:
        return json.loads(text, object_pairs_hook=_unique_members)
    except (ValueError, RecursionError):
        raise malformed("The identities are not JSON") from None


def _unique_members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise malformed("The identities hold a member twice")
    return members


def _object(value: object, names: set[str], what: str) -> dict[str, object]:
    members = _any_object(value)
    if set(members) != names:
        raise malformed(f"The members of {what} are exactly {', '.join(sorted(names))}")
    return members


def _any_object(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise malformed("The identities hold something else where an object belongs")
    return value


def _list(value: object, what: str) -> list[object]:
    if not isinstance(value, list):
        raise malformed(f"{what} is not a list")
    return value


def _texts(value: object, what: str) -> tuple[str, ...]:
    return tuple(_text(one, what) for one in _list(value, what))


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise malformed(f"{what} is not a text")
    return value
