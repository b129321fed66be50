"""RequestBegan and RequestEnded of the gRPC API's messages.

Pure.
"""

from __future__ import annotations

import time
from typing import Any

from accel_protocol.errors import Status
from client_runtime.serving.events import RequestBegan, RequestEnded
from client_runtime.serving.servable import Caller
from client_runtime.serving_wire import inference_pb2


def began(caller: Caller, request: Any) -> RequestBegan:
    """A request that was read.

    Args:
        caller: who asks; the same object for `ended`.
        request: a message of the gRPC API.
    """
    return RequestBegan(caller, spec_of(request).name)


def ended(
    caller: Caller,
    request: Any,
    response: Any,
    status: Status | None,
    began_at: float,
    bytes_out: int,
) -> RequestEnded:
    """A request that was answered, or has failed.

    Args:
        caller: who asked.
        request: a message of the gRPC API.
        response: likewise; None where it failed.
        status: None for OK.
        began_at: time.monotonic().
        bytes_out: of the answer on the wire.
    """
    asked = spec_of(request)
    used = asked if response is None else spec_of(response)
    if not used.HasField("version"):
        used = asked
    return RequestEnded(
        caller=caller,
        model=asked.name,
        version=used.version.value if used.HasField("version") else None,
        signature=used.signature_name,
        status=status,
        began_at=began_at,
        seconds=time.monotonic() - began_at,
        request=request,
        response=response,
        bytes_out=bytes_out,
    )


def spec_of(message: Any) -> inference_pb2.ModelSpec:
    """The model spec of a request or a response; of several tasks or results that of the first."""
    several: Any = getattr(message, "tasks", None) or getattr(message, "results", None)
    found = getattr(several[0] if several else message, "model_spec", None)
    return found if isinstance(found, inference_pb2.ModelSpec) else inference_pb2.ModelSpec()
