"""Which models a request is about, before anything is done with it. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any
from urllib.parse import unquote

from client_runtime.serving_wire import inference_pb2, model_management_pb2

# The name ends where the REST API's own pattern ends it: at "/", ":" or the end.
_MODEL = re.compile(r"/v1/models/([^/:]+)(?:[/:].*)?", re.IGNORECASE)
# What changes nothing.
_ASKING = ("GET", "HEAD", "POST", "OPTIONS")
# Of what is about no model at all, as metrics are.
ANY_MODEL: Collection[str] = ()
# What the REST API knows that is no model's name, though it stands in its place.
_NO_MODEL = "metadata"


def models_of_message(request: Any) -> Collection[str] | None:
    """The models that a message of the gRPC API is about; None for all of them."""
    if isinstance(request, inference_pb2.MultiInferenceRequest):
        return {task.model_spec.name for task in request.tasks}
    if isinstance(request, model_management_pb2.ReloadConfigRequest):
        return None
    return (request.model_spec.name,)


def models_of_line(http_method: str, raw_path: str) -> Collection[str] | None:
    """The models that a request's line is about; None for all, or where that is not sure.

    What changes the configuration is about all models: a folder that is served as one may be
    anybody's.

    Args:
        http_method: as it came.
        raw_path: as it came, percent-encoded.
    """
    if http_method not in _ASKING:
        return None
    found = _MODEL.fullmatch(raw_path)
    if found is not None and found[1].lower() != _NO_MODEL:
        return (unquote(found[1]),)
    is_elsewhere = raw_path.startswith("/") and "/v1" not in unquote(raw_path).lower()
    return ANY_MODEL if is_elsewhere else None
