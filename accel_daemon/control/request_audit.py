"""The one audit line of a request to the control endpoint, however it ended.

A handler may ask the policies several times, about one candidate after the other; what counts is
what came of the request. Public routes decide nothing and have no lines. Refusals of callers who
proved nothing are written at a bounded rate, since anyone at all can cause them.
"""

from __future__ import annotations

from aiohttp import web

from accel_daemon.audit_throttle import AuditThrottle
from accel_daemon.control.audit import AuditRecord, audit, left_out
from accel_daemon.control.service import Call
from accel_daemon.iam.claims import claimed_access_key_id
from accel_protocol.errors import AcceleratorError, AccessDeniedError, InternalError
from accel_protocol.sigv4 import HttpRequest

STRANGERS = web.AppKey("strangers", AuditThrottle[AuditRecord])


def strangers_throttle() -> AuditThrottle[AuditRecord]:
    """Bounds the lines about callers who proved nothing."""
    return AuditThrottle(write=audit, summarise=left_out)


def audit_call(call: Call, error: AcceleratorError | None) -> None:
    """Write the line of a request whose caller is proven."""
    # After a defect nobody knows how much was done.
    done = call.is_allowed and (error is None or isinstance(error, InternalError))
    audit(
        AuditRecord(
            who=call.principal.arn,
            action=call.action,
            accelerator=call.subject,
            allowed=done,
            reason=_reason(call, error),
            request_id=call.request_id,
        )
    )


def audit_stranger(
    throttle: AuditThrottle[AuditRecord],
    request: HttpRequest | None,
    action: str,
    error: AcceleratorError,
    request_id: str,
) -> None:
    """Write the line of a request that was refused before its caller was proven.

    Args:
        throttle: bounds them.
        request: None when it cannot even be read.
        action: "" for a route that there is not.
        error: why it was refused.
        request_id: also in the answer.
    """
    who = "" if request is None else claimed_access_key_id(request)
    throttle.submit(AuditRecord(who, action, "*", False, error.reason, request_id))


def _reason(call: Call, error: AcceleratorError | None) -> str:
    if error is None:
        return call.why
    if isinstance(error, AccessDeniedError) and call.evaluations:
        return f"{error.reason}: {call.why}"
    return error.reason
