"""How calls to a TensorFlow Serving server fail. Pure.

ServingClientError
├── RequestError         (also ValueError) the call is wrong; repeating it cannot help
├── NotFoundError        (also LookupError) no such model, version, or label
├── RefusedError         the server wants other credentials
├── UnavailableError     nobody answers, or there is no room now; repeating may help
├── DeadlineError        (also TimeoutError) time ran out
├── CancelledError       the call was given up
└── ServerFaultError     a defect of the server, or of the model while it ran
"""

from __future__ import annotations


class ServingClientError(Exception):
    """Base of all errors here.

    Attributes:
        status: gRPC's name of how the call ended, for instance "NOT_FOUND".
        message: in the server's words, where it said something.
    """

    def __init__(self, status: str, message: str) -> None:
        super().__init__(f"{message} [{status}]")
        self.status, self.message = status, message


class RequestError(ServingClientError, ValueError):
    """The call is wrong."""


class NotFoundError(ServingClientError, LookupError):
    """There is no such model, version, or label."""


class RefusedError(ServingClientError):
    """Who calls is unknown, or may not do this."""


class UnavailableError(ServingClientError):
    """Nobody answers, or there is no room now."""


class DeadlineError(ServingClientError, TimeoutError):
    """Time ran out."""


class CancelledError(ServingClientError):
    """The call was given up."""


class ServerFaultError(ServingClientError):
    """A defect on the other side."""


_CLASSES: dict[str, type[ServingClientError]] = {
    "INVALID_ARGUMENT": RequestError,
    "FAILED_PRECONDITION": RequestError,
    "OUT_OF_RANGE": RequestError,
    "ALREADY_EXISTS": RequestError,
    "UNIMPLEMENTED": RequestError,
    "NOT_FOUND": NotFoundError,
    "UNAUTHENTICATED": RefusedError,
    "PERMISSION_DENIED": RefusedError,
    "UNAVAILABLE": UnavailableError,
    "RESOURCE_EXHAUSTED": UnavailableError,
    "ABORTED": UnavailableError,
    "DEADLINE_EXCEEDED": DeadlineError,
    "CANCELLED": CancelledError,
}


def from_status(status: str, message: str) -> ServingClientError:
    """The error for a status by gRPC's name; one that is unknown is the server's fault."""
    if status == "RESOURCE_EXHAUSTED" and "larger than max" in message:
        # What gRPC says of a message above the bound of either side: it will not shrink.
        return RequestError(status, message)
    return _CLASSES.get(status, ServerFaultError)(status, message)


def invalid(message: str) -> RequestError:
    """The error for a call that is found to be wrong before it is sent."""
    return RequestError("INVALID_ARGUMENT", message)
