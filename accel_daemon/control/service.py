"""What the handlers of the control endpoint work with: the daemon's state, and one checked call."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from aiohttp import web

from accel_daemon.clock import Clock
from accel_daemon.faults.board import FaultBoard
from accel_daemon.iam.callers import AnyPrincipal
from accel_daemon.iam.evaluation import Decision
from accel_daemon.iam.identification import Caller
from accel_daemon.iam.policy_set import PolicySet, Rules
from accel_daemon.iam.principals import Identities
from accel_daemon.iam.request_context import AccessRequest, ContextValue
from accel_daemon.iam.sessions import SessionIssuer
from accel_daemon.iam.tickets import MAX_TICKET_SECONDS, TicketSigner
from accel_daemon.supervisor.fleet import Fleet
from accel_protocol.errors import AccessDeniedError, CallError

ANY_RESOURCE = "*"
SESSION_ISSUED = "aws:TokenIssueTime"


@dataclass(frozen=True)
class ControlService:
    """The daemon's state as the control endpoint sees it.

    Attributes:
        fleet: the accelerators.
        identities: gives the users and keys that hold now.
        tags: gives an accelerator's tags.
        refresh_identities: looks for changes, so that a key works as soon as it was made.
        tickets: signs tickets.
        sessions: issues and opens session tokens.
        region: the only region that requests may be signed for.
        is_ready: whether every accelerator was ready once, and the daemon does not end.
        is_draining: whether the daemon ends, and lets running calls finish.
        clock: tells the time.
        faults: the faults on demand; None where the operator did not allow any.
        body_seconds: how long a client may take to send a request's body.
    """

    fleet: Fleet
    identities: Callable[[], Identities]
    tickets: TicketSigner
    region: str
    is_ready: Callable[[], bool]
    clock: Clock = field(default_factory=Clock.start)
    is_draining: Callable[[], bool] = lambda: False
    faults: FaultBoard | None = None
    body_seconds: float = 10.0
    refresh_identities: Callable[[], Awaitable[None]] | None = None
    sessions: SessionIssuer = field(default_factory=SessionIssuer.generate)
    tags: Callable[[str], Mapping[str, str]] = lambda accelerator_id: {}

    def now(self) -> datetime:
        """What the machine's clock shows, aware."""
        return self.clock.now()

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
        subject: the accelerator that the call is about, for the audit log; "*" for none or several.
        why: what the policies said last, or what the call led to; for the audit log.
        is_allowed: what the policies answered last.
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
    subject: str = ANY_RESOURCE
    why: str = ""
    is_allowed: bool = False

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

    def allows(
        self, accelerator_id: str | None = None, keys: Mapping[str, ContextValue] | None = None
    ) -> bool:
        """Ask the policies about this call's action on an accelerator; None: on no resource.

        `keys` are condition keys besides those of every request. The last answer is audited when
        the request is answered.
        """
        if accelerator_id is None:
            resource = ANY_RESOURCE
        else:
            resource = self.service.accelerator_arn(accelerator_id)
        context = {**self.condition_keys(accelerator_id), **(keys or {})}
        decision = self.decide(resource, context)
        self.settle(accelerator_id or ANY_RESOURCE, allowed=decision.allowed, why=decision.why)
        return decision.allowed

    def decide(self, resource_arn: str, context: Mapping[str, ContextValue]) -> Decision:
        """What the policies say about this call's action, for `settle`."""
        if self.rules is None:
            return Decision(False, False, None, "The policies cannot be understood.")
        asked = AccessRequest(self.principal, self.action, resource_arn, context)
        return self.rules.decide(asked)

    def settle(self, subject: str, *, allowed: bool, why: str) -> None:
        """Note what was decided, for the audit log: by policies, or where none can forbid it."""
        self.evaluations += 1
        self.subject, self.is_allowed, self.why = subject, allowed, why

    def condition_keys(self, accelerator_id: str | None) -> dict[str, ContextValue]:
        """What policies may ask about this request, besides who calls.

        Type and tags are there for an accelerator that exists.
        """
        known: dict[str, ContextValue] = {
            **time_keys(self.service.now()),
            "aws:SecureTransport": str(self.is_secure).lower(),
        }
        if self.source_ip is not None:
            known["aws:SourceIp"] = self.source_ip
        if self.caller.session is not None:
            issued = datetime.fromtimestamp(self.caller.session.issued_at, UTC)
            known[SESSION_ISSUED] = issued.isoformat(timespec="seconds")
        return {**known, **accelerator_keys(self.service, accelerator_id)}

    def denied(self, accelerator_id: str | None = None) -> AccessDeniedError:
        """The refusal to raise when `allows` said no."""
        self.subject = ANY_RESOURCE if accelerator_id is None else accelerator_id
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


def time_keys(now: datetime) -> dict[str, str]:
    """The condition keys that say when; `now` is aware."""
    utc = now.astimezone(UTC)
    return {
        "aws:CurrentTime": utc.isoformat(timespec="seconds"),
        "aws:EpochTime": str(int(utc.timestamp())),
    }


def accelerator_keys(
    service: ControlService, accelerator_id: str | None
) -> dict[str, ContextValue]:
    """The condition keys that say what an accelerator is; none for one that is not there."""
    for one in service.fleet.accelerators:
        if one.id == accelerator_id:
            return {
                "elastic-inference:AcceleratorType": one.placement.spec.type,
                **tag_keys("aws:ResourceTag/", service.tags(one.id)),
            }
    return {}


def tag_keys(prefix: str, tags: Mapping[str, str]) -> dict[str, ContextValue]:
    """Tags as condition keys. Those whose names differ in case only are one key with all values."""
    found: dict[str, tuple[str, list[str]]] = {}
    for key, value in tags.items():
        found.setdefault(key.lower(), (key, []))[1].append(value)
    return {
        prefix + name: values[0] if len(values) == 1 else values for name, values in found.values()
    }


SERVICE = web.AppKey("service", ControlService)
_CALL = "accel.call"


def set_call(request: web.Request, call: Call) -> None:
    """Remember the checked call of a request."""
    request[_CALL] = call


def known_call(request: web.Request) -> Call | None:
    """The call of a request; None where the caller was not asked for, or not proven."""
    call = request.get(_CALL)
    return call if isinstance(call, Call) else None


def call_of(request: web.Request) -> Call:
    """The checked call of a request; only behind the gate is there one."""
    call = request[_CALL]
    assert isinstance(call, Call)
    return call
