"""A small real gRPC server that answers as TensorFlow Serving does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest

from client_runtime.serving_client import ServingClient
from client_runtime.serving_wire import inference_pb2
from client_runtime.serving_wire.methods import SERVICES
from client_runtime.serving_wire.tensors_pb2 import DataType

Handler = Callable[[Any, Any], Any]


@dataclass
class FakeServing:
    """A server whose answers are functions, by method.

    Attributes:
        address: "127.0.0.1:PORT".
        handlers: by method; take the request and the context, and answer a message.
        requests: method and message of every call so far.
        metadata: of every call so far.
    """

    address: str = ""
    handlers: dict[str, Handler] = field(default_factory=dict)
    requests: list[tuple[str, Any]] = field(default_factory=list)
    metadata: list[dict[str, Any]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def asked(self) -> list[str]:
        """The methods that were called so far."""
        return [method for method, _ in self.requests]

    def register(self, server: grpc.Server) -> None:
        """Every method of every service."""
        for service, methods in SERVICES.items():
            handlers = {
                name: grpc.unary_unary_rpc_method_handler(
                    self._answerer(name), method.request.FromString, _written
                )
                for name, method in methods.items()
            }
            server.add_generic_rpc_handlers(
                (grpc.method_handlers_generic_handler(service, handlers),)
            )

    def _answerer(self, name: str) -> Handler:
        def answer(request: Any, context: Any) -> Any:
            self.requests.append((name, request))
            self.metadata.append(dict(context.invocation_metadata()))
            if name not in self.handlers:
                context.abort(grpc.StatusCode.UNIMPLEMENTED, "No answer was prepared.")
            return self.handlers[name](request, context)

        return answer


def _written(message: Any) -> bytes:
    data: bytes = message.SerializeToString()
    return data


def describe(
    version: int = 1, **signatures: dict[str, tuple[int, list[int]]]
) -> inference_pb2.GetModelMetadataResponse:
    """Metadata of signatures by key, their inputs by name as dtype and shape."""
    found = inference_pb2.SignatureDefMap()
    for key, inputs in signatures.items():
        signature = found.signature_def[key]
        signature.method_name = "tensorflow/serving/predict"
        for name, (dtype, shape) in inputs.items():
            signature.inputs[name].name = f"{name}:0"
            signature.inputs[name].dtype = dtype  # type: ignore[assignment]
            for size in shape:
                signature.inputs[name].tensor_shape.dim.add(size=size)
        output = signature.outputs["y"]
        output.name, output.dtype = "y:0", DataType.DT_FLOAT
        output.tensor_shape.unknown_rank = True
    response = inference_pb2.GetModelMetadataResponse()
    response.model_spec.name = "m"
    response.model_spec.version.value = version
    packed = response.metadata["signature_def"]
    packed.type_url = "type.googleapis.com/tensorflow.serving.SignatureDefMap"
    packed.value = found.SerializeToString()
    return response


def echo(version: int = 1) -> Handler:
    """Answers a Predict with its inputs."""

    def answer(request: Any, _: Any) -> inference_pb2.PredictResponse:
        response = inference_pb2.PredictResponse(outputs=request.inputs)
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = version
        return response

    return answer


@pytest.fixture
def serving() -> Iterator[FakeServing]:
    """A server with one model `m`: its one input `x` is float32, and comes back."""
    fake = FakeServing()
    with ThreadPoolExecutor(8) as threads:
        server = grpc.server(threads, options=[("grpc.max_receive_message_length", -1)])
        fake.register(server)
        fake.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        fake.handlers["GetModelMetadata"] = lambda *_: describe(serving_default={"x": (1, [-1])})
        fake.handlers["Predict"] = echo()
        server.start()
        yield fake
        fake.released.set()
        server.stop(None).wait()


@pytest.fixture
def client(serving: FakeServing) -> Iterator[ServingClient]:
    """A client of it."""
    with ServingClient(serving.address) as client:
        yield client
