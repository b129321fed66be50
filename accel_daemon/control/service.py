"""What the handlers of the control endpoint work with: the daemon's state, and one checked call."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from aiohttp import web

from accel_daemon.control.audit import AuditRecord, audit
from accel_daemon.faults.board import FaultBoard
from accel_daemon.iam.policy import AccessRequest, Policy, evaluate, parse_policy
from accel_daemon.iam.principals import Identities, Principal, User
from accel_daemon.iam.tickets import TicketSigner
from accel_daemon.supervisor.fleet import Fleet
from accel_protocol.errors import AccessDeniedError, CallError, ConfigurationError

ANY_RESOURCE = "*"


@dataclass(frozen=True)
class ControlService:
    """The daemon's state as the control endpoint sees it.

    Attributes:
        fleet: the accelerators.
        identities: gives the users and keys that hold now.
        refresh_identities: looks for changes, so that a key works as soon as it was made.
        tickets: signs tickets.
        region: the only region that requests may be signed for.
        is_ready: whether every accelerator was ready once.
        now: the present time, aware.
        faults: the faults on demand; None where the operator did not allow any.
        body_seconds: how long a client may take to send a request's body.
    """

    fleet: Fleet
    identities: Callable[[], Identities]
    tickets: TicketSigner
    region: str
    is_ready: Callable[[], bool]
    now: Callable[[], datetime]
    faults: FaultBoard | None = None
    body_seconds: float = 10.0
    refresh_identities: Callable[[], Awaitable[None]] | None = None

    def accelerator_arn(self, accelerator_id: str) -> str:
        """The resource that policies name."""
        account = self.identities().account
        kind = "elastic-inference-accelerator"
        return f"arn:aws:elastic-inference:{self.region}:{account}:{kind}/{accelerator_id}"


@dataclass
class Call:
    """One request whose caller is known.

    Attributes:
        principal: who calls.
        access_key_id: which key signed.
        action: what this route is about.
        body: the exact bytes.
        request_id: also in the answer.
        source_ip: where the connection came from; None when it is gone already.
        is_secure: whether the request came over TLS.
        evaluations: how often the policies were asked.
    """

    service: ControlService
    principal: Principal
    access_key_id: str
    action: str
    body: bytes
    request_id: str
    policies: tuple[Policy, ...] = field(repr=False, default=())
    source_ip: str | None = None
    is_secure: bool = False
    evaluations: int = 0

    def allows(self, accelerator_id: str | None = None) -> bool:
        """Ask the policies about this call's action on an accelerator; None: on no resource.

        The answer is audited.
        """
        if accelerator_id is None:
            resource = ANY_RESOURCE
        else:
            resource = self.service.accelerator_arn(accelerator_id)
        self.evaluations += 1
        context = self.condition_keys(accelerator_id)
        asked = AccessRequest(self.principal, self.action, resource, context)
        decision = evaluate(self.policies, asked)
        self.audit(accelerator_id or ANY_RESOURCE, allowed=decision.allowed, reason=decision.why)
        return decision.allowed

    def condition_keys(self, accelerator_id: str | None) -> Mapping[str, str]:
        """What policies may ask about this request, besides who calls.

        The type is there for an accelerator that exists.
        """
        now = self.service.now().astimezone(UTC)
        known = {
            "aws:CurrentTime": now.isoformat(timespec="seconds"),
            "aws:EpochTime": str(int(now.timestamp())),
            "aws:SecureTransport": str(self.is_secure).lower(),
        }
        if self.source_ip is not None:
            known["aws:SourceIp"] = self.source_ip
        for one in self.service.fleet.accelerators:
            if one.id == accelerator_id:
                known["elastic-inference:AcceleratorType"] = one.placement.spec.type
        return known

    def denied(self, accelerator_id: str | None = None) -> AccessDeniedError:
        """The refusal to raise when `allows` said no."""
        subject = "any accelerator" if accelerator_id is None else accelerator_id
        if self.action != "elastic-inference:Connect":
            subject = subject if accelerator_id else "this daemon"
        return AccessDeniedError(
            f"{self.principal.arn} is not allowed to do {self.action} on {subject}."
        )

    def json_body(self) -> Mapping[str, object]:
        """The body as a JSON object; an empty body stands for an empty object.

        Raises:
            CallError: it is something else.
        """
        try:
            value = json.loads(self.body or b"{}")
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise CallError("The body is not a JSON object.", remedy="Send a JSON object.")
        return value

    def audit(self, accelerator: str, *, allowed: bool, reason: str) -> None:
        """Write an audit record about this call."""
        audit(
            AuditRecord(
                who=self.principal.arn,
                action=self.action,
                accelerator=accelerator,
                allowed=allowed,
                reason=reason,
                request_id=self.request_id,
            )
        )


SERVICE = web.AppKey("service", ControlService)
_CALL = "accel.call"


def policies_of(user: User) -> tuple[Policy, ...] | None:
    """A user's policies; None when one of them cannot be understood, which then denies all."""
    try:
        return tuple(parse_policy(document) for document in user.policies)
    except ConfigurationError:
        return None


def set_call(request: web.Request, call: Call) -> None:
    """Remember the checked call of a request."""
    request[_CALL] = call


def call_of(request: web.Request) -> Call:
    """The checked call of a request; only behind the gate is there one."""
    call = request[_CALL]
    assert isinstance(call, Call)
    return call
