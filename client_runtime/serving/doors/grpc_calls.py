"""One gRPC call: its bounds, its caller, what is told of it, and how it ends."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

import grpc
from google.protobuf.message import DecodeError, Message

from accel_protocol.errors import AcceleratorError, Status
from client_runtime.serving.access.guard import Guard, RefusedError
from client_runtime.serving.doors import grpc_events
from client_runtime.serving.events import Observer
from client_runtime.serving.request_ids import request_id
from client_runtime.serving.servable import Bounds, Caller
from client_runtime.serving.statuses import ServingError, from_accelerator, invalid
from client_runtime.transport.exchange import Cancellation

_log = logging.getLogger(__name__)

# TensorFlow Serving cuts there: a status travels in headers, which have a limit.
_LONGEST_BYTES = 1024
_CUT = "...TRUNCATED"
# gRPC says of a call without a deadline that some centuries are left.
_NO_DEADLINE_SECONDS = 10 * 365 * 86_400.0
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
        is_inference: whether a request needs a place among those that are answered at once.
    """

    name: str
    request: type[Message]
    answer: Callable[[Any, Bounds], Message]
    models: Callable[[Any], Collection[str] | None]
    is_inference: bool = True


def handler(method: Method, guard: Guard, observe: Observer) -> grpc.RpcMethodHandler:
    """What gRPC calls for a method, in a thread of its pool."""

    def handle(data: bytes, context: Context) -> bytes:
        bounds = bounds_of(context, method.name, len(data))
        try:
            # Before anything is parsed.
            with guard.place(bounds.caller) if method.is_inference else contextlib.nullcontext():
                request = _read(method, data, guard, bounds.caller)
                header = header_of(context.invocation_metadata())
                guard.admit(header, method.models(request), bounds.caller)
                return _answered(method, request, bounds, observe)
        except Exception as error:
            end(context, *ending(error, bounds.caller))

    return grpc.unary_unary_rpc_method_handler(handle)


def _read(method: Method, data: bytes, guard: Guard, caller: Caller) -> Message:
    try:
        return method.request.FromString(data)
    except DecodeError:
        refusal = RefusedError(invalid(f"The message is no {method.request.DESCRIPTOR.full_name}."))
        guard.tell(refusal, caller)
        raise refusal from None


def _answered(method: Method, request: Message, bounds: Bounds, observe: Observer) -> bytes:
    """The answer as it is sent; the observer is told when it begins and ends."""
    response: Message | None = None
    status: Status | None = Status.INTERNAL
    data, began_at = b"", time.monotonic()
    observe(grpc_events.began(bounds.caller, request))
    try:
        response = method.answer(request, bounds)
        data = response.SerializeToString()
        status = None
        return data
    except (ServingError, AcceleratorError) as error:
        status = error.status
        raise
    finally:
        observe(grpc_events.ended(bounds.caller, request, response, status, began_at, len(data)))


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
        caller_of(context, api, size),
    )


def caller_of(context: Context, api: str, size: int | None = None) -> Caller:
    """Who calls."""
    given_id = header_of(context.invocation_metadata())("x-request-id") or ""
    return Caller(request_id(given_id), "GRPC", api, context.peer(), size)


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
