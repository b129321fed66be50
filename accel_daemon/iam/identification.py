"""From the access key that signed to who calls and what limits the caller. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from accel_daemon.clock import Uptime
from accel_daemon.iam.authentication import Signer, unknown_key
from accel_daemon.iam.callers import AnyPrincipal
from accel_daemon.iam.policy_set import PolicySet
from accel_daemon.iam.principals import Identities
from accel_daemon.iam.sessions import Session, SessionIssuer


@dataclass(frozen=True)
class Caller:
    """Whose request was proven.

    Attributes:
        principal: who calls.
        access_key_id: which key signed; a session's own.
        user: whose access key it goes back to; "" for a session that the daemon gave by itself.
        session: the session, where the key is temporary.
    """

    principal: AnyPrincipal
    access_key_id: str
    user: str
    session: Session | None = None

    @property
    def parents(self) -> tuple[str, ...]:
        """Access key id and role ids whose end is the caller's, besides the key itself."""
        return () if self.session is None else self.session.parents

    def is_alive(self, identities: Identities) -> bool:
        """Whether the key, or what a temporary one goes back to, is still there."""
        if self.session is not None:
            return self.session.is_alive(identities)
        found = identities.find_key(self.access_key_id)
        return found is not None and found[0].name == self.user

    def policy_set(self, identities: Identities) -> PolicySet:
        """What limits the caller by these identities; nothing is allowed to one who is gone."""
        if self.session is not None:
            return self.session.policy_set(identities)
        user = identities.find_user(self.user)
        return PolicySet() if user is None else identities.policy_set(user)


def identify(
    signer: Signer,
    identities: Identities,
    sessions: SessionIssuer,
    now: datetime,
    uptime: Uptime | None = None,
) -> Caller:
    """Who signed.

    Raises:
        CredentialsError: the key is gone, or the session ended (CREDENTIALS_EXPIRED) or was ended.
    """
    if signer.session_token is not None:
        session = sessions.open(signer.access_key_id, signer.session_token, now, identities, uptime)
        principal = session.principal(identities.account)
        return Caller(principal, signer.access_key_id, session.user, session)
    found = identities.find_key(signer.access_key_id)
    if found is None:
        raise unknown_key()
    user, _ = found
    return Caller(identities.principal(user), signer.access_key_id, user.name)
