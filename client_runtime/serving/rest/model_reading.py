"""A model's configuration from the body of a request that adds it.

Pure.
"""

from __future__ import annotations

from google.protobuf import json_format

from client_runtime.serving.statuses import invalid
from client_runtime.serving_wire.model_management_pb2 import ModelConfig
from client_runtime.serving_wire.pool import POOL

_PLATFORM = "tensorflow"


def read_model(name: str, body: bytes) -> ModelConfig:
    """The configuration of a model.

    Args:
        name: of the model, as the path has it.
        body: ModelConfig as JSON; its name and its platform may be left out.

    Raises:
        ServingError: it is none, or names another model.
    """
    try:
        model = json_format.Parse(body, ModelConfig(), descriptor_pool=POOL)
    except (json_format.ParseError, UnicodeDecodeError) as error:
        raise invalid(f"The body is no ModelConfig: {error}") from None
    if model.name not in ("", name):
        raise invalid(f"The body is about the model {model.name}, and the path about {name}.")
    model.name = name
    if not model.model_type:
        model.model_platform = model.model_platform or _PLATFORM
    return model
