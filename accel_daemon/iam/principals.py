"""Users, groups, roles and access keys, and the immutable value that holds them all.

`Identities` is what the identity store keeps on disk; `identity_file` writes and reads it. Each
change gives a new value, so a reader in another thread never sees half a change. Policies are JSON
objects that `policy.parse_policy` understands.
"""

from __future__ import annotations

import re
import secrets
import string
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

from accel_daemon.iam.callers import (
    ACCOUNT,
    ROLE_ID,
    USER_NAME,
    AnyPrincipal,
    AssumedRole,
    Principal,
    malformed,
    require,
    role_arn,
    user_arn,
)
from accel_daemon.iam.policy_set import Document, PolicySet

__all__ = [
    "AnyPrincipal",
    "AssumedRole",
    "Group",
    "Identities",
    "Key",
    "Principal",
    "Role",
    "User",
    "new_access_key",
    "new_key_id",
    "new_role_id",
    "new_secret",
]

NO_ACCOUNT = "000000000000"
TEMPORARY_PREFIX = "ASIA"
MIN_SESSION_SECONDS = 900
MAX_SESSION_SECONDS = 43_200
DEFAULT_SESSION_SECONDS = 3600

_GROUP_NAME = re.compile(r"[A-Za-z0-9+=,.@_-]{1,128}")
_KEY_ID = re.compile(r"[A-Za-z0-9_]{16,128}")
_SECRET = re.compile(r"[!-~]{16,128}")
_KEY_ID_ALPHABET = string.ascii_uppercase + "234567"
# No "/" or "+": the secret stands in `accel://ID:SECRET@HOST` as it is; 238 bits are left.
_SECRET_ALPHABET = string.ascii_letters + string.digits


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
        require(_KEY_ID, self.access_key_id, "An access key id is 16 to 128 letters or digits")
        require(_SECRET, self.secret_access_key, "A secret is 16 to 128 printable characters")
        if is_temporary(self.access_key_id):
            raise malformed(f"Only temporary access keys begin with {TEMPORARY_PREFIX}")
        if not _is_aware_iso_time(self.created):
            raise malformed("An access key's `created` is an ISO 8601 time with its zone")


@dataclass(frozen=True)
class User:
    """A user.

    Attributes:
        name: unique whatever its case.
        policies: what it may do.
        keys: what it may sign with.
        groups: names of groups, whose policies are the user's too.
        boundary: a policy that must allow as well, and allows nothing by itself; None: no limit.

    Raises:
        ConfigurationError: a malformed name, or a group twice.
    """

    name: str
    policies: tuple[Document, ...] = ()
    keys: tuple[Key, ...] = ()
    groups: tuple[str, ...] = ()
    boundary: Document | None = None

    def __post_init__(self) -> None:
        """Refuse a malformed name."""
        require(USER_NAME, self.name, "A user name is 1 to 64 characters of A-Za-z0-9+=,.@_-")
        if len(set(self.groups)) != len(self.groups):
            raise malformed("The user is in this group already")


@dataclass(frozen=True)
class Group:
    """A group: its policies are those of all users in it.

    Raises:
        ConfigurationError: a malformed name.
    """

    name: str
    policies: tuple[Document, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a malformed name."""
        require(_GROUP_NAME, self.name, "A group name is 1 to 128 characters of A-Za-z0-9+=,.@_-")


@dataclass(frozen=True)
class Role:
    """What others may become for a while.

    Attributes:
        name: unique whatever its case.
        role_id: tells it from an earlier or later role of the same name.
        policies: what its sessions may do.
        trusted: ARNs of the users and roles of this account that may assume it, if their own
            policies let them; none: only the daemon itself gives its credentials.
        boundary: as a user's.
        max_session_seconds: how long a session lasts at most, 900 to 43200.

    Raises:
        ConfigurationError: one of them is malformed.
    """

    name: str
    role_id: str
    policies: tuple[Document, ...] = ()
    trusted: tuple[str, ...] = ()
    boundary: Document | None = None
    max_session_seconds: int = DEFAULT_SESSION_SECONDS

    def __post_init__(self) -> None:
        """Refuse what could not stand in an ARN, and lives that no session has."""
        require(USER_NAME, self.name, "A role name is 1 to 64 characters of A-Za-z0-9+=,.@_-")
        require(ROLE_ID, self.role_id, "A role id is AROA and 17 characters of A-Z0-9")
        if not MIN_SESSION_SECONDS <= self.max_session_seconds <= MAX_SESSION_SECONDS:
            raise malformed(
                f"A role's sessions last at most {MIN_SESSION_SECONDS} to {MAX_SESSION_SECONDS} "
                "seconds"
            )


@dataclass(frozen=True)
class Identities:
    """All users, groups and roles of one account, each with names unique whatever their case.

    Raises:
        ConfigurationError: a malformed account, a name or key id that is there twice, a user in a
            group that is not there, or a role that trusts something else than users and roles of
            this account.
    """

    account: str = NO_ACCOUNT
    users: tuple[User, ...] = ()
    groups: tuple[Group, ...] = ()
    roles: tuple[Role, ...] = ()

    def __post_init__(self) -> None:
        """Refuse ambiguity: a name or a key id must find exactly one user."""
        require(ACCOUNT, self.account, "An account is 12 digits")
        _refuse_twice((one.name.lower() for one in self.users), "a user of this name")
        _refuse_twice((one.name.lower() for one in self.groups), "a group of this name")
        _refuse_twice((one.name.lower() for one in self.roles), "a role of this name")
        _refuse_twice((one.role_id for one in self.roles), "a role with this id")
        keys = (key.access_key_id for user in self.users for key in user.keys)
        _refuse_twice(keys, "an access key with this id")
        if not {name for user in self.users for name in user.groups} <= {
            g.name for g in self.groups
        }:
            raise malformed("There is no group of this name")
        for arn in (arn for role in self.roles for arn in role.trusted):
            _check_trusted(arn, self.account)

    def find_user(self, name: str) -> User | None:
        """The user of exactly this name."""
        return next((user for user in self.users if user.name == name), None)

    def find_group(self, name: str) -> Group | None:
        """The group of exactly this name."""
        return next((group for group in self.groups if group.name == name), None)

    def find_role(self, name: str) -> Role | None:
        """The role of exactly this name."""
        return next((role for role in self.roles if role.name == name), None)

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

    def policy_set(self, user: User) -> PolicySet:
        """What limits a user: its own and its groups' policies, and its boundary."""
        groups = (group for group in self.groups if group.name in user.groups)
        policies = (*user.policies, *(policy for group in groups for policy in group.policies))
        return PolicySet(policies, None if user.boundary is None else (user.boundary,))

    def role_policy_set(self, role: Role, session: tuple[Document, ...] | None) -> PolicySet:
        """What limits a session of a role, which `session` policies narrow where there are any."""
        boundary = None if role.boundary is None else (role.boundary,)
        return PolicySet(role.policies, boundary, session)

    def with_user(self, user: User) -> Identities:
        """With one more user; ConfigurationError when the name is taken."""
        return replace(self, users=(*self.users, user))

    def without_user(self, name: str) -> Identities:
        """Without a user, its keys, and the trust of roles, which a later user would inherit.

        ConfigurationError when there is none of this name.
        """
        self._user(name)
        users = tuple(user for user in self.users if user.name != name)
        return replace(self, users=users, roles=self._untrusting(user_arn(self.account, name)))

    def with_changed_user(self, name: str, change: Callable[[User], User]) -> Identities:
        """With another user in a user's place; ConfigurationError when there is no such user."""
        changed = change(self._user(name))
        users = tuple(changed if user.name == name else user for user in self.users)
        return replace(self, users=users)

    def with_policies(self, name: str, policies: tuple[Document, ...]) -> Identities:
        """With other policies for a user; ConfigurationError when there is none of this name."""
        return self.with_changed_user(name, lambda user: replace(user, policies=policies))

    def with_key(self, name: str, key: Key) -> Identities:
        """With one more key for a user; ConfigurationError for an unknown user or a known key."""
        return self.with_changed_user(name, lambda user: replace(user, keys=(*user.keys, key)))

    def without_key(self, access_key_id: str) -> Identities:
        """Without a key; ConfigurationError when there is none with this id."""
        found = self.find_key(access_key_id)
        if found is None:
            raise malformed("There is no access key with this id")
        user, gone = found
        keys = tuple(key for key in user.keys if key != gone)
        return self.with_changed_user(user.name, lambda user: replace(user, keys=keys))

    def with_group(self, group: Group) -> Identities:
        """With one more group; ConfigurationError when the name is taken."""
        return replace(self, groups=(*self.groups, group))

    def without_group(self, name: str) -> Identities:
        """Without a group; ConfigurationError when there is none of this name, or users are in it.

        A group may hold the Deny that its users depend on, so it never goes away under them.
        """
        if self.find_group(name) is None:
            raise malformed("There is no group of this name")
        if any(name in user.groups for user in self.users):
            raise malformed("Users are in this group; remove them from it first")
        return replace(self, groups=tuple(group for group in self.groups if group.name != name))

    def with_changed_group(self, changed: Group) -> Identities:
        """With another group in the place of that of its name; ConfigurationError without one."""
        if self.find_group(changed.name) is None:
            raise malformed("There is no group of this name")
        groups = (changed if one.name == changed.name else one for one in self.groups)
        return replace(self, groups=tuple(groups))

    def with_member(self, group: str, user: str) -> Identities:
        """With a user in a group.

        ConfigurationError when one of them is unknown, or the user is in the group already.
        """
        return self.with_changed_user(user, lambda one: replace(one, groups=(*one.groups, group)))

    def without_member(self, group: str, user: str) -> Identities:
        """With a user no longer in a group; ConfigurationError when it was not in it."""
        if group not in self._user(user).groups:
            raise malformed("The user is not in this group")
        return self.with_changed_user(
            user,
            lambda one: replace(one, groups=tuple(name for name in one.groups if name != group)),
        )

    def with_role(self, role: Role) -> Identities:
        """With one more role; ConfigurationError when its name or id is taken."""
        return replace(self, roles=(*self.roles, role))

    def with_changed_role(self, name: str, change: Callable[[Role], Role]) -> Identities:
        """With another role in a role's place; ConfigurationError when there is no such role."""
        role = self.find_role(name)
        if role is None:
            raise malformed("There is no role of this name")
        changed = change(role)
        return replace(self, roles=tuple(changed if one is role else one for one in self.roles))

    def without_role(self, name: str) -> Identities:
        """Without a role, which ends its sessions, and without the trust that others have in it.

        ConfigurationError when there is none of this name.
        """
        if self.find_role(name) is None:
            raise malformed("There is no role of this name")
        roles = self._untrusting(role_arn(self.account, name))
        return replace(self, roles=tuple(role for role in roles if role.name != name))

    def _user(self, name: str) -> User:
        user = self.find_user(name)
        if user is None:
            raise malformed("There is no user of this name")
        return user

    def _untrusting(self, arn: str) -> tuple[Role, ...]:
        return tuple(
            replace(role, trusted=tuple(one for one in role.trusted if one != arn))
            for role in self.roles
        )


def new_access_key(created: str, choice: Callable[[str], str] = secrets.choice) -> Key:
    """A fresh key: "AKIA" and 16 characters of A-Z2-7, with a 40-character secret.

    Args:
        created: ISO 8601 time with its zone.
        choice: picks one character of a text; only tests replace the operating system's source.
    """
    return Key(new_key_id("AKIA", choice), new_secret(choice), created)


def new_key_id(prefix: str, choice: Callable[[str], str] = secrets.choice) -> str:
    """A prefix of 4 characters, and 16 random characters of A-Z2-7."""
    return prefix + "".join(choice(_KEY_ID_ALPHABET) for _ in range(16))


def new_secret(choice: Callable[[str], str] = secrets.choice) -> str:
    """A secret of 40 random letters and digits."""
    return "".join(choice(_SECRET_ALPHABET) for _ in range(40))


def is_temporary(access_key_id: str) -> bool:
    """Whether an access key needs a session token: its form says so, to everyone."""
    return access_key_id.startswith(TEMPORARY_PREFIX)


def new_role_id(choice: Callable[[str], str] = secrets.choice) -> str:
    """A fresh role id: "AROA" and 17 characters of A-Z2-7."""
    return "AROA" + "".join(choice(_KEY_ID_ALPHABET) for _ in range(17))


def _refuse_twice(names: Iterable[str], what: str) -> None:
    seen = list(names)
    if len(set(seen)) != len(seen):
        raise malformed(f"There is already {what}")


def _check_trusted(arn: str, account: str) -> None:
    for named in (user_arn(account, ""), role_arn(account, "")):
        if arn.startswith(named) and USER_NAME.fullmatch(arn.removeprefix(named)):
            return
    raise malformed("A role trusts users and roles of this account, by their ARNs")


def _is_aware_iso_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
