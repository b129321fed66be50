"""Answers one request of the REST API; blocks while the model runs. Knows no HTTP server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError, Message

from accel_protocol.tensors import Array
from client_runtime.serving.rest import (
    example_reading,
    message_writing,
    predict_reading,
    predict_writing,
)
from client_runtime.serving.rest.json_reading import read_object, refuse_overflow
from client_runtime.serving.rest.model_reading import read_model
from client_runtime.serving.rest.npy_bodies import read_npy, written_npy
from client_runtime.serving.rest.paths import Method, Target
from client_runtime.serving.servable import Bounds, Catalog, Editor, Inference
from client_runtime.serving.statuses import ServingError, invalid
from client_runtime.serving_wire.inference_pb2 import (
    ClassificationRequest,
    GetModelMetadataRequest,
    ModelSpec,
    PredictRequest,
    PredictResponse,
    RegressionRequest,
)
from client_runtime.serving_wire.model_management_pb2 import GetModelStatusResponse
from client_runtime.serving_wire.signatures_pb2 import TensorInfo
from client_runtime.serving_wire.tensor_protos import TensorProtoError, to_array, to_proto

JSON = "application/json"
PROTOBUF = "application/x-protobuf"
NPY = "application/x-npy"
# What a signature is called that is not named.
_DEFAULT_SIGNATURE = "serving_default"


@dataclass(frozen=True)
class Reply:
    """An answer that is no error.

    Attributes:
        body: as the content type says.
        content_type: JSON, protobuf or .npy.
        asked, answered: the messages that were passed to the inference and came back, if any.
    """

    body: bytes
    content_type: str = JSON
    asked: Any = None
    answered: Any = None

    @property
    def version(self) -> int | None:
        """Of the model that answered; None where none did."""
        return None if self.answered is None else self.answered.model_spec.version.value


@dataclass(frozen=True)
class Handling:
    """Answers requests with what is loaded; changes that where there is an editor. Thread-safe."""

    inference: Inference
    catalog: Catalog
    editor: Editor | None = None

    def reply(self, target: Target, body: bytes, content_type: str, bounds: Bounds) -> Reply:
        """The answer to a request.

        Args:
            target: what its line means.
            body: all of it, unpacked.
            content_type: of the body; anything but protobuf and .npy is JSON.
            bounds: of the model's run.

        Raises:
            ServingError: it is wrong, or fails.
        """
        if self.editor is not None and target.method in (Method.PUT, Method.REMOVE):
            return self._change(self.editor, target, body, bounds)
        if target.method is Method.PREDICT and content_type == PROTOBUF:
            return self._predict_protobuf(target.spec(), body, bounds)
        if target.method is Method.PREDICT and content_type == NPY:
            return self._predict_npy(target.spec(), body, bounds)
        answers: dict[Method, Callable[[], Reply]] = {
            Method.PREDICT: lambda: self._predict(target.spec(), body, bounds),
            Method.CLASSIFY: lambda: self._classify(target.spec(), body, bounds),
            Method.REGRESS: lambda: self._regress(target.spec(), body, bounds),
            Method.STATUS: lambda: self._status(target),
            Method.METADATA: lambda: self._metadata(target.spec()),
        }
        return answers[target.method]()

    def listing(self) -> Reply:
        """All models, with their versions' states."""
        states = {name: self._states(name) for name in self.catalog.names()}
        labels = {name: self.catalog.labels(name) for name in states}
        return Reply(message_writing.listing(states, labels))

    def _states(self, name: str) -> GetModelStatusResponse:
        try:
            return self.catalog.status(name, None)
        except ServingError:
            return GetModelStatusResponse()

    def _predict(self, spec: ModelSpec, body: bytes, bounds: Bounds) -> Reply:
        document = read_object(body)
        spec.signature_name = predict_reading.signature_name(document)
        infos = self._inputs_of(spec)
        inputs = predict_reading.read_inputs(document, spec.signature_name, infos)
        if predict_reading.has_infinity(inputs.arrays):
            refuse_overflow(body)
        request = PredictRequest(
            model_spec=spec, output_filter=predict_reading.output_filter(document)
        )
        for name, array in inputs.arrays.items():
            request.inputs[name].CopyFrom(to_proto(array, content=True))
        response = self.inference.predict(request, bounds)
        write = predict_writing.by_row if inputs.by_row else predict_writing.by_column
        return Reply(write(_arrays(response)), JSON, request, response)

    def _inputs_of(self, spec: ModelSpec) -> Mapping[str, TensorInfo]:
        """The inputs of the signature that is asked for."""
        key = spec.signature_name or _DEFAULT_SIGNATURE
        with self.catalog.use(spec) as servable:
            if key not in servable.signatures:
                raise invalid(f'Serving signature name: "{key}" not found in signature def')
            return servable.signatures[key].inputs

    def _predict_npy(self, spec: ModelSpec, body: bytes, bounds: Bounds) -> Reply:
        names = list(self._inputs_of(spec))
        if len(names) != 1:
            raise invalid(f"The signature has the inputs {', '.join(sorted(names))}; .npy has one.")
        request = PredictRequest(model_spec=spec)
        request.inputs[names[0]].CopyFrom(to_proto(read_npy(body), content=True))
        response = self.inference.predict(request, bounds)
        return Reply(written_npy(_arrays(response)), NPY, request, response)

    def _predict_protobuf(self, spec: ModelSpec, body: bytes, bounds: Bounds) -> Reply:
        request = PredictRequest()
        _parse(request, body)
        spec.signature_name = request.model_spec.signature_name
        request.model_spec.CopyFrom(spec)
        response = self.inference.predict(request, bounds)
        return Reply(response.SerializeToString(), PROTOBUF, request, response)

    def _classify(self, spec: ModelSpec, body: bytes, bounds: Bounds) -> Reply:
        request = ClassificationRequest(model_spec=spec)
        _read_examples(request, body)
        response = self.inference.classify(request, bounds)
        text = message_writing.classification(response.result)
        return Reply(text, JSON, request, response)

    def _regress(self, spec: ModelSpec, body: bytes, bounds: Bounds) -> Reply:
        request = RegressionRequest(model_spec=spec)
        _read_examples(request, body)
        response = self.inference.regress(request, bounds)
        text = message_writing.regression(response.result)
        return Reply(text, JSON, request, response)

    def _status(self, target: Target) -> Reply:
        # A label is taken no notice of, as TensorFlow Serving takes none.
        return Reply(message_writing.status(self.catalog.status(target.name, target.version)))

    def _change(self, editor: Editor, target: Target, body: bytes, bounds: Bounds) -> Reply:
        if target.method is Method.REMOVE:
            editor.remove_model(target.name, bounds)
            return Reply(b"{}\n")
        editor.put_model(read_model(target.name, body), bounds)
        return Reply(message_writing.status(self._states(target.name)))

    def _metadata(self, spec: ModelSpec) -> Reply:
        request = GetModelMetadataRequest(
            model_spec=spec, metadata_field=[message_writing.SIGNATURE_FIELD]
        )
        response = self.inference.metadata(request)
        return Reply(message_writing.metadata(response), JSON, request, response)


def _arrays(response: PredictResponse) -> dict[str, Array]:
    try:
        return {name: to_array(proto) for name, proto in response.outputs.items()}
    except TensorProtoError as error:
        raise invalid(str(error)) from None


def _read_examples(request: ClassificationRequest | RegressionRequest, body: bytes) -> None:
    document = read_object(body)
    request.model_spec.signature_name = predict_reading.signature_name(document)
    request.input.CopyFrom(example_reading.read_examples(document))
    if example_reading.has_infinity(request.input):
        refuse_overflow(body)


def _parse(message: Message, body: bytes) -> None:
    try:
        message.ParseFromString(body)
    except DecodeError:
        raise invalid("The body is no PredictRequest message") from None
