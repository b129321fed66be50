"""What a server says of its models, and what it is told, as plain data. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from google.protobuf.message import DecodeError

from client_runtime.serving_client.errors import ServerFaultError
from client_runtime.serving_wire import inference_pb2, model_management_pb2, signatures_pb2
from client_runtime.serving_wire.status_codes_pb2 import Code
from client_runtime.serving_wire.tensors_pb2 import DataType, TensorShapeProto


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a signature.

    Attributes:
        name: of the tensor in the graph, for instance "serving_default_x:0".
        dtype: TensorFlow's name, for instance "float32" or "string".
        shape: None for a size, or for all of it, that may be anything.
        number: of the dtype in TensorFlow's DataType.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None
    number: int = field(repr=False)


@dataclass(frozen=True)
class Signature:
    """One way to call a model.

    Attributes:
        method: for instance "tensorflow/serving/predict".
        inputs: by the names that requests use.
        outputs: by the names that answers use.
    """

    method: str
    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]


@dataclass(frozen=True)
class ModelMetadata:
    """A model's version and its signatures by key."""

    name: str
    version: int
    signatures: Mapping[str, Signature]


@dataclass(frozen=True)
class VersionStatus:
    """How one version of a model is.

    Attributes:
        version: its number.
        state: START, LOADING, AVAILABLE, UNLOADING, END, or UNKNOWN for one that is newer.
        error: gRPC's name of what went wrong, "OK" for nothing.
        message: what went wrong, "" for nothing.
    """

    version: int
    state: str
    error: str
    message: str


class ScoredLabel(NamedTuple):
    """One class of a classified example."""

    label: str
    score: float


@dataclass(frozen=True)
class ServedModel:
    """A model that a server is to serve.

    Attributes:
        name: by which requests name it.
        base_path: folder of its version folders, absolute, as the server sees it.
        versions: "latest", "all", or the numbers of those to serve.
        latest: how many of the latest, where `versions` says so.
        labels: version by label.
    """

    name: str
    base_path: str
    versions: Literal["latest", "all"] | Sequence[int] = "latest"
    latest: int = 1
    labels: Mapping[str, int] = field(default_factory=dict)


_NAMES = {"DT_FLOAT": "float32", "DT_DOUBLE": "float64", "DT_HALF": "float16"}


def metadata_of(response: inference_pb2.GetModelMetadataResponse) -> ModelMetadata:
    """The signatures in an answer.

    Raises:
        ServerFaultError: there are none in it, or they cannot be read.
    """
    packed = response.metadata.get("signature_def")
    if packed is None or not packed.type_url.endswith("/tensorflow.serving.SignatureDefMap"):
        raise ServerFaultError("INTERNAL", "The server's answer has no signatures.")
    try:
        signatures = inference_pb2.SignatureDefMap.FromString(packed.value).signature_def
    except DecodeError as error:
        raise ServerFaultError("INTERNAL", "The server's signatures cannot be read.") from error
    spec = response.model_spec
    by_key = {key: _signature(proto) for key, proto in sorted(signatures.items())}
    return ModelMetadata(spec.name, spec.version.value, by_key)


def _signature(proto: signatures_pb2.SignatureDef) -> Signature:
    return Signature(
        method=proto.method_name,
        inputs={name: _tensor(info) for name, info in sorted(proto.inputs.items())},
        outputs={name: _tensor(info) for name, info in sorted(proto.outputs.items())},
    )


def _tensor(info: signatures_pb2.TensorInfo) -> TensorSpec:
    return TensorSpec(info.name, dtype_name(info.dtype), _shape(info.tensor_shape), info.dtype)


def dtype_name(number: int) -> str:
    """TensorFlow's name of a dtype, also of one that is newer than this code."""
    try:
        name = DataType.Name(number)  # type: ignore[arg-type]
    except ValueError:
        return f"dtype {number}"
    return _NAMES.get(name, name.removeprefix("DT_").lower())


def _shape(proto: TensorShapeProto) -> tuple[int | None, ...] | None:
    if proto.unknown_rank:
        return None
    return tuple(None if dim.size < 0 else dim.size for dim in proto.dim)


def statuses_of(response: model_management_pb2.GetModelStatusResponse) -> list[VersionStatus]:
    """The versions in an answer, in its order, which is the newest first."""
    return [
        VersionStatus(
            version=proto.version,
            state=_state_name(proto.state),
            error=code_name(proto.status.error_code),
            message=proto.status.error_message,
        )
        for proto in response.model_version_status
    ]


def _state_name(number: int) -> str:
    states = model_management_pb2.ModelVersionStatus.State
    return states.Name(number) if number in states.values() else "UNKNOWN"  # type: ignore[arg-type]


def code_name(number: int) -> str:
    """GRPC's name of a status, UNKNOWN for one that is newer than this code."""
    return Code.Name(number) if number in Code.values() else "UNKNOWN"  # type: ignore[arg-type]
