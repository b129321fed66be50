"""GetModelMetadata: what can be asked of a model, and the answer.

Pure.
"""

from __future__ import annotations

from client_runtime.serving.servable import Servable
from client_runtime.serving.statuses import invalid
from client_runtime.serving_wire import inference_pb2 as pb

SIGNATURES = "signature_def"


def check(request: pb.GetModelMetadataRequest) -> None:
    """Refuse a request for what there is not.

    Raises:
        ServingError: which.
    """
    if not request.metadata_field:
        raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
    for name in request.metadata_field:
        if name != SIGNATURES:
            raise invalid(f"Metadata field {name} is not supported")


def answer(servable: Servable) -> pb.GetModelMetadataResponse:
    """The signatures, as saved_model.pb has them."""
    known = pb.SignatureDefMap()
    for key, signature in servable.signatures.items():
        known.signature_def[key].CopyFrom(signature)
    response = pb.GetModelMetadataResponse()
    response.model_spec.name = servable.id.name
    response.model_spec.version.value = servable.id.version
    response.metadata[SIGNATURES].Pack(known)
    return response
