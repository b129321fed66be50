"""Messages of what callers pass, and arrays of what comes back. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from client_runtime.serving_client.errors import ServerFaultError, invalid
from client_runtime.serving_client.specs import ModelMetadata, ServedModel, Signature, TensorSpec
from client_runtime.serving_wire import inference_pb2, model_management_pb2
from client_runtime.serving_wire.tensor_protos import (
    TensorProtoError,
    element_of,
    fill_proto,
    to_array,
)
from client_runtime.serving_wire.tensors_pb2 import TensorProto

Array = npt.NDArray[Any]
Inputs = Mapping[str, Any]

DEFAULT_SIGNATURE = "serving_default"


def model_spec(
    model: str, version: int | None = None, label: str | None = None, signature: str | None = None
) -> inference_pb2.ModelSpec:
    """Which model, in which version: by number, by label, or the latest.

    Raises:
        RequestError: both a number and a label.
    """
    if version is not None and label is not None:
        raise invalid("A version is named by its number or by a label, not by both.")
    spec = inference_pb2.ModelSpec(name=model, signature_name=signature or "")
    if version is not None:
        spec.version.value = version
    if label is not None:
        spec.version_label = label
    return spec


def signature_of(metadata: ModelMetadata, key: str | None) -> Signature:
    """The signature that a request means.

    Raises:
        RequestError: the model has no such one.
    """
    signature = metadata.signatures.get(key or DEFAULT_SIGNATURE)
    if signature is None:
        raise invalid(
            f"Model {metadata.name!r} has no signature {key or DEFAULT_SIGNATURE!r}, "
            f"but: {', '.join(metadata.signatures)}."
        )
    return signature


def predict_request(
    spec: inference_pb2.ModelSpec,
    inputs: Inputs | Any,
    outputs: Iterable[str] | None,
    signature: Signature | None,
) -> inference_pb2.PredictRequest:
    """A request; inputs are converted to the signature's dtypes, or sent as they are without one.

    Raises:
        RequestError: an input whose values its dtype cannot hold, one that is no tensor, or one
            without a name where the signature has not exactly one.
    """
    request = inference_pb2.PredictRequest(model_spec=spec, output_filter=outputs or ())
    for name, value in named(inputs, signature).items():
        tensor = signature.inputs.get(name) if signature else None
        fill_tensor(request.inputs[name], name, value, tensor)
    return request


def named(inputs: Inputs | Any, signature: Signature | None) -> Inputs:
    """Inputs by name; a value alone belongs to the only input there is.

    Raises:
        RequestError: there is not exactly one, or the signature is unknown.
    """
    if isinstance(inputs, Mapping):
        return inputs
    if signature is None:
        raise invalid("Without the signature an input needs its name: pass a mapping.")
    if len(signature.inputs) != 1:
        names = ", ".join(signature.inputs) or "none"
        raise invalid(f"A value alone needs a signature of one input; this one's are: {names}.")
    return {next(iter(signature.inputs)): inputs}


def fill_tensor(proto: TensorProto, name: str, value: Any, spec: TensorSpec | None) -> None:
    """Write one input into its place in a request.

    Raises:
        RequestError: it does not convert without loss.
    """
    wanted = element_of(spec.number) if spec else None
    is_string = wanted is not None and wanted.kind == "O"
    try:
        array = np.asarray(_strings(value) if is_string else value)
        if spec and wanted is not None:
            array = _converted(array, wanted, spec.dtype)
        fill_proto(proto, array, content=True)
    except (TensorProtoError, ValueError, TypeError, OverflowError) as error:
        raise invalid(f"Input {name!r}: {error}") from error
    if spec and wanted is not None:
        proto.dtype = spec.number  # type: ignore[assignment]  # quantised: the same integers


def _strings(value: Any) -> Array:
    """An object array: one of bytes would lose zeros at the end of its elements."""
    if isinstance(value, np.ndarray):
        return value
    return np.asarray(value, dtype=object)


def _converted(array: Array, wanted: np.dtype[Any], name: str) -> Array:
    """The same values in another dtype; floats may lose precision, nothing else is lost."""
    if array.dtype == wanted or (wanted.kind == "O" and array.dtype.kind in "SUO"):
        return array
    if not _may_become(array.dtype, wanted) and array.size:
        raise ValueError(f"{array.dtype} does not convert to {name}.")
    if wanted.kind in "iu" and not _are_integers(array, wanted):
        raise ValueError(f"it has values that {name} cannot hold.")
    with np.errstate(over="ignore"):
        converted = array.astype(wanted)
    if _kind(wanted) == "f" and _kind(array.dtype) in "iuf" and _overflows(array, converted):
        raise ValueError(f"it has values that {name} cannot hold.")
    return converted


def _are_integers(array: Array, wanted: np.dtype[Any]) -> bool:
    if not array.size or array.dtype.kind == "b":
        return True
    if _kind(array.dtype) == "f" and not (np.isfinite(array) & (array == np.trunc(array))).all():
        return False
    bounds = np.iinfo(wanted)
    return bounds.min <= int(array.min()) and int(array.max()) <= bounds.max


def _overflows(array: Array, converted: Array) -> bool:
    return not np.array_equal(np.isinf(array), np.isinf(converted))


_RANKS = {"b": 0, "u": 1, "i": 1, "f": 2, "c": 3}


def _may_become(dtype: np.dtype[Any], wanted: np.dtype[Any]) -> bool:
    """Whether values can be the same: whole numbers in floats may be integers."""
    have, want = (_RANKS.get(_kind(each)) for each in (dtype, wanted))
    if have is None or want is None:
        return False
    return have <= want or (have, want) == (2, 1)


def _kind(dtype: np.dtype[Any]) -> str:
    return "f" if dtype.name == "bfloat16" else dtype.kind


def arrays_of(response: inference_pb2.PredictResponse, max_elements: int) -> dict[str, Array]:
    """The outputs by name.

    Raises:
        ServerFaultError: one of them is no tensor.
    """
    try:
        return {
            name: to_array(proto, max_elements=max_elements)
            for name, proto in sorted(response.outputs.items())
        }
    except TensorProtoError as error:
        raise ServerFaultError("INTERNAL", f"The server's answer has no tensor: {error}") from error


def config_of(models: Sequence[ServedModel]) -> model_management_pb2.ModelServerConfig:
    """The configuration that serves these models and nothing else."""
    configs = [_config(model) for model in models]
    return model_management_pb2.ModelServerConfig(
        model_config_list=model_management_pb2.ModelConfigList(config=configs)
    )


def _config(model: ServedModel) -> model_management_pb2.ModelConfig:
    config = model_management_pb2.ModelConfig(
        name=model.name,
        base_path=model.base_path,
        model_platform="tensorflow",
        version_labels=model.labels,
    )
    policy = config.model_version_policy
    if model.versions == "all":
        policy.all.SetInParent()
    elif model.versions == "latest":
        policy.latest.num_versions = model.latest
    else:
        policy.specific.versions.extend(int(version) for version in model.versions)
    return config
