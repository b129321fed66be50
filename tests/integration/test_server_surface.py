"""All that an accelerator's port serves, asked for by reflection, and what each method asks for."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from accel_daemon.accelerator.gate import PERMISSIONS, PUBLIC
from accel_protocol.methods import METHODS, SERVICE
from client_runtime.transport.channel import metadata, typed
from tests.conftest import patience
from tests.integration.conftest import LoneAccelerator


@pytest.fixture
def channel(lone_accelerator: LoneAccelerator) -> Iterator[grpc.Channel]:
    """A channel to the lone accelerator."""
    with lone_accelerator.channel() as opened:
        yield opened


def served_methods(channel: grpc.Channel, ticket: tuple[tuple[str, str], ...]) -> set[str]:
    """The paths of all methods that reflection tells of."""
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)

    def ask(**question: str) -> reflection_pb2.ServerReflectionResponse:
        request = reflection_pb2.ServerReflectionRequest(**question)
        return next(iter(stub.ServerReflectionInfo(iter([request]), metadata=ticket)))

    services = [s.name for s in ask(list_services="").list_services_response.service]
    paths: set[str] = set()
    for name in services:
        answer = ask(file_containing_symbol=name).file_descriptor_response
        for data in answer.file_descriptor_proto:
            file = descriptor_pb2.FileDescriptorProto.FromString(data)
            paths |= {
                f"/{file.package}.{service.name}/{method.name}"
                for service in file.service
                for method in service.method
            }
    return paths


def test_every_served_method_is_in_the_permission_table(
    channel: grpc.Channel, lone_accelerator: LoneAccelerator
) -> None:
    """Nothing is served that the gate's table does not name."""
    paths = served_methods(channel, metadata(lone_accelerator.grant()))

    assert {method.path for method in METHODS.values()} < paths
    assert paths <= set(PERMISSIONS)


@pytest.mark.parametrize(
    "path", [path for path, asked in PERMISSIONS.items() if asked is not PUBLIC]
)
def test_methods_ask_for_a_ticket(channel: grpc.Channel, path: str) -> None:
    """Without one, each is refused, whatever is sent."""
    with pytest.raises(grpc.RpcError) as caught:
        list(channel.stream_stream(path)(iter([b""]), timeout=patience(10)))

    assert typed(caught.value).reason == "MISSING_TICKET"


@pytest.mark.parametrize("path", ["/accel.v1.Accelerator/Nothing", "/other.Service/Method", "/x/y"])
def test_unknown_methods_are_refused(
    channel: grpc.Channel, lone_accelerator: LoneAccelerator, path: str
) -> None:
    """Also with a good ticket."""
    ticket = metadata(lone_accelerator.grant())
    with pytest.raises(grpc.RpcError) as caught:
        list(channel.stream_stream(path)(iter([b""]), metadata=ticket, timeout=patience(10)))

    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("service", ["", SERVICE])
def test_health_is_public(channel: grpc.Channel, service: str) -> None:
    """Load balancers have no tickets."""
    stub = health_pb2_grpc.HealthStub(channel)

    answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=patience(10))

    assert answer.status == health_pb2.HealthCheckResponse.SERVING
