"""Sessions: temporary credentials that the daemon issues and then forgets. Pure.

Everything about a session is sealed into its token (AES-256-GCM, with the daemon's session key), so
nothing is kept and a restart ends none. The token holds the session's own access key and secret,
whose session it is, the policies that narrow it, its times, and everything that it depends on: the
access key and the roles that it was asked for with. When one of these is gone, so is the session.

A session lasts as long as it was issued for, by time that nobody can set; the clock decides only
after the machine was started anew.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from accel_daemon.clock import Uptime
from accel_daemon.iam.authentication import unknown_key
from accel_daemon.iam.callers import AnyPrincipal, AssumedRole, Principal
from accel_daemon.iam.policy_set import Document, PolicySet
from accel_daemon.iam.principals import (
    TEMPORARY_PREFIX,
    Identities,
    Role,
    new_key_id,
    new_secret,
)
from accel_daemon.iam.temporary_credentials import TemporaryCredentials
from accel_protocol.errors import ConfigurationError, CredentialsError, LimitError

SESSION_KEY_BYTES = 32
MAX_TOKEN_CHARACTERS = 6000
MAX_PARENTS = 16

_NONCE_BYTES = 12
# What the seal is for: a token of another purpose or form, under the same key, opens nothing.
_PURPOSE = b"elastic-accelerator session 1 "


@dataclass(frozen=True)
class Session:
    """What a token holds.

    Attributes:
        access_key_id, secret_access_key: what the session signs with.
        user: whose access key the session goes back to; "" for one that the daemon gave by itself.
        role, role_id: the role that was assumed; "" for a session of the user.
        name: of the role's session; "" for a session of the user.
        policies: what narrows it; None where nothing does.
        parents: access key id and role ids that must still be there.
        issued_at, expires_at: seconds since the epoch; from the second one on it is refused.
        issued_up: the machine's uptime when it was issued; None where that is not known.
    """

    access_key_id: str
    secret_access_key: str = field(repr=False)
    user: str
    role: str
    role_id: str
    name: str
    policies: tuple[Document, ...] | None
    parents: tuple[str, ...]
    issued_at: int
    expires_at: int
    issued_up: Uptime | None = None

    def seconds_left(self, now: datetime, uptime: Uptime | None) -> float:
        """How long it is still good.

        Args:
            now: aware time, which counts where
            uptime: cannot be compared with `issued_up`.
        """
        passed = None
        if uptime is not None and self.issued_up is not None:
            passed = uptime.since(self.issued_up.boot, self.issued_up.seconds)
        if passed is None:
            return self.expires_at - now.timestamp()
        return self.expires_at - self.issued_at - passed

    def principal(self, account: str) -> AnyPrincipal:
        """Who calls with it."""
        if self.role:
            return AssumedRole(self.role, self.role_id, self.name, account)
        return Principal(self.user, account)

    def policy_set(self, identities: Identities) -> PolicySet:
        """What limits it now; what the user or the role may do is looked up, not remembered."""
        role, user = identities.find_role(self.role), identities.find_user(self.user)
        if role is not None and role.role_id == self.role_id:
            return identities.role_policy_set(role, self.policies)
        if not self.role and user is not None:
            own = identities.policy_set(user)
            return PolicySet(own.identity, own.boundary, self.policies)
        return PolicySet()

    def is_alive(self, identities: Identities) -> bool:
        """Whether everything that it depends on is still there."""
        keys = {
            key.access_key_id
            for user in identities.users
            if user.name == self.user
            for key in user.keys
        }
        return set(self.parents) <= keys | {role.role_id for role in identities.roles}


@dataclass(frozen=True)
class SessionIssuer:
    """Seals and opens session tokens.

    Attributes:
        key: 32 random bytes; tokens that another key sealed are worth nothing.

    Raises:
        ConfigurationError: a key of another size.
    """

    key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        """Refuse a key that is cut off."""
        if len(self.key) != SESSION_KEY_BYTES:
            raise ConfigurationError(
                f"The session key has not {SESSION_KEY_BYTES} bytes.",
                remedy="Remove its file; the daemon then makes another one, which ends sessions.",
            )

    @staticmethod
    def generate() -> SessionIssuer:
        """With a fresh key."""
        return SessionIssuer(secrets.token_bytes(SESSION_KEY_BYTES))

    def issue(
        self,
        identities: Identities,
        role_name: str,
        session_name: str,
        now: datetime,
        seconds: int,
        *,
        policies: tuple[Document, ...] | None = None,
        user: str = "",
        parents: tuple[str, ...] = (),
        uptime: Uptime | None = None,
    ) -> TemporaryCredentials:
        """Credentials of a role. Nobody is asked here whether the caller may have them.

        Args:
            identities: hold the role.
            role_name: whom the caller becomes, and
            session_name: how its session is called.
            now: aware time.
            seconds: how long they are good.
            policies: narrow what the session may do; None does not.
            user: who asked, and
            parents: with which access key and roles; neither for the daemon itself.
            uptime: of this machine, now.

        Raises:
            ConfigurationError: no such role, or a malformed session name.
            LimitError: so much is sealed that the token gets too long.
        """
        role = identities.find_role(role_name)
        if role is None:
            raise ConfigurationError("There is no role of this name.", remedy="Add it first.")
        AssumedRole(role.name, role.role_id, session_name, identities.account)
        session = _session(user, role, session_name, policies, parents, now, seconds)
        return self._issue(replace(session, issued_up=uptime))

    def issue_to_user(
        self,
        user: str,
        access_key_id: str,
        now: datetime,
        seconds: int,
        uptime: Uptime | None = None,
    ) -> TemporaryCredentials:
        """Credentials with which a user is itself, for a while; they depend on this access key."""
        session = _session(user, None, "", None, (access_key_id,), now, seconds)
        return self._issue(replace(session, issued_up=uptime))

    def open(
        self,
        access_key_id: str,
        token: str,
        now: datetime,
        identities: Identities,
        uptime: Uptime | None = None,
    ) -> Session:
        """The session of a token, whose signature has to be checked with its secret.

        Raises:
            CredentialsError: CREDENTIALS_EXPIRED, or SIGNATURE_MISMATCH for a token that is not
                this daemon's, or not of this key, or that lost what it depends on.
        """
        session = self.unseal(access_key_id, token)
        if session is None or not session.is_alive(identities):
            raise unknown_key()
        if session.seconds_left(now, uptime) <= 0:
            raise CredentialsError(
                "The temporary credentials have expired.", reason="CREDENTIALS_EXPIRED"
            )
        return session

    def unseal(self, access_key_id: str, token: str) -> Session | None:
        """What a token of this key holds, expired or not; None for any other text."""
        sealed = _decode(token)
        if sealed is None:
            return None
        nonce, secret = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            # The key id is sealed in: with another one the token does not open.
            text = AESGCM(self.key).decrypt(nonce, secret, _PURPOSE + access_key_id.encode())
        except (InvalidTag, ValueError):
            return None
        session = _read(json.loads(text))
        matches = hmac.compare_digest(session.access_key_id.encode(), access_key_id.encode())
        return session if matches else None

    def _issue(self, session: Session) -> TemporaryCredentials:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        text = json.dumps(_written(session), separators=(",", ":")).encode()
        purpose = _PURPOSE + session.access_key_id.encode()
        sealed = nonce + AESGCM(self.key).encrypt(nonce, text, purpose)
        token = base64.urlsafe_b64encode(sealed).decode("ascii")
        if len(token) > MAX_TOKEN_CHARACTERS or len(session.parents) > MAX_PARENTS:
            raise LimitError(
                "The session's policies and the chain of roles are too much for one token.",
                fields={
                    "name": "session_token_characters",
                    "limit": str(MAX_TOKEN_CHARACTERS),
                    "actual": str(len(token)),
                },
            )
        return TemporaryCredentials(
            access_key_id=session.access_key_id,
            secret_access_key=session.secret_access_key,
            session_token=token,
            issued_at=datetime.fromtimestamp(session.issued_at, UTC),
            expires_at=datetime.fromtimestamp(session.expires_at, UTC),
        )


def _session(
    user: str,
    role: Role | None,
    name: str,
    policies: tuple[Document, ...] | None,
    parents: tuple[str, ...],
    now: datetime,
    seconds: int,
) -> Session:
    role_ids = () if role is None else (role.role_id,)
    return Session(
        access_key_id=new_key_id(TEMPORARY_PREFIX),
        secret_access_key=new_secret(),
        user=user,
        role="" if role is None else role.name,
        role_id="" if role is None else role.role_id,
        name=name,
        policies=policies,
        parents=tuple(dict.fromkeys((*parents, *role_ids))),
        issued_at=int(now.timestamp()),
        expires_at=int((now + timedelta(seconds=seconds)).timestamp()),
    )


def _written(session: Session) -> dict[str, object]:
    """Short names: the token travels with every request."""
    policies = None if session.policies is None else [dict(one) for one in session.policies]
    up = session.issued_up
    return {
        "k": session.access_key_id,
        "s": session.secret_access_key,
        "u": session.user,
        "r": session.role,
        "i": session.role_id,
        "n": session.name,
        "p": policies,
        "d": list(session.parents),
        "b": session.issued_at,
        "e": session.expires_at,
        **({} if up is None else {"o": up.boot, "t": round(up.seconds, 3)}),
    }


def _read(value: Mapping[str, object]) -> Session:
    """What _written wrote; its seal says that nobody else did."""
    policies, parents = value["p"], value["d"]
    begin, end = value["b"], value["e"]
    assert isinstance(policies, list | None)
    assert isinstance(parents, list)
    assert isinstance(begin, int)
    assert isinstance(end, int)
    boot, seconds = value.get("o"), value.get("t", 0)
    assert isinstance(seconds, int | float)
    return Session(
        access_key_id=str(value["k"]),
        secret_access_key=str(value["s"]),
        user=str(value["u"]),
        role=str(value["r"]),
        role_id=str(value["i"]),
        name=str(value["n"]),
        policies=None if policies is None else tuple(policies),
        parents=tuple(str(one) for one in parents),
        issued_at=begin,
        expires_at=end,
        issued_up=None if boot is None else Uptime(str(boot), seconds),
    )


def _decode(token: str) -> bytes | None:
    """A token's bytes; None for what is not the one spelling that was issued."""
    if len(token) > MAX_TOKEN_CHARACTERS:
        return None
    try:
        sealed = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    # The last character's spare bits: two texts must not be one token.
    return sealed if base64.urlsafe_b64encode(sealed).decode("ascii") == token else None
