"""What the handlers of the control endpoint work with: the daemon's state, and one checked call."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from aiohttp import web

from accel_daemon.control.audit import AuditRecord, audit
from accel_daemon.iam.callers import AnyPrincipal
from accel_daemon.iam.evaluation import Decision
from accel_daemon.iam.identification import Caller
from accel_daemon.iam.policy_set import PolicySet, Rules
from accel_daemon.iam.principals import Identities
from accel_daemon.iam.request_context import AccessRequest
from accel_daemon.iam.sessions import SessionIssuer
from accel_daemon.iam.tickets import MAX_TICKET_SECONDS, TicketSigner
from accel_daemon.supervisor.fleet import Fleet
from accel_protocol.errors import AccessDeniedError, CallError

ANY_RESOURCE = "*"


@dataclass(frozen=True)
class ControlService:
    """The daemon's state as the control endpoint sees it.

    Attributes:
        fleet: the accelerators.
        identities: gives the users and keys that hold now.
        refresh_identities: looks for changes, so that a key works as soon as it was made.
        tickets: signs tickets.
        sessions: issues and opens session tokens.
        region: the only region that requests may be signed for.
        is_ready: whether every accelerator was ready once.
        now: the present time, aware.
        body_seconds: how long a client may take to send a request's body.
    """

    fleet: Fleet
    identities: Callable[[], Identities]
    tickets: TicketSigner
    region: str
    is_ready: Callable[[], bool]
    now: Callable[[], datetime]
    body_seconds: float = 10.0
    refresh_identities: Callable[[], Awaitable[None]] | None = None
    sessions: SessionIssuer = field(default_factory=SessionIssuer.generate)

    def accelerator_arn(self, accelerator_id: str) -> str:
        """The resource that policies name."""
        account = self.identities().account
        kind = "elastic-inference-accelerator"
        return f"arn:aws:elastic-inference:{self.region}:{account}:{kind}/{accelerator_id}"


@dataclass
class Call:
    """One request whose caller is known.

    Attributes:
        caller: who calls, and with which key.
        action: what this route is about.
        body: the exact bytes.
        request_id: also in the answer.
        source_ip: where the connection came from; None when it is gone already.
        is_secure: whether the request came over TLS.
        policy_set: the documents that limit the caller, and
        rules: what they mean; None when one cannot be understood, which denies all.
        evaluations: how often the policies were asked.
    """

    service: ControlService
    caller: Caller
    action: str
    body: bytes
    request_id: str
    policy_set: PolicySet = field(repr=False, default=PolicySet())
    rules: Rules | None = field(repr=False, default=None)
    source_ip: str | None = None
    is_secure: bool = False
    evaluations: int = 0

    @property
    def principal(self) -> AnyPrincipal:
        """Who calls."""
        return self.caller.principal

    @property
    def access_key_id(self) -> str:
        """Which key signed."""
        return self.caller.access_key_id

    @property
    def ticket_seconds(self) -> int:
        """How long a ticket may be good: not longer than the session that asks for it."""
        session = self.caller.session
        if session is None:
            return MAX_TICKET_SECONDS
        left = session.expires_at - int(self.service.now().timestamp())
        return max(1, min(MAX_TICKET_SECONDS, left))

    def allows(self, accelerator_id: str | None = None) -> bool:
        """Ask the policies about this call's action on an accelerator; None: on no resource.

        The answer is audited.
        """
        if accelerator_id is None:
            resource = ANY_RESOURCE
        else:
            resource = self.service.accelerator_arn(accelerator_id)
        decision = self.decide(resource, self.condition_keys(accelerator_id))
        self.audit(accelerator_id or ANY_RESOURCE, allowed=decision.allowed, reason=decision.why)
        return decision.allowed

    def decide(self, resource_arn: str, context: Mapping[str, str]) -> Decision:
        """What the policies say about this call's action; the caller of this audits it."""
        self.evaluations += 1
        if self.rules is None:
            return Decision(False, False, None, "The policies cannot be understood.")
        asked = AccessRequest(self.principal, self.action, resource_arn, context)
        return self.rules.decide(asked)

    def allows_without_policies(self, reason: str) -> None:
        """Note, and audit, that no policy can forbid this call's action."""
        self.evaluations += 1
        self.audit(ANY_RESOURCE, allowed=True, reason=reason)

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
        if self.caller.session is not None:
            issued = datetime.fromtimestamp(self.caller.session.issued_at, UTC)
            known["aws:TokenIssueTime"] = issued.isoformat(timespec="seconds")
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


def set_call(request: web.Request, call: Call) -> None:
    """Remember the checked call of a request."""
    request[_CALL] = call


def call_of(request: web.Request) -> Call:
    """The checked call of a request; only behind the gate is there one."""
    call = request[_CALL]
    assert isinstance(call, Call)
    return call
