"""Every error that may leave this project, and the one table that puts it on the wire and back.

    AcceleratorError
    ├── CallError                 your call is wrong; repeating it unchanged cannot help
    │   ├── FeedError             (also ValueError) a feed's name, dtype, shape or value
    │   ├── ModelError            (also ValueError) the model bundle cannot be read or loaded
    │   ├── GraphError            the graph itself failed on these feeds
    │   ├── LimitError            over a stated limit; carries the limit and the actual figure
    │   ├── ConfigurationError    nothing to connect to, or settings that contradict each other
    │   └── StreamError           frames that break the protocol
    ├── RefusedError              the peer refuses; someone must change credentials or policy
    │   ├── CredentialsError      who you are could not be proven
    │   ├── AccessDeniedError     who you are is known, and may not do this
    │   ├── PeerIdentityError     the peer did not prove who *it* is (TLS)
    │   └── VersionError          no protocol version in common
    └── UnavailableError          the world failed; the same call may succeed later
        ├── ConnectionLostError   unreachable, restarting, or cut off
        ├── AnswerLostError           cut off while the call may have been running
        ├── BusyError             no room now; carries a hint when to come back
        ├── DeadlineError         (also TimeoutError) the call's time ran out
        ├── CancelledError        the caller gave up
        ├── ModelMissingError     the accelerator lacks the graph; the client uploads and repeats
        └── InternalError         a defect on the other side; the request id finds it in its log

A message never holds a traceback, a path of the other side, or a secret.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass


class Status(enum.IntEnum):
    """gRPC's canonical status codes (https://grpc.io/docs/guides/status-codes/), without grpc."""

    CANCELLED = 1
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


class AcceleratorError(Exception):
    """Base of all errors here.

    Attributes:
        reason: stable upper-case code, the same on the wire, in logs and in docs.
        message: one sentence that says what happened.
        remedy: one sentence that says what to do about it.
        request_id: finds the call in the daemon's log; empty when no peer was reached.
        fields: structured facts, for instance {"limit": "16", "actual": "17"}.
        appendix: further lines that `str` ends with; never sent.
    """

    default_reason = "INTERNAL"

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        remedy: str = "",
        request_id: str = "",
        fields: Mapping[str, str] | None = None,
    ) -> None:
        self.reason = reason or self.default_reason
        self.message = message
        self.remedy = remedy or row_of(self.reason).remedy
        self.request_id = request_id
        self.fields = dict(fields or {})
        self.appendix = ""
        super().__init__(message)

    @property
    def status(self) -> Status:
        """The gRPC status this error travels under."""
        return row_of(self.reason).status

    @property
    def retryable(self) -> bool:
        """Whether the same call may succeed later without anything being changed."""
        return isinstance(self, UnavailableError)

    def __str__(self) -> str:
        parts = [f"{self.message} [{self.reason}]"]
        if self.remedy:
            parts.append(f"Remedy: {self.remedy}")
        if self.request_id:
            parts.append(f"Request id: {self.request_id}")
        text = "\n  ".join(parts)
        return f"{text}\n{self.appendix}" if self.appendix else text


class CallError(AcceleratorError):
    """The call is wrong."""

    default_reason = "INVALID_CALL"


class FeedError(CallError, ValueError):
    """A feed's name, dtype, shape or value is wrong."""

    default_reason = "INVALID_FEED"


class ModelError(CallError, ValueError):
    """The model bundle cannot be read or loaded."""

    default_reason = "INVALID_MODEL"


class GraphError(CallError):
    """The graph failed while it ran on these feeds."""

    default_reason = "GRAPH_FAILED"


class LimitError(CallError):
    """Over a stated limit: `fields` holds "name", "limit" and "actual"."""

    default_reason = "LIMIT_EXCEEDED"


class ConfigurationError(CallError):
    """Nothing to connect to, or settings that contradict each other."""

    default_reason = "NOT_CONFIGURED"


class StreamError(CallError):
    """Frames that break the protocol."""

    default_reason = "INVALID_STREAM"


class RefusedError(AcceleratorError):
    """The peer refuses."""

    default_reason = "ACCESS_DENIED"


class CredentialsError(RefusedError):
    """Who the caller is could not be proven."""

    default_reason = "INVALID_CREDENTIALS"


class AccessDeniedError(RefusedError):
    """The caller is known and may not do this."""

    default_reason = "ACCESS_DENIED"


class PeerIdentityError(RefusedError):
    """The peer did not prove its identity."""

    default_reason = "UNTRUSTED_PEER"


class VersionError(RefusedError):
    """No protocol version in common."""

    default_reason = "VERSION_UNSUPPORTED"


class UnavailableError(AcceleratorError):
    """The world failed; retrying may help."""

    default_reason = "UNAVAILABLE"


class ConnectionLostError(UnavailableError):
    """Unreachable, restarting, or cut off."""

    default_reason = "UNAVAILABLE"


class AnswerLostError(UnavailableError):
    """Cut off while the call may have been running; repeating it could run it twice."""

    default_reason = "ANSWER_LOST"


class BusyError(UnavailableError):
    """No room now: `fields["retry_after_ms"]` hints when to come back."""

    default_reason = "BUSY"


class DeadlineError(UnavailableError, TimeoutError):
    """The call's time ran out."""

    default_reason = "DEADLINE_EXCEEDED"


class CancelledError(UnavailableError):
    """The caller gave up."""

    default_reason = "CANCELLED"


class ModelMissingError(UnavailableError):
    """The accelerator does not hold the graph for this principal."""

    default_reason = "MODEL_MISSING"


class InternalError(UnavailableError):
    """A defect on the other side."""

    default_reason = "INTERNAL"


@dataclass(frozen=True)
class Row:
    """How one reason travels: exception, gRPC status, HTTP status, and the default remedy."""

    exception: type[AcceleratorError]
    status: Status
    http: int
    remedy: str


_ATTACH = "Check the access key and secret, or ask the daemon's operator for new ones."
_TICKET = "Connect again for a new ticket; clients of this project do so by themselves."

REASONS: Mapping[str, Row] = {
    "INVALID_CALL": Row(CallError, Status.INVALID_ARGUMENT, 400, "Correct the call."),
    "INVALID_FEED": Row(
        FeedError, Status.INVALID_ARGUMENT, 400, "Compare the feed with predictor.feed_tensors."
    ),
    "INVALID_MODEL": Row(
        ModelError, Status.INVALID_ARGUMENT, 400, "Check that TensorFlow itself loads this model."
    ),
    "OP_REFUSED": Row(
        ModelError,
        Status.INVALID_ARGUMENT,
        400,
        "Export the model without these ops, or ask the daemon's operator to allow them by name.",
    ),
    "DIGEST_MISMATCH": Row(
        ModelError,
        Status.INVALID_ARGUMENT,
        400,
        "The file changed while it was sent; make sure nothing writes to the model and repeat.",
    ),
    # Not RESOURCE_EXHAUSTED: who does not know the reason would take that for BUSY, and repeat.
    "MODEL_TOO_LARGE": Row(
        ModelError, Status.FAILED_PRECONDITION, 413, "Use an accelerator type with more memory."
    ),
    "GRAPH_QUARANTINED": Row(
        ModelError,
        Status.FAILED_PRECONDITION,
        409,
        "Correct the model; the same one is tried again an hour after it failed last.",
    ),
    "GRAPH_FAILED": Row(
        GraphError, Status.INVALID_ARGUMENT, 400, "Check shapes and values of the feeds."
    ),
    "LIMIT_EXCEEDED": Row(
        LimitError,
        Status.RESOURCE_EXHAUSTED,
        413,
        "Stay under the limit, which GetCapabilities reports.",
    ),
    "NOT_CONFIGURED": Row(
        ConfigurationError,
        Status.FAILED_PRECONDITION,
        400,
        "Start `accel-daemon up` here, or attach to another machine's with `accel attach`.",
    ),
    "ENGINE_MISSING": Row(
        ConfigurationError,
        Status.FAILED_PRECONDITION,
        400,
        "Install the engine's extra on the accelerator's host.",
    ),
    "ACCELERATOR_NOT_FOUND": Row(
        ConfigurationError, Status.NOT_FOUND, 404, "List the accelerators and pick one of them."
    ),
    "INVALID_STREAM": Row(
        StreamError, Status.INVALID_ARGUMENT, 400, "Use a client that speaks accel.v1."
    ),
    "ACCESS_DENIED": Row(
        AccessDeniedError,
        Status.PERMISSION_DENIED,
        403,
        "Ask the daemon's operator to allow this action in your policy.",
    ),
    "INVALID_CREDENTIALS": Row(CredentialsError, Status.UNAUTHENTICATED, 403, _ATTACH),
    "MISSING_CREDENTIALS": Row(
        CredentialsError,
        Status.UNAUTHENTICATED,
        403,
        "Give an access key and secret: the profile of `accel-daemon up`, or AWS credentials.",
    ),
    "SIGNATURE_MISMATCH": Row(CredentialsError, Status.UNAUTHENTICATED, 403, _ATTACH),
    "SIGNATURE_REPLAYED": Row(
        CredentialsError,
        Status.UNAUTHENTICATED,
        403,
        "Sign each request anew; a signed random header, as X-Accel-Nonce, keeps equal ones apart.",
    ),
    "CREDENTIALS_EXPIRED": Row(
        CredentialsError,
        Status.UNAUTHENTICATED,
        403,
        "Get new temporary credentials, from where these came from.",
    ),
    "CLOCK_SKEW": Row(
        CredentialsError,
        Status.UNAUTHENTICATED,
        403,
        "Set this machine's clock.",
    ),
    "MISSING_TICKET": Row(CredentialsError, Status.UNAUTHENTICATED, 401, _TICKET),
    "INVALID_TICKET": Row(CredentialsError, Status.UNAUTHENTICATED, 401, _TICKET),
    "TICKET_EXPIRED": Row(CredentialsError, Status.UNAUTHENTICATED, 401, _TICKET),
    "TICKET_REVOKED": Row(CredentialsError, Status.UNAUTHENTICATED, 401, _ATTACH),
    "UNTRUSTED_PEER": Row(
        PeerIdentityError,
        Status.UNAUTHENTICATED,
        403,
        "Point ca_file or ACCEL_CA_FILE at the ca.pem of the daemon you mean to reach.",
    ),
    "VERSION_UNSUPPORTED": Row(
        VersionError, Status.FAILED_PRECONDITION, 400, "Upgrade the older of client and daemon."
    ),
    "UNKNOWN_METHOD": Row(
        VersionError, Status.UNIMPLEMENTED, 404, "Upgrade the older of client and daemon."
    ),
    "UNAVAILABLE": Row(
        ConnectionLostError, Status.UNAVAILABLE, 503, "Check that the daemon runs, and try again."
    ),
    "ANSWER_LOST": Row(
        AnswerLostError,
        Status.UNAVAILABLE,
        503,
        "The accelerator may have run this call; call again if running it twice does no harm.",
    ),
    "BUSY": Row(BusyError, Status.RESOURCE_EXHAUSTED, 503, "Try again after the hinted delay."),
    "DISK_FULL": Row(
        BusyError,
        Status.RESOURCE_EXHAUSTED,
        507,
        "Ask the daemon's operator to free space on the disk of the daemon's home; then try again.",
    ),
    "DEADLINE_EXCEEDED": Row(
        DeadlineError, Status.DEADLINE_EXCEEDED, 504, "Allow more time, or send less work."
    ),
    "CANCELLED": Row(CancelledError, Status.CANCELLED, 503, "Call again."),
    "MODEL_MISSING": Row(
        ModelMissingError, Status.FAILED_PRECONDITION, 409, "Upload the model bundle and repeat."
    ),
    "INTERNAL": Row(
        InternalError, Status.INTERNAL, 500, "Report the request id to the daemon's operator."
    ),
}

_STATUS_FALLBACK: Mapping[Status, str] = {
    Status.CANCELLED: "CANCELLED",
    Status.INVALID_ARGUMENT: "INVALID_CALL",
    Status.DEADLINE_EXCEEDED: "DEADLINE_EXCEEDED",
    Status.NOT_FOUND: "ACCELERATOR_NOT_FOUND",
    Status.PERMISSION_DENIED: "ACCESS_DENIED",
    Status.RESOURCE_EXHAUSTED: "BUSY",
    Status.FAILED_PRECONDITION: "INVALID_CALL",
    Status.UNIMPLEMENTED: "UNKNOWN_METHOD",
    Status.INTERNAL: "INTERNAL",
    Status.UNAVAILABLE: "UNAVAILABLE",
    Status.UNAUTHENTICATED: "INVALID_CREDENTIALS",
}


# Control characters but tab and newline, marks that turn the direction of writing, surrogates.
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def row_of(reason: str) -> Row:
    """The table's row for a reason; a reason this version does not know counts as INTERNAL."""
    return REASONS.get(reason) or REASONS["INTERNAL"]


def from_wire(
    reason: str,
    message: str,
    *,
    remedy: str = "",
    request_id: str = "",
    fields: Mapping[str, str] | None = None,
    status: int | None = None,
) -> AcceleratorError:
    """Build the exception for what a peer sent.

    A reason unknown to this version falls back to the reason of its gRPC `status`, so that a newer
    peer's refusal still has the right class.
    """
    known = reason if reason in REASONS else _reason_of_status(status)
    return row_of(known).exception(
        _harmless(message),
        reason=known,
        remedy=_harmless(remedy),
        request_id=_harmless(request_id),
        fields={_harmless(name): _harmless(value) for name, value in (fields or {}).items()},
    )


def _harmless(text: str) -> str:
    """What a peer wrote, without what a terminal would obey or no encoding could write."""
    return _OBEYED.sub("?", text)


def _reason_of_status(status: int | None) -> str:
    try:
        return _STATUS_FALLBACK[Status(status)] if status is not None else "INTERNAL"
    except (ValueError, KeyError):
        return "INTERNAL"
