"""MultiInference: which tasks a request may hold.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from accel_protocol.errors import Status
from client_runtime.serving.inference import classifying, methods, regressing
from client_runtime.serving.inference.signatures import DEFAULT_KEY
from client_runtime.serving.statuses import ServingError, invalid
from client_runtime.serving_wire.inference_pb2 import InferenceTask, MultiInferenceRequest
from client_runtime.serving_wire.signatures_pb2 import SignatureDef


@dataclass(frozen=True)
class Task:
    """One signature to run, for a classification or a regression."""

    name: str
    key: str
    classifies: bool


def tasks(
    signatures: Mapping[str, SignatureDef], request: MultiInferenceRequest, *, check_method: bool
) -> list[Task]:
    """The tasks, in their order.

    Raises:
        ServingError: they are of several models, or one cannot be done.
    """
    found: list[Task] = []
    for asked in request.tasks:
        spec = asked.model_spec
        if not spec.name:
            raise invalid("Found ModelSpec with an empty model name.")
        if found and spec.name != found[0].name:
            raise invalid(
                "All ModelSpecs in a MultiInferenceRequest must access the same model name."
            )
        key = spec.signature_name or DEFAULT_KEY
        if any(key == other.key for other in found):
            raise invalid(f"Duplicate evaluation of signature: {key}")
        if key not in signatures:
            raise invalid(f"Requested signature not found in model graph: {key}")
        classifies = _classifies(asked, signatures[key], check_method)
        found.append(Task(spec.name, key, classifies))
    return found


def _classifies(asked: InferenceTask, signature: SignatureDef, check_method: bool) -> bool:
    if asked.method_name == methods.CLASSIFY:
        classifying.check(signature, check_method=check_method)
        return True
    if asked.method_name == methods.REGRESS:
        regressing.check(signature, check_method=check_method)
        return False
    raise ServingError(
        Status.UNIMPLEMENTED, f"Unsupported signature method_name: {asked.method_name}"
    )
