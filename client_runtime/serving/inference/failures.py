"""How failures on the way to an accelerator end a request.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from accel_protocol.errors import AcceleratorError, DeadlineError, RefusedError, Status
from client_runtime.serving.statuses import ServingError, from_accelerator

TIMED_OUT = "Timed out waiting for notification"


@contextmanager
def as_serving_errors() -> Iterator[None]:
    """Raise what goes wrong inside as the ServingError that the request ends with."""
    try:
        yield
    except AcceleratorError as error:
        raise serving_error(error) from error
    except OSError as error:
        raise ServingError(
            Status.UNAVAILABLE, f"A file of the model cannot be read: {error.strerror or error}"
        ) from error


def serving_error(error: AcceleratorError) -> ServingError:
    """The end of a request that met this error."""
    if isinstance(error, DeadlineError):
        return ServingError(Status.DEADLINE_EXCEEDED, TIMED_OUT)
    if isinstance(error, RefusedError):
        # It was the server that was refused, not its client: the client can only come back later.
        return ServingError(Status.UNAVAILABLE, str(error))
    return from_accelerator(error)
