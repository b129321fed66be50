"""The gRPC handlers of `accel.v1.Accelerator`: the gate in front, typed refusals behind."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from accel_daemon.accelerator import run_stream
from accel_daemon.accelerator.service import AcceleratorService, Tenant
from accel_protocol.errors import AcceleratorError, InternalError
from accel_protocol.methods import (
    ERROR_METADATA,
    HOT_PATH,
    METHODS,
    REQUEST_ID_METADATA,
    SERVICE,
    Method,
)

_log = logging.getLogger(__name__)
Context = Any  # grpc.aio.ServicerContext, which has no usable types
Work = Callable[[str], Awaitable[Any]]
Plain = Callable[[Tenant, Any], Awaitable[Any]]


def generic_handler(service: AcceleratorService) -> grpc.GenericRpcHandler:
    """Handlers for all methods of the service."""
    table = {name: _handler(service, method) for name, method in METHODS.items()}
    return grpc.method_handlers_generic_handler(SERVICE, table)


def _handler(service: AcceleratorService, method: Method) -> Any:
    if method.name == HOT_PATH:
        # Messages stay bytes: `frames` reads them without a copy of the payload.
        return grpc.stream_stream_rpc_method_handler(_run(service, method))
    codec = (method.request.FromString, method.response.SerializeToString)
    if method.server_streams:
        return grpc.unary_stream_rpc_method_handler(_load(service, method), *codec)
    plain: dict[str, Plain] = {
        "GetCapabilities": service.get_capabilities,
        "FindMissing": service.find_missing,
        "Upload": service.upload,
        "Unload": service.unload,
        "List": service.list,
    }
    work = _plain(service, method, plain[method.name])
    if method.client_streams:
        return grpc.stream_unary_rpc_method_handler(work, *codec)
    return grpc.unary_unary_rpc_method_handler(work, *codec)


def _plain(service: AcceleratorService, method: Method, answer: Plain) -> Any:
    async def handle(request: Any, context: Context) -> Any:
        async def work(request_id: str) -> Any:
            with service.admitted(method.path, context) as tenant:
                return await answer(tenant, request)

        return await refusing(context, work)

    return handle


def _load(service: AcceleratorService, method: Method) -> Any:
    async def handle(request: Any, context: Context) -> None:
        async def work(request_id: str) -> None:
            with service.admitted(method.path, context) as tenant:
                async for response in service.load(tenant, request):
                    await context.write(response)

        await refusing(context, work)

    return handle


def _run(service: AcceleratorService, method: Method) -> Any:
    async def handle(_: Any, context: Context) -> None:
        async def work(request_id: str) -> None:
            await service.run(service.ticket_of(method.path, context), context, request_id)

        await refusing(context, work)

    return handle


async def refusing(context: Context, work: Work) -> Any:
    """Do the work of one call; every error leaves as a typed refusal with a request id."""
    request_id = secrets.token_hex(8)
    await context.send_initial_metadata(((REQUEST_ID_METADATA, request_id),))
    try:
        return await work(request_id)
    except AcceleratorError as error:
        await _refuse(context, error, request_id)
    except Exception:
        _log.exception("request %s failed", request_id)
        await _refuse(context, InternalError("The accelerator failed on this call."), request_id)


async def _refuse(context: Context, error: AcceleratorError, request_id: str) -> None:
    error.request_id = request_id
    _log.info("refused %s: %s", request_id, error.reason)
    trailer = ((ERROR_METADATA, run_stream.error_message(error).SerializeToString()),)
    code = next(code for code in grpc.StatusCode if code.value[0] == int(error.status))
    await context.abort(code, error.message, trailer)
