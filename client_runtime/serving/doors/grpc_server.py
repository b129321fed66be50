"""The gRPC server: where it listens, who is let in, what it serves, and how it ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from accel_protocol.errors import Status
from client_runtime.serving.access.guard import Guard, RefusedError
from client_runtime.serving.doors import reflection
from client_runtime.serving.doors.channel_arguments import Arguments
from client_runtime.serving.doors.grpc_calls import caller_of, end, header_of
from client_runtime.serving.doors.health import Health
from client_runtime.serving.statuses import ServingError
from client_runtime.serving_wire.pool import POOL

_HEALTH = f"/{health.SERVICE_NAME}/"
_OPTIONS: Arguments = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # With port sharing two servers could have one port, and each a part of the requests.
    ("grpc.so_reuseport", 0),
]


class GuardInterceptor(grpc.ServerInterceptor):  # type: ignore[misc]
    """Refuses calls without a good key before they are read; health is for everyone."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        """See grpc.ServerInterceptor."""
        if not details.method.startswith(_HEALTH):
            try:
                self._guard.check(header_of(details.invocation_metadata))
            except RefusedError as refusal:
                return self._refusing(refusal, details.method.rpartition("/")[2])
        return continuation(details)

    def _refusing(self, refusal: RefusedError, api: str) -> grpc.RpcMethodHandler:
        def refuse(_: Any, context: grpc.ServicerContext) -> Any:
            self._guard.tell(refusal, caller_of(context, api))
            end(context, refusal.status, refusal.message)

        return grpc.stream_stream_rpc_method_handler(refuse)


class GrpcServer:
    """A server that is not listening yet.

    Args:
        handlers: of the services.
        names: of the services, for reflection.
        guard: who is let in.
        threads: that answer requests.
        arguments: of `--grpc_channel_arguments`.
        health_service: None for none.
    """

    def __init__(
        self,
        handlers: Sequence[grpc.GenericRpcHandler],
        names: Sequence[str],
        guard: Guard,
        threads: int,
        arguments: Arguments,
        health_service: Health | None,
    ) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="grpc")
        self._server = grpc.server(
            self._threads,
            handlers=handlers,
            interceptors=[GuardInterceptor(guard)],
            options=[*_OPTIONS, *arguments],
        )
        self._health = health_service
        if health_service is not None:
            health_pb2_grpc.add_HealthServicer_to_server(health_service, self._server)
            names = [*names, health.SERVICE_NAME]
        _describe(health_pb2, reflection.DESCRIPTION)
        self._reflection = reflection.Reflection(names)
        self._reflection.add_to(self._server)

    def listen(self, address: str, credentials: grpc.ServerCredentials | None) -> int:
        """Listen on "HOST:PORT" or "unix:PATH"; a socket file that is there is replaced.

        Returns:
            The port.

        Raises:
            ServingError: the address cannot be had.
        """
        try:
            if credentials is None:
                return int(self._server.add_insecure_port(address))
            return int(self._server.add_secure_port(address, credentials))
        except RuntimeError:
            raise ServingError(
                Status.UNAVAILABLE,
                f"The gRPC server cannot listen on {address}: the address is taken or not to be "
                "had.",
            ) from None

    def start(self) -> None:
        """Accept calls."""
        self._server.start()
        if self._health is not None:
            self._health.refresh()
            self._health.start()

    def drain(self, seconds: float) -> None:
        """Say that nothing is served any more, accept nothing more, and let calls end in time."""
        if self._health is not None:
            self._health.end()
        stopped = self._server.stop(seconds)
        self._reflection.end()
        stopped.wait()
        self._threads.shutdown(wait=False, cancel_futures=True)


def _describe(*modules: Any) -> None:
    """Let reflection know these files, which are of gRPC's own packages."""
    for module in modules:
        POOL.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
