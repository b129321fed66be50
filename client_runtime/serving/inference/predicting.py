"""Predict: from a request's named tensors to feeds, from fetches to an answer.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from accel_protocol.errors import Status
from accel_protocol.tensors import Array
from client_runtime.serving.inference import methods, tensors
from client_runtime.serving.inference.options import AnswerForm
from client_runtime.serving.statuses import ServingError, invalid
from client_runtime.serving_wire.inference_pb2 import PredictRequest, PredictResponse
from client_runtime.serving_wire.signatures_pb2 import SignatureDef
from client_runtime.serving_wire.tensors_pb2 import TensorProto


def signature(signatures: Mapping[str, SignatureDef], key: str) -> SignatureDef:
    """The signature that a request names.

    Raises:
        ServingError: there is none.
    """
    if key not in signatures:
        raise ServingError(Status.FAILED_PRECONDITION, f'Serving signature key "{key}" not found.')
    return signatures[key]


def feeds(asked: SignatureDef, request: PredictRequest, *, check_method: bool) -> dict[str, Array]:
    """The feeds by alias, the signature's defaults among them.

    Raises:
        ServingError: the request does not fit the signature.
    """
    if check_method:
        _check_method(asked)
    _check_count(asked, request)
    protos = {alias: _input(asked, request, alias) for alias in sorted(asked.inputs)}
    arrays = {alias: tensors.read(alias, proto) for alias, proto in protos.items()}
    wanted_outputs(asked, request.output_filter)
    tensors.check_dtypes(asked.inputs, {alias: proto.dtype for alias, proto in protos.items()})
    return arrays


def _check_method(asked: SignatureDef) -> None:
    if asked.method_name not in methods.ALL:
        raise ServingError(
            Status.INTERNAL,
            f"Expected prediction signature method_name to be one of {{{', '.join(methods.ALL)}}}. "
            f"Was: {asked.method_name}",
        )


def _check_count(asked: SignatureDef, request: PredictRequest) -> None:
    sent, known = set(request.inputs), set(asked.inputs)
    if len(sent) > len(known) or (len(sent) < len(known) and not asked.defaults):
        raise invalid(
            f"input size does not match signature: {len(sent)}!={len(known)} "
            f"len({_set(sent)}) != len({_set(known)}). Sent extra: {_set(sent - known)}. "
            f"Missing but required: {_set(known - sent)}."
        )


def _input(asked: SignatureDef, request: PredictRequest, alias: str) -> TensorProto:
    for source in (request.inputs, asked.defaults):
        if alias in source:
            return source[alias]
    raise invalid(
        f"Signature input alias: {alias}(feed name: {asked.inputs[alias].name}) not found in "
        "request and no default value provided. Inputs expected to be in the set "
        f"{_set(asked.inputs)}."
    )


def wanted_outputs(asked: SignatureDef, output_filter: Sequence[str]) -> list[str]:
    """The aliases of the outputs that are answered, all of them where nothing filters.

    Raises:
        ServingError: no such output, or one twice.
    """
    for place, alias in enumerate(output_filter):
        if alias not in asked.outputs:
            raise invalid(
                f"output tensor alias not found in signature: {alias} Outputs expected to be in "
                f"the set {_set(asked.outputs)}."
            )
        if alias in output_filter[:place]:
            raise invalid(f"duplicate output tensor alias: {alias}")
    return list(output_filter) or sorted(asked.outputs)


def answer(
    asked: SignatureDef, request: PredictRequest, fetches: Mapping[str, Array], form: AnswerForm
) -> PredictResponse:
    """The answer, without its model spec.

    Raises:
        ServingError: an output cannot be written.
    """
    response = PredictResponse()
    content = form is AnswerForm.CONTENT or (
        form is AnswerForm.AS_ASKED and any(one.tensor_content for one in request.inputs.values())
    )
    for alias in wanted_outputs(asked, request.output_filter):
        proto = tensors.write(alias, fetches[alias], content=content)
        response.outputs[alias].CopyFrom(proto)
    return response


def _set(names: Iterable[str]) -> str:
    return f"{{{','.join(sorted(names))}}}"
