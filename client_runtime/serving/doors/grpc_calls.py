"""One gRPC call: its bounds, its caller, and the status and text with which it ends."""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

import grpc
from google.protobuf.message import Message

from accel_protocol.errors import AcceleratorError, Status
from client_runtime.serving.access.guard import Guard
from client_runtime.serving.servable import Bounds, Caller
from client_runtime.serving.statuses import ServingError, from_accelerator
from client_runtime.transport.exchange import Cancellation

_log = logging.getLogger(__name__)

# TensorFlow Serving cuts there: a status travels in headers, which have a limit.
_LONGEST_BYTES = 1024
_CUT = "...TRUNCATED"
# gRPC says of a call without a deadline that some centuries are left.
_NO_DEADLINE_SECONDS = 10 * 365 * 86_400.0
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
_CODES: Mapping[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


class Context(Protocol):
    """What is used of grpc.ServicerContext."""

    def invocation_metadata(self) -> Any:
        """The call's headers."""

    def time_remaining(self) -> float | None:
        """Seconds until the deadline."""

    def add_callback(self, callback: Callable[[], None]) -> bool:
        """Call this when the call ends; False where it has ended."""

    def peer(self) -> str:
        """The client's address."""

    def abort(self, code: grpc.StatusCode, details: str) -> NoReturn:
        """End the call."""


@dataclass(frozen=True)
class Method:
    """How one method is answered.

    Attributes:
        name: as the API names it, for instance "Predict".
        request: the class of its messages.
        answer: the response to a request.
        models: the models that a request is about, None for all.
    """

    name: str
    request: type[Message]
    answer: Callable[[Any, Bounds], Message]
    models: Callable[[Any], Collection[str] | None]


def handler(method: Method, guard: Guard) -> grpc.RpcMethodHandler:
    """What gRPC calls for a method, in a thread of its pool."""

    def read(data: bytes) -> tuple[Message, int]:
        return method.request.FromString(data), len(data)

    def handle(received: tuple[Message, int], context: Context) -> Message:
        request, size = received
        bounds = bounds_of(context, method.name, size)
        try:
            guard.admit(header_of(context.invocation_metadata()), method.models(request))
            return method.answer(request, bounds)
        except Exception as error:
            end(context, *ending(error, bounds.caller))

    return grpc.unary_unary_rpc_method_handler(handle, read, _written)


def bounds_of(context: Context, api: str, size: int) -> Bounds:
    """The bounds of a call: its deadline, and that its client is still there."""
    left = context.time_remaining()
    has_deadline = left is not None and left < _NO_DEADLINE_SECONDS
    cancellation = Cancellation()
    if not context.add_callback(cancellation.cancel):
        cancellation.cancel()
    return Bounds(
        time.monotonic() + left if has_deadline and left is not None else None,
        cancellation,
        Caller(request_id(context.invocation_metadata()), "GRPC", api, context.peer(), size),
    )


def request_id(metadata: Any) -> str:
    """The id that the client gave its call as `x-request-id`, or a new one."""
    given = header_of(metadata)("x-request-id") or ""
    return given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)


def header_of(metadata: Any) -> Callable[[str], str | None]:
    """Looks up a header; those that hold bytes count as missing."""
    texts = {key: value for key, value in metadata or () if isinstance(value, str)}
    return texts.get


def ending(error: Exception, caller: Caller) -> tuple[Status, str]:
    """How a call ends that raised this. What nobody expected is logged, and not told."""
    if isinstance(error, AcceleratorError):
        error = from_accelerator(error)
    if isinstance(error, ServingError):
        return error.status, error.message
    _log.error("request %s failed in the server", caller.request_id, exc_info=error)
    return Status.INTERNAL, f"The server failed. Its log says more of request {caller.request_id}."


def end(context: Context, status: Status, message: str) -> NoReturn:
    """End a call with a status other than OK."""
    context.abort(_CODES[int(status)], cut(message))


def cut(message: str) -> str:
    """A message as short as TensorFlow Serving sends it."""
    data = message.encode("utf-8", "replace")
    if len(data) <= _LONGEST_BYTES:
        return message
    return data[:_LONGEST_BYTES].decode("utf-8", "ignore") + _CUT


def _written(message: Message) -> bytes:
    return message.SerializeToString()
