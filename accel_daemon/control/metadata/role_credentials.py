"""The temporary credentials of the instance's role: when new ones are due, and how they are shown.

Clients ask anew when theirs are about to end, and botocore takes what has less than 25 minutes left
for a sign of trouble: it goes on with it past its end. So nobody is given what is in its last half
hour, and who holds older ones can use them until then, as on EC2.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from accel_daemon.control.metadata.instance import iso_time
from accel_daemon.iam.temporary_credentials import TemporaryCredentials
from accel_protocol.elapsed import elapsed_seconds

LIFE_SECONDS = 3600

# From a session's name, the time and the life in seconds.
Issue = Callable[[str, datetime, int], TemporaryCredentials]


@dataclass(frozen=True)
class RoleFacts:
    """What is known of a role that exists; another one of the same name has another `id`."""

    arn: str
    id: str


@dataclass(frozen=True)
class Role:
    """A role that the daemon may take on by itself.

    Attributes:
        name: for instance "accel-instance".
        find: gives what is known of it, None while there is no such role.
        issue: makes the credentials of a new session.
    """

    name: str
    find: Callable[[], RoleFacts | None]
    issue: Issue


@dataclass
class RoleCredentials:
    """The credentials of one session at a time; the same ones for everyone who asks.

    Attributes:
        role: whose they are.
        session: its name, which appears in the audit log.
        now: gives the aware time.
        elapsed: gives seconds that only rise.
    """

    role: Role
    session: str
    now: Callable[[], datetime]
    elapsed: Callable[[], float] = elapsed_seconds
    _latest: TemporaryCredentials | None = field(default=None, repr=False)
    _of: str = ""
    _since: float = 0.0

    def current(self, facts: RoleFacts) -> TemporaryCredentials:
        """Credentials that are good for at least half of their life.

        Args:
            facts: the role as `role.find()` just gave it.

        Raises:
            AcceleratorError: as the role refuses to issue them.
        """
        now, passed = self.now(), self.elapsed() - self._since
        if self._latest is None or self._of != facts.id or is_due(self._latest, now, passed):
            self._latest = self.role.issue(self.session, now, LIFE_SECONDS)
            self._of, self._since = facts.id, self.elapsed()
        return self._latest


def is_due(credentials: TemporaryCredentials, now: datetime, passed: float) -> bool:
    """Whether new ones are to be issued: in the second half, by what passed or by the clock."""
    half = (credentials.expires_at - credentials.issued_at) / 2
    is_early = credentials.issued_at <= now < credentials.issued_at + half
    return not is_early or passed >= half.total_seconds()


def instance_document(credentials: TemporaryCredentials) -> str:
    """As EC2 shows credentials."""
    return _json(
        {
            "Code": "Success",
            "LastUpdated": iso_time(credentials.issued_at),
            "Type": "AWS-HMAC",
            **_secrets(credentials),
        }
    )


def role_document(credentials: TemporaryCredentials, arn: str) -> str:
    """As ECS shows credentials."""
    return _json({"RoleArn": arn, **_secrets(credentials)})


def info_document(arn: str, account: str, name: str, since: datetime) -> str:
    """As EC2 describes the instance's profile, which here has the role's name."""
    return _json(
        {
            "Code": "Success",
            "LastUpdated": iso_time(since),
            "InstanceProfileArn": arn.replace(":role/", ":instance-profile/"),
            "InstanceProfileId": profile_id(account, name),
        }
    )


def failure_document(message: str, now: datetime) -> str:
    """As EC2 says that a role gives no credentials; clients go on to their next source."""
    return _json({"Code": "Failed", "Message": message, "LastUpdated": iso_time(now)})


def profile_id(account: str, name: str) -> str:
    """The instance profile's unique id, the same at each start: "AIPA" and 17 characters."""
    digest = hashlib.sha256(f"{account}/{name}".encode()).digest()
    return f"AIPA{base64.b32encode(digest).decode()[:17]}"


def _secrets(credentials: TemporaryCredentials) -> Mapping[str, str]:
    return {
        "AccessKeyId": credentials.access_key_id,
        "SecretAccessKey": credentials.secret_access_key,
        "Token": credentials.session_token,
        "Expiration": iso_time(credentials.expires_at),
    }


def _json(document: Mapping[str, str]) -> str:
    return json.dumps(document, indent=2)
