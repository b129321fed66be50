"""What the handlers of metadata share, and the one check in front of credentials."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from accel_daemon.control.metadata.container import Container
from accel_daemon.control.metadata.identity_signatures import DocumentSigner
from accel_daemon.control.metadata.instance import Instance
from accel_daemon.control.metadata.options import MetadataOptions
from accel_daemon.control.metadata.peers import TABLES, may_have_credentials, user_of_peer
from accel_daemon.control.metadata.role_credentials import RoleCredentials
from accel_daemon.control.metadata.tokens import Tokens

LOG = logging.getLogger("accel.metadata")
_REFUSED = "Credentials are for processes of the user who runs accel-daemon, and for root.\n"
# A table that changes while it is read may lack a line.
_READS = 3


@dataclass(frozen=True)
class RoleSessions:
    """The credentials that are offered, one session for each of the two services."""

    instance: RoleCredentials
    container: RoleCredentials


@dataclass
class MetadataService:
    """What the handlers work with.

    Attributes:
        instance: what metadata is about.
        options: what the operator chose.
        signer: signs the identity document.
        container: the task's one container.
        roles: None where no credentials are offered.
        user: the number of the daemon's user.
        peer_user: gives the user at the other end of a request's connection, None if it cannot.
        tokens: of version 2.
        has_warned: whether a refusal was logged: one line is enough, and anyone can cause more.
    """

    instance: Instance
    options: MetadataOptions
    signer: DocumentSigner
    container: Container
    roles: RoleSessions | None
    user: int
    peer_user: Callable[[web.Request], int | None]
    tokens: Tokens = field(default_factory=Tokens)
    has_warned: bool = False


METADATA = web.AppKey("metadata", MetadataService)


def check_peer(request: web.Request) -> None:
    """Refuse credentials to processes of users who may not have them.

    Raises:
        web.HTTPForbidden: with a body that says why.
    """
    service = request.app[METADATA]
    user = service.peer_user(request)
    if may_have_credentials(service.options.users, service.user, user):
        return
    if not service.has_warned:
        service.has_warned = True
        who = "a process whose user cannot be told" if user is None else f"user {user}"
        LOG.warning("the role's credentials were refused to %s; see --metadata-users", who)
    raise web.HTTPForbidden(text=_REFUSED)


def user_of_request(request: web.Request) -> int | None:
    """The number of the user whose process sent a request; None where the system does not tell."""
    peer = request.transport and request.transport.get_extra_info("peername")
    here = request.transport and request.transport.get_extra_info("sockname")
    if not peer or not here:
        return None
    for _ in range(_READS):
        user = user_of_peer(_tables(), peer[:2], here[:2])
        if user is not None:
            return user
    return None


def _tables() -> list[str]:
    texts = []
    for name in TABLES:
        with contextlib.suppress(OSError):
            texts.append(Path(name).read_text("ascii", errors="replace"))
    return texts
