"""How requests to the server end: the error that carries a status, and its HTTP form.

Pure.
"""

from __future__ import annotations

from accel_protocol.errors import AcceleratorError, Status

_HTTP_STATUS = {
    Status.INVALID_ARGUMENT: 400,
    Status.FAILED_PRECONDITION: 400,
    Status.UNAUTHENTICATED: 401,
    Status.PERMISSION_DENIED: 403,
    Status.NOT_FOUND: 404,
    Status.RESOURCE_EXHAUSTED: 429,
    Status.CANCELLED: 499,
    Status.INTERNAL: 500,
    Status.UNIMPLEMENTED: 501,
    Status.UNAVAILABLE: 503,
    Status.DEADLINE_EXCEEDED: 504,
}


class ServingError(Exception):
    """A request that ends with a status other than OK.

    Attributes:
        status: how it ends.
        message: for the client, in TensorFlow Serving's words where it has some.
    """

    def __init__(self, status: Status, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


def invalid(message: str) -> ServingError:
    """An error of INVALID_ARGUMENT, the most frequent one."""
    return ServingError(Status.INVALID_ARGUMENT, message)


def from_accelerator(error: AcceleratorError) -> ServingError:
    """What an accelerator's error is to a client of the server: the same status and text."""
    return ServingError(error.status, str(error))


def http_status(status: Status) -> int:
    """The HTTP status of a REST answer, as TensorFlow Serving chooses it."""
    return _HTTP_STATUS[status]
