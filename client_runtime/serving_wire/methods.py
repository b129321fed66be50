"""The methods of TensorFlow Serving's gRPC services, read from the generated descriptor.

Server and client build their calls from this table.
"""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf import message_factory

from accel_protocol.methods import Method
from client_runtime.serving_wire import services_pb2

PREDICTION_SERVICE = "tensorflow.serving.PredictionService"
MODEL_SERVICE = "tensorflow.serving.ModelService"
# Described by TensorFlow Serving, and registered by none of its servers.
SESSION_SERVICE = "tensorflow.serving.SessionService"


def _methods(service: str) -> Mapping[str, Method]:
    descriptor = services_pb2.DESCRIPTOR.services_by_name[service.rpartition(".")[2]]
    return {
        method.name: Method(
            name=method.name,
            path=f"/{service}/{method.name}",
            request=message_factory.GetMessageClass(method.input_type),
            response=message_factory.GetMessageClass(method.output_type),
            client_streams=method.client_streaming,
            server_streams=method.server_streaming,
        )
        for method in descriptor.methods
    }


# By full name of the service, then by name of the method.
SERVICES: Mapping[str, Mapping[str, Method]] = {
    service: _methods(service) for service in (PREDICTION_SERVICE, MODEL_SERVICE, SESSION_SERVICE)
}
