"""The one gate in front of every route: who calls, and do the policies allow it.

`PERMISSIONS` names every route there is. One that is served but not listed is refused, and a test
holds the table against what the application really serves.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from aiohttp import web

from accel_daemon.control import security_token_answers
from accel_daemon.control.credential_faults import meet_credential_faults
from accel_daemon.control.error_answers import REQUEST_ID_HEADER, error_answer
from accel_daemon.control.request_audit import STRANGERS, audit_call, audit_stranger
from accel_daemon.control.service import SERVICE, Call, known_call, set_call
from accel_daemon.iam.authentication import SERVICE as EI_SERVICE
from accel_daemon.iam.authentication import authenticate
from accel_daemon.iam.identification import Caller, identify
from accel_daemon.iam.replays import Moment, SignatureMemory
from accel_daemon.iam.sessions import Session
from accel_protocol.errors import (
    AcceleratorError,
    AccessDeniedError,
    CallError,
    DeadlineError,
    InternalError,
    LimitError,
    VersionError,
)
from accel_protocol.sigv4 import HttpRequest

LOG = logging.getLogger("accel.control")

MAX_BODY_BYTES = 64 * 1024
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Scope(Enum):
    """What the policies are asked about."""

    DAEMON = "the daemon; the gate asks"
    ACCELERATOR = "an accelerator that the handler finds out; the handler asks"
    ROLE = "a role, or nothing, as the form says; the handler asks"


@dataclass(frozen=True)
class Permission:
    """The action that a route's caller must be allowed to do.

    Attributes:
        action: as policies name it.
        scope: what the policies are asked about.
        repeatable: how long the very same signed request may come again; None for as long as its
            signature is good, which is right for what changes nothing.
        service: that requests are signed for.
    """

    action: str
    scope: Scope = Scope.DAEMON
    repeatable: timedelta | None = None
    service: str = EI_SERVICE


PUBLIC = None
SIGNATURES = web.AppKey("signatures", SignatureMemory)

STS = "sts"
ONCE = timedelta(0)
# An SDK that got no answer repeats the request, within one second with the same signature, and a
# script may tag, untag and tag in one second. A replay later than that could undo another change,
# or get credentials that were meant for another.
SHORTLY = timedelta(seconds=2)

PERMISSIONS: Mapping[tuple[str, str], Permission | None] = {
    ("GET", "/ca.pem"): PUBLIC,
    ("GET", "/healthz"): PUBLIC,
    ("GET", "/metrics"): Permission("elastic-inference:GetMetrics"),
    ("GET", "/status"): Permission("elastic-inference:GetStatus"),
    ("POST", "/connect"): Permission("elastic-inference:Connect", Scope.ACCELERATOR, ONCE),
    ("POST", "/"): Permission("sts:*", Scope.ROLE, SHORTLY, STS),
    ("GET", "/describe-accelerator-types"): Permission(
        "elastic-inference:DescribeAcceleratorTypes"
    ),
    ("POST", "/describe-accelerator-offerings"): Permission(
        "elastic-inference:DescribeAcceleratorOfferings"
    ),
    ("POST", "/describe-accelerators"): Permission("elastic-inference:DescribeAccelerators"),
    ("GET", "/tags/{resourceArn}"): Permission(
        "elastic-inference:ListTagsForResource", Scope.ACCELERATOR
    ),
    ("POST", "/tags/{resourceArn}"): Permission(
        "elastic-inference:TagResource", Scope.ACCELERATOR, SHORTLY
    ),
    ("DELETE", "/tags/{resourceArn}"): Permission(
        "elastic-inference:UntagResource", Scope.ACCELERATOR, SHORTLY
    ),
    ("GET", "/faults"): Permission("elastic-inference:ListFaults"),
    ("POST", "/faults"): Permission("elastic-inference:InjectFault", repeatable=ONCE),
    ("DELETE", "/faults"): Permission("elastic-inference:ClearFaults", repeatable=SHORTLY),
    ("DELETE", "/faults/{faultId}"): Permission(
        "elastic-inference:ClearFaults", repeatable=SHORTLY
    ),
}


@web.middleware
async def gate(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let a request through, or answer why not; also turns every error into an answer."""
    request_id = str(uuid.uuid4())
    try:
        answer = await _admit(request, handler, request_id)
    except AcceleratorError as error:
        LOG.info("%s %s: %s", request_id, _route_name(request), error.reason)
        return _refuse(request, error, request_id)
    except web.HTTPException as error:
        LOG.info("%s %s: HTTP %d", request_id, _route_name(request), error.status)
        return _refuse(request, _of_http(error), request_id)
    except Exception:
        LOG.exception("%s %s: a defect", request_id, _route_name(request))
        defect = InternalError("The daemon failed at this request.")
        return _refuse(request, defect, request_id)
    if (call := known_call(request)) is not None:
        audit_call(call, None)
    answer.headers[REQUEST_ID_HEADER] = request_id
    return answer


def _refuse(request: web.Request, error: AcceleratorError, request_id: str) -> web.Response:
    """The answer to a request that was not served, and its line in the audit log."""
    call, permission = known_call(request), _listed(request)
    if call is not None:
        audit_call(call, error)
    elif permission is not PUBLIC or not _is_public(request):
        try:
            signed = wire_request(request, b"")
        except CallError:
            signed = None
        action = "" if permission is None else permission.action
        audit_stranger(request.app[STRANGERS], signed, action, error, request_id)
    is_sts = permission is not None and permission.service == STS
    return (security_token_answers.failure if is_sts else error_answer)(error, request_id)


async def _admit(request: web.Request, handler: Handler, request_id: str) -> web.StreamResponse:
    permission = _permission(request)
    if permission is PUBLIC:
        return await handler(request)
    body = await _read_body(request)
    if (refresh := request.app[SERVICE].refresh_identities) is not None:
        await refresh()
    call = _identify(request, body, permission, request_id)
    set_call(request, call)
    meet_credential_faults(call)
    if permission.scope is Scope.DAEMON and not call.allows():
        raise call.denied()
    answer = await handler(request)
    if not call.evaluations:
        raise InternalError("The daemon did not ask the policies about this request.")
    return answer


def _permission(request: web.Request) -> Permission | None:
    """The entry of a request's route.

    Raises:
        VersionError: there is no such route.
        AccessDeniedError: there is one, but the table does not list it.
    """
    resource = request.match_info.route.resource
    if resource is None or request.match_info.http_exception is not None:
        raise VersionError("There is no such operation.", reason="UNKNOWN_METHOD")
    try:
        return PERMISSIONS[request.method, resource.canonical]
    except KeyError:
        raise AccessDeniedError("This operation is not open to anyone.") from None


async def _read_body(request: web.Request) -> bytes:
    """The exact bytes of the body.

    Raises:
        LimitError: more than MAX_BODY_BYTES.
        DeadlineError: the client takes too long to send it.
    """
    try:
        async with asyncio.timeout(request.app[SERVICE].body_seconds):
            return await request.read()
    except TimeoutError:
        raise DeadlineError("The request's body did not arrive in time.") from None


def _identify(request: web.Request, body: bytes, permission: Permission, request_id: str) -> Call:
    """Who calls.

    Raises:
        CredentialsError: it could not be proven.
        BusyError: the key made too many changes lately.
    """
    caller = _authenticated(request, body, permission)
    service = request.app[SERVICE]
    policy_set = caller.policy_set(service.identities())
    rules = policy_set.rules()
    if rules is None:
        LOG.error("policies of %s cannot be understood, so all is denied", caller.principal.arn)
    return Call(
        service=service,
        caller=caller,
        action=permission.action,
        body=body,
        request_id=request_id,
        policy_set=policy_set,
        rules=rules,
        source_ip=request.remote,
        is_secure=request.secure,
    )


def _authenticated(request: web.Request, body: bytes, permission: Permission) -> Caller:
    """Who signed."""
    service = request.app[SERVICE]
    identities, now, sessions = service.identities(), service.now(), service.sessions
    signatures, steady = request.app[SIGNATURES], service.clock.steady_now()
    came = Moment(max(now, steady), service.clock.elapsed())
    opened: dict[str, Session] = {}

    def use_once(access_key_id: str, signature: str, signed_at: datetime) -> None:
        if permission.repeatable is not None:
            # Sessions count for what they go back to: who gets many gets no more room.
            session = opened.get(access_key_id)
            holder = access_key_id if session is None else session.parents[0]
            signatures.use(holder, signature, signed_at, came, permission.repeatable)

    def find_secret(access_key_id: str) -> str | None:
        found = identities.find_key(access_key_id)
        return None if found is None else found[1].secret_access_key

    def find_session_secret(access_key_id: str, token: str) -> str | None:
        session = sessions.unseal(access_key_id, token)
        if session is None:
            return None
        opened[access_key_id] = session
        return session.secret_access_key

    signer = authenticate(
        wire_request(request, body),
        now=now,
        region=service.region,
        service=permission.service,
        find_secret=find_secret,
        find_session_secret=find_session_secret,
        use_once=use_once,
        also=(steady, signatures.latest_time(came)),
    )
    return identify(signer, identities, sessions, now, service.clock.uptime())


def wire_request(request: web.Request, body: bytes) -> HttpRequest:
    """The request exactly as it was on the wire, which is what was signed.

    Raises:
        CallError: the request's target is not a path.
    """
    target = request.raw_path
    if not target.startswith("/"):
        raise CallError("The request's target is not a path.", remedy="Send a path and a query.")
    path, _, query = target.partition("?")
    headers = tuple(
        (name.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape"))
        for name, value in request.raw_headers
    )
    return HttpRequest(request.method, path, query, headers, body)


def _of_http(error: web.HTTPException) -> AcceleratorError:
    """An error of aiohttp's own as one of ours."""
    if error.status == 413:
        return LimitError(
            "The request's body is too large.",
            fields={"name": "body_bytes", "limit": str(MAX_BODY_BYTES)},
        )
    if error.status in (404, 405):
        return VersionError("There is no such operation.", reason="UNKNOWN_METHOD")
    return CallError("The request cannot be understood.")


def _listed(request: web.Request) -> Permission | None:
    """The entry of a request's route; None also where there is none."""
    try:
        return _permission(request)
    except AcceleratorError:
        return None


def _is_public(request: web.Request) -> bool:
    resource = request.match_info.route.resource
    known = (request.method, "" if resource is None else resource.canonical)
    return known in PERMISSIONS and PERMISSIONS[known] is PUBLIC


def _route_name(request: web.Request) -> str:
    """Method and path template: never what a stranger wrote."""
    resource = request.match_info.route.resource
    return f"{request.method} {resource.canonical if resource else 'unknown route'}"
