"""The methods of `accel.v1.Accelerator`, read from the generated descriptor.

Both sides build their gRPC calls from this table, so a method cannot exist on one side only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from google.protobuf import message_factory
from google.protobuf.message import Message

from accel_protocol.v1 import accelerator_pb2

SERVICE = "accel.v1.Accelerator"
ERROR_METADATA = "accel-error-bin"
REQUEST_ID_METADATA = "accel-request-id"
HOT_PATH = "Run"


@dataclass(frozen=True)
class Method:
    """One method: its gRPC path, message classes and which side streams."""

    name: str
    path: str
    request: type[Message]
    response: type[Message]
    client_streams: bool
    server_streams: bool


def _methods() -> Mapping[str, Method]:
    service = accelerator_pb2.DESCRIPTOR.services_by_name["Accelerator"]
    return {
        method.name: Method(
            name=method.name,
            path=f"/{SERVICE}/{method.name}",
            request=message_factory.GetMessageClass(method.input_type),
            response=message_factory.GetMessageClass(method.output_type),
            client_streams=method.client_streaming,
            server_streams=method.server_streaming,
        )
        for method in service.methods
    }


METHODS: Mapping[str, Method] = _methods()
