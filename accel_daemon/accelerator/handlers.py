"""The gRPC handlers of `accel.v1.Accelerator`: the gate in front, typed refusals behind."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from accel_daemon.accelerator import run_stream
from accel_daemon.accelerator.call_context import CallContext, Context
from accel_daemon.accelerator.service import AcceleratorService, Tenant
from accel_daemon.accelerator.visits import Doorkeeper, Visit
from accel_protocol import upload_frames
from accel_protocol.errors import AcceleratorError, InternalError, StreamError
from accel_protocol.methods import (
    ERROR_METADATA,
    HOT_PATH,
    METHODS,
    REQUEST_ID_METADATA,
    SERVICE,
    Method,
)
from accel_protocol.v1 import accelerator_pb2 as pb

_log = logging.getLogger(__name__)
Work = Callable[[Visit], Awaitable[None]]
Turn = Callable[[Visit, CallContext, Any], Awaitable[None]]
Answers = Callable[[Tenant, Any], AsyncIterator[Any]]
UNREADABLE = object()


def generic_handler(service: AcceleratorService, door: Doorkeeper) -> grpc.GenericRpcHandler:
    """Handlers for all methods of the service."""
    table = {name: _handler(service, door, method) for name, method in METHODS.items()}
    return grpc.method_handlers_generic_handler(SERVICE, table)


def _handler(service: AcceleratorService, door: Doorkeeper, method: Method) -> Any:
    """A method's handler.

    To gRPC all of them stream, in both directions. On the wire it is the same, but otherwise gRPC
    would wait for a request before anyone is asked, and for an answer to be read, for ever.
    """
    if method.name == HOT_PATH:
        # Messages stay bytes: `frames` reads them without a copy of the payload.
        return grpc.stream_stream_rpc_method_handler(_handle(service, door, method, _run(service)))
    turns: dict[str, Turn] = {
        "GetCapabilities": _asked(service, _single(service.get_capabilities)),
        "FindMissing": _asked(service, _single(service.find_missing)),
        "Upload": _upload(service),
        "Load": _asked(service, service.load),
        "Unload": _asked(service, _single(service.unload)),
        "List": _asked(service, _single(service.list)),
    }
    codec = (reader(method), method.response.SerializeToString)
    handle = _handle(service, door, method, turns[method.name])
    return grpc.stream_stream_rpc_method_handler(handle, *codec)


def _handle(service: AcceleratorService, door: Doorkeeper, method: Method, turn: Turn) -> Any:
    """What gRPC calls: a visit, which is refused with a typed error or has its turn."""

    async def handle(requests: Any, context: Context) -> None:
        call = CallContext(context, service.limits.idle_call_seconds, door.hang_up)
        visit = door.visit(method.path, context)
        await refusing(visit, call, lambda visit: turn(visit, call, requests))

    return handle


def _asked(service: AcceleratorService, answers: Answers) -> Turn:
    """The turn of a method that takes one request."""

    async def turn(visit: Visit, call: CallContext, _: Any) -> None:
        with service.in_progress(visit):
            request = await call.request()
            tenant = await service.admitted(visit, _named_graph(request))
            async for response in answers(tenant, readable(request)):
                await call.write(response)

    return turn


def _single(answer: Callable[[Tenant, Any], Awaitable[Any]]) -> Answers:
    async def answers(tenant: Tenant, request: Any) -> AsyncIterator[Any]:
        yield await answer(tenant, request)

    return answers


def _upload(service: AcceleratorService) -> Turn:
    async def turn(visit: Visit, call: CallContext, requests: Any) -> None:
        with service.in_progress(visit):
            tenant = await service.admitted(visit, None)
            await call.write(await service.upload(tenant, readable(requests)))

    return turn


def _run(service: AcceleratorService) -> Turn:
    async def turn(visit: Visit, call: CallContext, _: Any) -> None:
        ticket = await visit.admit()
        assert ticket is not None
        await service.run(ticket, call, visit)

    return turn


def reader(method: Method) -> Callable[[bytes], Any]:
    """Reads a method's request.

    What is no message becomes UNREADABLE: gRPC itself would log a traceback for it, of anyone at
    all, since it reads requests before the gate is asked.
    """
    decode: Callable[[bytes], Any] = method.request.FromString
    if method.name == "Upload":
        decode = upload_frames.decode

    def read(data: bytes) -> Any:
        try:
            return decode(data)
        except (DecodeError, StreamError):
            return UNREADABLE

    return read


def readable(request: Any) -> Any:
    """A request as it was read, or all that come on a stream.

    Raises:
        StreamError: it is no message; for a stream, when it is its turn.
    """
    if request is UNREADABLE:
        raise StreamError("The request cannot be read.")
    return _each_readable(request) if isinstance(request, AsyncIterable) else request


async def _each_readable(requests: AsyncIterable[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        yield readable(request)


def _named_graph(request: Any) -> bytes | None:
    """The id of the graph that a request names, if it names one: policies may ask for it."""
    if isinstance(request, pb.UnloadRequest):
        return request.graph_id
    if not isinstance(request, pb.LoadRequest):
        return None
    if request.WhichOneof("graph") == "manifest":
        return hashlib.sha256(request.manifest).digest()
    return request.graph_id


async def refusing(visit: Visit, context: CallContext, work: Work) -> None:
    """Do the work of one call; every error leaves as a typed refusal with a request id."""
    await context.send_initial_metadata(((REQUEST_ID_METADATA, visit.request_id),))
    try:
        await work(visit)
    except AcceleratorError as error:
        await _refuse(visit, context, error)
    except grpc.aio.AbortError:
        raise  # it has been ended with a status already
    except Exception:
        _log.exception("request %s failed", visit.request_id)
        await _refuse(visit, context, InternalError("The accelerator failed on this call."))


async def _refuse(visit: Visit, context: CallContext, error: AcceleratorError) -> None:
    error.request_id = visit.request_id
    _log.info("refused %s: %s", visit.request_id, error.reason)
    visit.refused(error)
    trailer = ((ERROR_METADATA, run_stream.error_message(error).SerializeToString()),)
    code = next(code for code in grpc.StatusCode if code.value[0] == int(error.status))
    await context.abort(code, error.message, trailer)
