"""Who calls: a user, or a session of a role; their names, and how these look in ARNs. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from accel_protocol.errors import ConfigurationError

ACCOUNT = re.compile(r"[0-9]{12}")
USER_NAME = re.compile(r"[A-Za-z0-9+=,.@_-]{1,64}")
SESSION_NAME = re.compile(r"[A-Za-z0-9_+=,.@-]{2,64}")
ROLE_ID = re.compile(r"AROA[A-Z0-9]{17}")


@dataclass(frozen=True)
class Principal:
    """A user: its name and its 12-digit account.

    Raises:
        ConfigurationError: the name or the account is malformed.
    """

    name: str
    account: str

    def __post_init__(self) -> None:
        """Refuse what could not stand in an ARN."""
        require(USER_NAME, self.name, "A user name is 1 to 64 characters of A-Za-z0-9+=,.@_-")
        require(ACCOUNT, self.account, "An account is 12 digits")

    @property
    def arn(self) -> str:
        """The principal's Amazon Resource Name."""
        return user_arn(self.account, self.name)


@dataclass(frozen=True)
class AssumedRole:
    """A session of a role. Its ARN names the session; policies see the role's ARN as well.

    Attributes:
        role: the role's name.
        role_id: what tells this role from an earlier one of the same name.
        session: the name that the session was given.
        account: 12 digits.

    Raises:
        ConfigurationError: one of them is malformed.
    """

    role: str
    role_id: str
    session: str
    account: str

    def __post_init__(self) -> None:
        """Refuse what could not stand in an ARN."""
        require(USER_NAME, self.role, "A role name is 1 to 64 characters of A-Za-z0-9+=,.@_-")
        require(ROLE_ID, self.role_id, "A role id is AROA and 17 characters of A-Z0-9")
        require(SESSION_NAME, self.session, "A session name is 2 to 64 of A-Za-z0-9+=,.@_-")
        require(ACCOUNT, self.account, "An account is 12 digits")

    @property
    def arn(self) -> str:
        """The session's Amazon Resource Name."""
        return f"arn:aws:sts::{self.account}:assumed-role/{self.role}/{self.session}"

    @property
    def role_arn(self) -> str:
        """The Amazon Resource Name of the role."""
        return role_arn(self.account, self.role)

    @property
    def user_id(self) -> str:
        """As `aws:userid` has it."""
        return f"{self.role_id}:{self.session}"


AnyPrincipal = Principal | AssumedRole


def read_principal(members: Mapping[str, str]) -> AnyPrincipal:
    """A principal from the members that dataclasses.asdict gave of it.

    Raises:
        ConfigurationError: one of them is malformed.
        TypeError: they are not those of a principal.
    """
    return AssumedRole(**members) if "role" in members else Principal(**members)


def user_arn(account: str, name: str) -> str:
    """A user's Amazon Resource Name."""
    return f"arn:aws:iam::{account}:user/{name}"


def role_arn(account: str, name: str) -> str:
    """A role's Amazon Resource Name."""
    return f"arn:aws:iam::{account}:role/{name}"


def require(pattern: re.Pattern[str], text: str, message: str) -> None:
    """Check a name.

    Raises:
        ConfigurationError: with this message, when the text is not of the pattern.
    """
    if not pattern.fullmatch(text):
        raise malformed(message)


def malformed(message: str) -> ConfigurationError:
    """The refusal of a name, a key or a document; `message` is a sentence without its period."""
    return ConfigurationError(f"{message}.", remedy="Correct the name, the key or the file.")
