"""`POST /`: AWS's Security Token Service, as far as sessions of this daemon need it.

AssumeRole, GetSessionToken and GetCallerIdentity of version 2011-06-15, in the query protocol: a
form as the request, XML as the answer. What a request holds besides is refused, since a parameter
that is not understood could have been meant to narrow what is handed out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from aiohttp import web

from accel_daemon.control.security_token_answers import (
    CODE,
    Members,
    credentials_members,
    success,
)
from accel_daemon.control.service import ANY_RESOURCE, Call, call_of
from accel_daemon.iam.callers import SESSION_NAME, AssumedRole
from accel_daemon.iam.policy import load_document, parse_policy
from accel_daemon.iam.policy_set import Document
from accel_daemon.iam.principals import (
    DEFAULT_SESSION_SECONDS,
    MAX_SESSION_SECONDS,
    MIN_SESSION_SECONDS,
    Role,
)
from accel_protocol.errors import AccessDeniedError, CallError, ConfigurationError

VERSION = "2011-06-15"
MAX_SESSION_POLICY_CHARACTERS = 2048
# Of a role that a role's session assumes, whatever the role itself would allow.
MAX_CHAINED_SECONDS = 3600
MAX_USER_SECONDS = 129_600
DEFAULT_USER_SECONDS = 43_200

_MAX_PARAMETERS = 32
# One spelling for one role: policies are asked about the ARN as it was sent.
_ROLE_ARN = re.compile(
    r"arn:aws:iam::(?P<account>[0-9]{12}):role/(?P<name>[A-Za-z0-9+=,.@_-]{1,64})"
)
_SECONDS = re.compile(r"[0-9]{1,6}")

Parameters = Mapping[str, str]


async def security_tokens(request: web.Request) -> web.StreamResponse:
    """Do what the form's Action says."""
    call = call_of(request)
    parameters = read_parameters(call.body)
    name = parameters.get("Action", "")
    operation = OPERATIONS.get(name)
    if operation is None or parameters.get("Version") != VERSION:
        raise _refused(
            f"Of version {VERSION} there are {', '.join(OPERATIONS)}.", code="InvalidAction"
        )
    unknown = sorted(set(parameters) - {"Action", "Version", *operation.parameters})
    if unknown:
        raise _refused(f"{name} with {unknown[0][:40]} is not supported.")
    call.action = f"sts:{name}"
    return success(name, operation.answer(call, parameters), call.request_id)


def read_parameters(body: bytes) -> Parameters:
    """The form's fields.

    Raises:
        CallError: it is no form, or a field is there twice.
    """
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=_MAX_PARAMETERS,
        )
    except ValueError:
        raise _refused("The body is not a form.") from None
    parameters = dict(pairs)
    if len(parameters) != len(pairs):
        raise _refused("A parameter is there twice.")
    return parameters


def _assume_role(call: Call, parameters: Parameters) -> Members:
    arn, session_name = parameters.get("RoleArn", ""), parameters.get("RoleSessionName", "")
    if not _ROLE_ARN.fullmatch(arn):
        raise _refused("RoleArn is not the ARN of a role.")
    if not SESSION_NAME.fullmatch(session_name):
        raise _refused("RoleSessionName is not 2 to 64 characters of A-Za-z0-9_+=,.@-.")
    asked = _read_seconds(parameters, MAX_SESSION_SECONDS)
    policy = read_session_policy(parameters["Policy"]) if "Policy" in parameters else None
    role = _assumable(call, arn)
    caller, service = call.caller, call.service
    credentials = service.sessions.issue(
        service.identities(),
        role.name,
        session_name,
        service.now(),
        _session_seconds(call, role, asked),
        policies=None if policy is None else (policy,),
        user=caller.user,
        parents=caller.parents or (caller.access_key_id,),
        uptime=service.clock.uptime(),
    )
    session = AssumedRole(role.name, role.role_id, session_name, service.identities().account)
    packed = -(-len(parameters.get("Policy", "")) * 100 // MAX_SESSION_POLICY_CHARACTERS)
    return {
        "Credentials": credentials_members(credentials),
        "AssumedRoleUser": {"AssumedRoleId": session.user_id, "Arn": session.arn},
        **({"PackedPolicySize": str(packed)} if policy is not None else {}),
    }


def _get_session_token(call: Call, parameters: Parameters) -> Members:
    if call.caller.session is not None:
        call.settle(ANY_RESOURCE, allowed=False, why="Temporary credentials ask for others.")
        raise AccessDeniedError("GetSessionToken cannot be called with temporary credentials.")
    seconds = _read_seconds(parameters, MAX_USER_SECONDS) or DEFAULT_USER_SECONDS
    why = "Who proved its key may have a session with the same permissions."
    call.settle(ANY_RESOURCE, allowed=True, why=why)
    service, clock = call.service, call.service.clock
    credentials = service.sessions.issue_to_user(
        call.caller.user, call.access_key_id, clock.now(), seconds, clock.uptime()
    )
    return {"Credentials": credentials_members(credentials)}


def _get_caller_identity(call: Call, parameters: Parameters) -> Members:
    call.settle(ANY_RESOURCE, allowed=True, why="Who one is can always be asked.")
    principal = call.principal
    user_id = principal.user_id if isinstance(principal, AssumedRole) else principal.name
    return {"Arn": principal.arn, "UserId": user_id, "Account": principal.account}


@dataclass(frozen=True)
class _Operation:
    answer: Callable[[Call, Parameters], Members]
    parameters: frozenset[str] = frozenset()


OPERATIONS: Mapping[str, _Operation] = {
    "AssumeRole": _Operation(
        _assume_role, frozenset({"RoleArn", "RoleSessionName", "DurationSeconds", "Policy"})
    ),
    "GetSessionToken": _Operation(_get_session_token, frozenset({"DurationSeconds"})),
    "GetCallerIdentity": _Operation(_get_caller_identity),
}


def read_session_policy(text: str) -> Document:
    """A policy that narrows a session.

    Raises:
        CallError: empty or too long, or not a policy document (MalformedPolicyDocument).
    """
    if not 1 <= len(text) <= MAX_SESSION_POLICY_CHARACTERS:
        raise _refused(f"Policy is not of 1 to {MAX_SESSION_POLICY_CHARACTERS} characters.")
    try:
        document = load_document(text)
        parse_policy(document)
    except ConfigurationError as error:
        raise _refused(error.message, code="MalformedPolicyDocument") from None
    return document


def _assumable(call: Call, arn: str) -> Role:
    """The role, if the caller's policies and the role's trust both say so.

    Raises:
        AccessDeniedError: one does not, or there is no such role; the message is the same.
    """
    identities = call.service.identities()
    named = _ROLE_ARN.fullmatch(arn)
    role = identities.find_role(named["name"]) if named is not None else None
    principal = call.principal
    trusted_as = principal.role_arn if isinstance(principal, AssumedRole) else principal.arn
    decision = call.decide(arn, call.condition_keys(None))
    trusts = (
        role is not None
        and named is not None
        and named["account"] == identities.account
        and trusted_as in role.trusted
    )
    allowed = decision.allowed and trusts
    why = decision.why if trusts or not decision.allowed else "The role does not trust it."
    call.settle(arn, allowed=allowed, why=why)
    if not allowed or role is None:
        raise AccessDeniedError(f"{principal.arn} is not allowed to do {call.action} on {arn}.")
    return role


def _session_seconds(call: Call, role: Role, asked: int | None) -> int:
    longest = role.max_session_seconds
    if isinstance(call.principal, AssumedRole):
        longest = min(longest, MAX_CHAINED_SECONDS)
    if asked is not None and asked > longest:
        raise _refused(f"DurationSeconds is more than this session may last: {longest}.")
    return min(DEFAULT_SESSION_SECONDS, longest) if asked is None else asked


def _read_seconds(parameters: Parameters, longest: int) -> int | None:
    text = parameters.get("DurationSeconds")
    if text is None:
        return None
    if not _SECONDS.fullmatch(text) or not MIN_SESSION_SECONDS <= int(text) <= longest:
        raise _refused(f"DurationSeconds is not from {MIN_SESSION_SECONDS} to {longest}.")
    return int(text)


def _refused(message: str, code: str = "ValidationError") -> CallError:
    return CallError(message, fields={CODE: code})
