"""Puts together what metadata is about: this machine, its accelerators, and the daemon's role."""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from accel_daemon.clock import Clock
from accel_daemon.control.audit import AuditRecord, audit
from accel_daemon.control.metadata.container import Container
from accel_daemon.control.metadata.container_token import load_or_create_token
from accel_daemon.control.metadata.identity_signatures import DocumentSigner
from accel_daemon.control.metadata.instance import Instance
from accel_daemon.control.metadata.options import NO_ROLE, MetadataOptions
from accel_daemon.control.metadata.role_credentials import Role, RoleCredentials, RoleFacts
from accel_daemon.control.metadata.service import MetadataService, RoleSessions, user_of_request
from accel_daemon.home import Home
from accel_daemon.iam.callers import role_arn
from accel_daemon.iam.principals import Identities
from accel_daemon.iam.sessions import SessionIssuer
from accel_daemon.iam.temporary_credentials import TemporaryCredentials
from accel_daemon.pki.authority import Authority
from accel_daemon.supervisor.fleet import Fleet

LOG = logging.getLogger("accel.supervisor")


@dataclass(frozen=True)
class Surroundings:
    """What the daemon knows when metadata is to be served.

    Attributes:
        home: where the token for containers lies.
        authority: vouches for the identity document.
        fleet: the accelerators.
        region: where the instance is.
        account: 12 digits.
        control: "https://HOST:PORT" of the control endpoint.
        clock: the daemon's.
    """

    home: Home
    authority: Authority
    fleet: Fleet
    region: str
    account: str
    control: str
    clock: Clock = field(default_factory=Clock.start)


def build_metadata_service(
    options: MetadataOptions, around: Surroundings, role: Role
) -> MetadataService:
    """The service for `build_metadata_app`.

    Args:
        options: what the operator chose.
        around: the daemon.
        role: the role that `options.role` names; not used when that is "none".

    Raises:
        ConfigurationError: the token's file cannot be written.
    """
    if options.role != NO_ROLE and role.find() is None:
        LOG.warning("there is no role %s yet: metadata offers no credentials", role.name)
    now = around.clock.now
    instance = Instance(
        fleet=around.fleet,
        region=around.region,
        control=around.control,
        account=around.account,
        machine=platform.machine(),
        started=around.clock.now(),
    )
    container = Container(instance, load_or_create_token(around.home.container_token))
    return MetadataService(
        instance=instance,
        options=options,
        signer=DocumentSigner(around.authority, instance.id, now),
        container=container,
        roles=None if options.role == NO_ROLE else _sessions(role, container, now),
        user=os.getuid(),
        peer_user=user_of_request,
    )


def role_of(name: str, issuer: SessionIssuer, identities: Callable[[], Identities]) -> Role:
    """The role of this name, as the identities have it whenever it is asked for."""

    def find() -> RoleFacts | None:
        role, account = identities().find_role(name), identities().account
        return None if role is None else RoleFacts(role_arn(account, name), role.role_id)

    def issue(session: str, now: datetime, seconds: int) -> TemporaryCredentials:
        role = identities().find_role(name)
        seconds = seconds if role is None else min(seconds, role.max_session_seconds)
        issued = issuer.issue(identities(), name, session, now, seconds)
        reason = f"Metadata offers {issued.access_key_id} as {session}."
        arn = role_arn(identities().account, name)
        audit(AuditRecord(arn, "sts:AssumeRole", "*", True, reason, ""))
        return issued

    return Role(name, find, issue)


def ready_entries(service: MetadataService, base: str, home: Home) -> Mapping[str, str]:
    """What the ready file tells about metadata.

    Args:
        service: as it is served.
        base: "http://HOST:PORT" where.
        home: where the token lies.
    """
    entries = {"metadata": base, "container_metadata": f"{base}/v4/{service.container.id}"}
    if service.roles is not None:
        path = f"/v2/credentials/{service.container.credentials_id}"
        entries["container_credentials"] = base + path
        entries["container_token_file"] = str(home.container_token)
    return entries


def _sessions(role: Role, container: Container, now: Callable[[], datetime]) -> RoleSessions:
    """Named as on EC2 and ECS: a session of the instance, and one of the task."""
    return RoleSessions(
        RoleCredentials(role, container.instance.id, now),
        RoleCredentials(role, container.task_id, now),
    )
