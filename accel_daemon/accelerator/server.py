"""The gRPC server of one accelerator: TLS, the service, health and reflection behind one gate."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from accel_daemon.accelerator.certificates import ShownCertificate
from accel_daemon.accelerator.connections import Connections
from accel_daemon.accelerator.disturbances import (
    DisturbanceInterceptor,
    Disturbances,
    ending,
)
from accel_daemon.accelerator.foreign_handlers import Lasting, guarded, public, unknown
from accel_daemon.accelerator.gate import PERMISSIONS, PUBLIC
from accel_daemon.accelerator.handlers import generic_handler
from accel_daemon.accelerator.lanes.lane_server import LaneServer
from accel_daemon.accelerator.lanes.listening import Listeners
from accel_daemon.accelerator.public_calls import PublicCalls
from accel_daemon.accelerator.service import AcceleratorService
from accel_daemon.accelerator.visits import Audit, Doorkeeper
from accel_daemon.clock import Clock
from accel_daemon.launch_order import LaunchOrder, Notice
from accel_protocol.errors import AcceleratorError, ConfigurationError, ConnectionLostError
from accel_protocol.limits import Limits
from accel_protocol.methods import METHODS, SERVICE

_log = logging.getLogger(__name__)
_DRAIN_POLL_SECONDS = 0.05
# A TLS handshake takes milliseconds; who connects and says nothing is let go after it.
_HANDSHAKE_MS = 10_000
# A connection without calls is closed; clients open another one by themselves.
_IDLE_CONNECTION_MS = 60_000
_SWEEP_SECONDS = 1.0
_HEALTH_SERVICES = ("", SERVICE)
_OURS = frozenset(method.path for method in METHODS.values())


class GateInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Refuses methods that do not exist, and puts the gate in front of those that are not ours.

    The service's own handlers ask the gate themselves, because they need the ticket it returns.
    """

    def __init__(self, door: Doorkeeper, service: AcceleratorService) -> None:
        self._door, self._service = door, service
        self._public, self.lasting = PublicCalls(), Lasting()

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], details: Any
    ) -> Any:
        """See grpc.aio.ServerInterceptor."""
        path = details.method
        if path in _OURS:
            return await continuation(details)
        behind = await continuation(details)
        if path not in PERMISSIONS or behind is None:
            return unknown(self._door, path)
        if PERMISSIONS[path] is PUBLIC:
            return public(self._door, self._public, self.lasting, path, behind)
        return guarded(self._door, self._service, self.lasting, path, behind)


class AcceleratorServer:
    """One listening server.

    Attributes:
        is_serving: whether it has started and does not drain.

    Raises:
        ConfigurationError: the port cannot be had, or the certificate cannot be used.
    """

    def __init__(
        self,
        order: LaunchOrder,
        service: AcceleratorService,
        limits: Limits,
        audit: Audit,
        listeners: Listeners | None = None,
    ) -> None:
        clock = Clock.start(order.clock_anchor)
        self.disturbances = Disturbances(clock.steady) if order.allow_faults else None
        if self.disturbances is not None:
            clock = clock.skewed_by(self.disturbances.clock_skew)
        door = Doorkeeper(service.gate, order.accelerator_id, audit, clock.wall)
        gate = GateInterceptor(door, service)
        self._lasting, interceptors = gate.lasting, [gate]
        if self.disturbances is not None:
            interceptors.append(DisturbanceInterceptor(self.disturbances))
        self._server = grpc.aio.server(interceptors=interceptors, options=_options(limits))
        self._server.add_generic_rpc_handlers((generic_handler(service, door),))
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)
        self._service, self._streams = service, service.gate.streams
        self._pruning: asyncio.TimerHandle | None = None
        self.is_serving = False
        self._tasks: set[asyncio.Task[None]] = set()
        self.certificate = ShownCertificate(order.certificate_pem, order.private_key_pem)
        self.port = self._listen(order)
        connections = Connections(self.port, limits.connections)
        door.meet, door.hang_up = connections.meet, connections.hang_up
        self._sweep = connections.sweep
        self._lanes = None
        if listeners is not None:
            self._lanes = LaneServer(listeners, order, service, door, self._no_lanes_now)

    def _listen(self, order: LaunchOrder) -> int:
        try:
            credentials = self.certificate.credentials()
            address = f"[{order.host}]" if ":" in order.host else order.host
            port: int = self._server.add_secure_port(f"{address}:{order.port}", credentials)
        except (RuntimeError, ValueError) as error:
            raise ConfigurationError(
                f"The accelerator cannot listen on {order.host}:{order.port}.",
                remedy="Choose another port or end the program that has it.",
            ) from error
        return port

    def _no_lanes_now(self) -> AcceleratorError | None:
        """Faults on demand act on gRPC's messages: while there are any, there is no other way."""
        if self.disturbances is None or not self.disturbances.acts_on_calls:
            return None
        return ConnectionLostError("There are no lanes while there are faults on demand.")

    @property
    def lane_port(self) -> int:
        """Where lanes are accepted; 0 for nowhere."""
        return 0 if self._lanes is None else self._lanes.port

    @property
    def local_lane(self) -> str:
        """The name by which lanes are accepted on this host; "" where there are none."""
        return "" if self._lanes is None else self._lanes.local_name

    def show(self, certificate_pem: str, private_key_pem: str) -> None:
        """Show this certificate to new connections from now on."""
        self.certificate.show(certificate_pem, private_key_pem)
        if self._lanes is not None:
            self._lanes.show(certificate_pem, private_key_pem)

    async def start(self) -> None:
        """Accept requests, and say so in the health service."""
        await self._server.start()
        if self._lanes is not None:
            self._lanes.start()
        self._spawn(self._thin_out_crowds())
        self.is_serving = True
        await self._show_health()

    async def disturb(self, notice: Notice) -> None:
        """Let these faults hold from now on and no others, where faults are allowed."""
        if self.disturbances is None:
            return
        fresh = self.disturbances.adopt(notice.faults)
        await self._follow_disturbances(self.disturbances)
        self._streams.end_each(lambda: ending(fresh))
        if (why := self._no_lanes_now()) is not None and self._lanes is not None:
            await self._lanes.end_all(why)
        self.disturbances.confirm(notice.version)

    async def _follow_disturbances(self, disturbances: Disturbances) -> None:
        """Bring health and memory in line with the faults, again when the next one is over."""
        if self._pruning is not None:
            self._pruning.cancel()
        seconds = disturbances.prune()
        self._service.set_pressure(disturbances.capacity)
        await self._show_health()
        if seconds is not None:
            loop = asyncio.get_running_loop()
            self._pruning = loop.call_later(seconds, self._follow_later, disturbances)

    def _follow_later(self, disturbances: Disturbances) -> None:
        self._spawn(self._follow_disturbances(disturbances))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _thin_out_crowds(self) -> None:
        """Close connections of strangers where they would keep others out."""
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            if closed := await asyncio.to_thread(self._sweep):
                _log.warning("closed %d connections of strangers: too many are open", closed)

    async def drain(self, grace: float) -> None:
        """Turn health off, let running calls end within `grace` seconds, then stop."""
        self.is_serving = False
        await self._show_health()
        if self._lanes is not None:
            self._lanes.stop()
        self._streams.end_idle()
        stopping = asyncio.create_task(self._server.stop(grace))
        await self._until_calls_are_over(grace)
        # What goes on now only watches health, which would last for the whole grace. The server is
        # not told to stop once more: gRPC crashes where that meets the end of the first time.
        self._lasting.end()
        await stopping
        for task in self._tasks:
            task.cancel()

    async def _until_calls_are_over(self, grace: float) -> None:
        """Those on lanes are none of gRPC's."""
        end = time.monotonic() + grace
        while len(self._streams) or self._service.calls_in_progress:
            if time.monotonic() >= end:
                return
            await asyncio.sleep(_DRAIN_POLL_SECONDS)

    async def _show_health(self) -> None:
        is_ill = self.disturbances is not None and self.disturbances.is_unhealthy
        answers = health_pb2.HealthCheckResponse
        status = answers.SERVING if self.is_serving and not is_ill else answers.NOT_SERVING
        for name in _HEALTH_SERVICES:
            await self._health.set(name, status)


def _options(limits: Limits) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", limits.message_bytes),
        ("grpc.max_send_message_length", limits.message_bytes),
        ("grpc.max_metadata_size", limits.metadata_bytes),
        ("grpc.max_concurrent_streams", limits.streams),
        ("grpc.max_allowed_incoming_connections", limits.connections),
        ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MS),
        ("grpc.max_connection_idle_ms", _IDLE_CONNECTION_MS),
        # With port sharing another process of this user could take part of the connections.
        ("grpc.so_reuseport", 0),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
    ]
