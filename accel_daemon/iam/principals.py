"""Principals, their access keys, and the immutable value that holds them all.

`Identities` is what the identity store keeps on disk. Each change gives a new value, so a reader in
another thread never sees half a change.
"""

from __future__ import annotations

import json
import re
import secrets
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from accel_protocol.errors import ConfigurationError

FORMAT = 1
NO_ACCOUNT = "000000000000"

_ACCOUNT = re.compile(r"[0-9]{12}")
_USER_NAME = re.compile(r"[A-Za-z0-9+=,.@_-]{1,64}")
_KEY_ID = re.compile(r"[A-Za-z0-9_]{16,128}")
_SECRET = re.compile(r"[!-~]{16,128}")
_KEY_ID_ALPHABET = string.ascii_uppercase + "234567"
# No "/" or "+": the secret stands in `accel://ID:SECRET@HOST` as it is; 238 bits are left.
_SECRET_ALPHABET = string.ascii_letters + string.digits


@dataclass(frozen=True)
class Principal:
    """Who calls: a user's name and its 12-digit account.

    Raises:
        ConfigurationError: the name or the account is malformed.
    """

    name: str
    account: str

    def __post_init__(self) -> None:
        """Refuse what could not stand in an ARN."""
        _require(_USER_NAME, self.name, "A user name is 1 to 64 characters of A-Za-z0-9+=,.@_-")
        _require(_ACCOUNT, self.account, "An account is 12 digits")

    @property
    def arn(self) -> str:
        """The principal's Amazon Resource Name."""
        return f"arn:aws:iam::{self.account}:user/{self.name}"


@dataclass(frozen=True)
class Key:
    """An access key; `created` is an ISO 8601 time with its zone.

    Raises:
        ConfigurationError: a field is malformed; the message never shows the secret.
    """

    access_key_id: str
    secret_access_key: str = field(repr=False)
    created: str

    def __post_init__(self) -> None:
        """Refuse a key that could not have been issued."""
        _require(_KEY_ID, self.access_key_id, "An access key id is 16 to 128 letters or digits")
        _require(_SECRET, self.secret_access_key, "A secret is 16 to 128 printable characters")
        if not _is_aware_iso_time(self.created):
            raise _malformed("An access key's `created` is an ISO 8601 time with its zone")


@dataclass(frozen=True)
class User:
    """A user: policy documents (JSON objects, see policy.parse_policy) and access keys."""

    name: str
    policies: tuple[Mapping[str, object], ...] = ()
    keys: tuple[Key, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a malformed name."""
        _require(_USER_NAME, self.name, "A user name is 1 to 64 characters of A-Za-z0-9+=,.@_-")


@dataclass(frozen=True)
class Identities:
    """All users of one account. User names are unique whatever their case, and so are key ids.

    Raises:
        ConfigurationError: a malformed account, or a name or key id that is there twice.
    """

    account: str = NO_ACCOUNT
    users: tuple[User, ...] = ()

    def __post_init__(self) -> None:
        """Refuse ambiguity: a name or a key id must find exactly one user."""
        _require(_ACCOUNT, self.account, "An account is 12 digits")
        names = [user.name.lower() for user in self.users]
        if len(set(names)) != len(names):
            raise _malformed("There is already a user of this name")
        ids = [key.access_key_id for user in self.users for key in user.keys]
        if len(set(ids)) != len(ids):
            raise _malformed("There is already an access key with this id")

    def find_user(self, name: str) -> User | None:
        """The user of exactly this name."""
        return next((user for user in self.users if user.name == name), None)

    def find_key(self, access_key_id: str) -> tuple[User, Key] | None:
        """The access key with this id, and whose it is."""
        for user in self.users:
            for key in user.keys:
                if key.access_key_id == access_key_id:
                    return user, key
        return None

    def principal(self, user: User) -> Principal:
        """The user as a principal of this account."""
        return Principal(user.name, self.account)

    def with_user(self, user: User) -> Identities:
        """With one more user; ConfigurationError when the name is taken."""
        return replace(self, users=(*self.users, user))

    def without_user(self, name: str) -> Identities:
        """Without a user and its keys; ConfigurationError when there is none of this name."""
        self._user(name)
        return replace(self, users=tuple(user for user in self.users if user.name != name))

    def with_policies(self, name: str, policies: tuple[Mapping[str, object], ...]) -> Identities:
        """With other policies for a user; ConfigurationError when there is none of this name."""
        return self._replaced(replace(self._user(name), policies=policies))

    def with_key(self, name: str, key: Key) -> Identities:
        """With one more key for a user; ConfigurationError for an unknown user or a known key."""
        user = self._user(name)
        return self._replaced(replace(user, keys=(*user.keys, key)))

    def without_key(self, access_key_id: str) -> Identities:
        """Without a key; ConfigurationError when there is none with this id."""
        found = self.find_key(access_key_id)
        if found is None:
            raise _malformed("There is no access key with this id")
        user, gone = found
        return self._replaced(replace(user, keys=tuple(key for key in user.keys if key != gone)))

    def to_json(self) -> str:
        """As JSON text. It holds the secrets: write it only to a file of mode 0600."""
        document = {
            "format": FORMAT,
            "account": self.account,
            "users": [_user_document(user) for user in self.users],
        }
        return json.dumps(document, indent=2) + "\n"

    @staticmethod
    def from_json(text: str) -> Identities:
        """Read what to_json wrote.

        Raises:
            ConfigurationError: anything missing, unknown, twice or of another type.
        """
        document = _object(_parse_json(text), {"format", "account", "users"}, "the identities")
        if document["format"] != FORMAT:
            raise _malformed(f"The identities are not in format {FORMAT}")
        users = tuple(_read_user(item) for item in _list(document["users"], "users"))
        return Identities(_text(document["account"], "account"), users)

    def _user(self, name: str) -> User:
        user = self.find_user(name)
        if user is None:
            raise _malformed("There is no user of this name")
        return user

    def _replaced(self, changed: User) -> Identities:
        users = tuple(changed if user.name == changed.name else user for user in self.users)
        return replace(self, users=users)


def new_access_key(created: str, choice: Callable[[str], str] = secrets.choice) -> Key:
    """A fresh key: "AKIA" and 16 characters of A-Z2-7, with a 40-character secret.

    Args:
        created: ISO 8601 time with its zone.
        choice: picks one character of a text; only tests replace the operating system's source.
    """
    key_id = "AKIA" + "".join(choice(_KEY_ID_ALPHABET) for _ in range(16))
    return Key(key_id, "".join(choice(_SECRET_ALPHABET) for _ in range(40)), created)


def _user_document(user: User) -> dict[str, object]:
    keys = [
        {
            "access_key_id": key.access_key_id,
            "secret_access_key": key.secret_access_key,
            "created": key.created,
        }
        for key in user.keys
    ]
    return {"name": user.name, "policies": [dict(p) for p in user.policies], "keys": keys}


def _read_user(value: object) -> User:
    document = _object(value, {"name", "policies", "keys"}, "a user")
    policies = _list(document["policies"], "policies")
    keys = tuple(_read_key(item) for item in _list(document["keys"], "keys"))
    return User(
        _text(document["name"], "name"), tuple(_any_object(item) for item in policies), keys
    )


def _read_key(value: object) -> Key:
    names = {"access_key_id", "secret_access_key", "created"}
    document = _object(value, names, "an access key")
    return Key(**{name: _text(document[name], name) for name in sorted(names)})


def _parse_json(text: str) -> object:
    try:
        return json.loads(text, object_pairs_hook=_unique_members)
    except (ValueError, RecursionError):
        raise _malformed("The identities are not JSON") from None


def _unique_members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _malformed("The identities hold a member twice")
    return members


def _object(value: object, names: set[str], what: str) -> dict[str, object]:
    members = _any_object(value)
    if set(members) != names:
        raise _malformed(f"The members of {what} are exactly {', '.join(sorted(names))}")
    return members


def _any_object(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise _malformed("The identities hold something else where an object belongs")
    return value


def _list(value: object, what: str) -> list[object]:
    if not isinstance(value, list):
        raise _malformed(f"{what} is not a list")
    return value


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise _malformed(f"{what} is not a text")
    return value


def _is_aware_iso_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _require(pattern: re.Pattern[str], text: str, message: str) -> None:
    if not pattern.fullmatch(text):
        raise _malformed(message)


def _malformed(message: str) -> ConfigurationError:
    return ConfigurationError(f"{message}.", remedy="Correct the name, the key or the file.")
