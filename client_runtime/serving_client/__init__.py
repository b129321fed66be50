"""A client for any TensorFlow Serving server, by gRPC and without TensorFlow.

`ServingClient` makes the calls; `specs`, `requests` and `examples` turn what callers have into
messages and answers into arrays.
"""

from client_runtime.serving_client.client import ServingClient
from client_runtime.serving_client.errors import (
    CancelledError,
    DeadlineError,
    NotFoundError,
    RefusedError,
    RequestError,
    ServerFaultError,
    ServingClientError,
    UnavailableError,
)
from client_runtime.serving_client.specs import (
    ModelMetadata,
    ScoredLabel,
    ServedModel,
    Signature,
    TensorSpec,
    VersionStatus,
)

__all__ = [
    "CancelledError",
    "DeadlineError",
    "ModelMetadata",
    "NotFoundError",
    "RefusedError",
    "RequestError",
    "ScoredLabel",
    "ServedModel",
    "ServerFaultError",
    "ServingClient",
    "ServingClientError",
    "Signature",
    "TensorSpec",
    "UnavailableError",
    "VersionStatus",
]
