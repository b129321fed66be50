"""Answering a request with one servable, whoever found it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from accel_protocol.errors import Status
from accel_protocol.tensors import Array
from client_runtime.serving.inference import (
    classifying,
    examples,
    methods,
    multi,
    predicting,
    regressing,
    session_running,
    tensors,
)
from client_runtime.serving.inference.options import AnswerForm, InferenceOptions
from client_runtime.serving.inference.signatures import DEFAULT_KEY
from client_runtime.serving.servable import Bounds, Servable
from client_runtime.serving.statuses import ServingError, invalid
from client_runtime.serving_wire import inference_pb2 as pb
from client_runtime.serving_wire.signatures_pb2 import SignatureDef
from client_runtime.serving_wire.tensors_pb2 import DataType


@runtime_checkable
class RunsTensors(Protocol):
    """A servable that runs other tensors than a signature's, too."""

    def run_tensors(
        self, feeds: Mapping[str, Array], fetches: Sequence[str], bounds: Bounds
    ) -> dict[str, Array]:
        """Tensors of the graph for others, all by their names."""


@dataclass(frozen=True)
class Answering:
    """A servable, and how requests to it are answered. Every method may raise a ServingError."""

    servable: Servable
    options: InferenceOptions

    def predict(self, request: pb.PredictRequest, bounds: Bounds) -> pb.PredictResponse:
        """See `Inference.predict`."""
        key = request.model_spec.signature_name or DEFAULT_KEY
        asked = predicting.signature(self.servable.signatures, key)
        feeds = predicting.feeds(asked, request, check_method=self.options.check_method_names)
        fetches = self.servable.run(key, feeds, bounds)
        response = predicting.answer(asked, request, fetches, self.options.answer_form)
        response.model_spec.CopyFrom(self._spec(request.model_spec.name, key))
        return response

    def classify(
        self, request: pb.ClassificationRequest, bounds: Bounds
    ) -> pb.ClassificationResponse:
        """See `Inference.classify`."""
        key, asked = self._signature(request.model_spec)
        classifying.check(asked, check_method=self.options.check_method_names)
        fetches, count = self._run_examples(key, request.input, bounds)
        return pb.ClassificationResponse(
            model_spec=self._spec(request.model_spec.name, key),
            result=classifying.result(fetches, count),
        )

    def regress(self, request: pb.RegressionRequest, bounds: Bounds) -> pb.RegressionResponse:
        """See `Inference.regress`."""
        key, asked = self._signature(request.model_spec)
        regressing.check(asked, check_method=self.options.check_method_names)
        fetches, count = self._run_examples(key, request.input, bounds)
        return pb.RegressionResponse(
            model_spec=self._spec(request.model_spec.name, key),
            result=regressing.result(fetches, count),
        )

    def multi_inference(
        self, request: pb.MultiInferenceRequest, bounds: Bounds
    ) -> pb.MultiInferenceResponse:
        """See `Inference.multi_inference`."""
        tasks = multi.tasks(
            self.servable.signatures, request, check_method=self.options.check_method_names
        )
        response = pb.MultiInferenceResponse()
        for task in tasks:
            fetches, count = self._run_examples(task.key, request.input, bounds)
            one = response.results.add(model_spec=self._spec(task.name, task.key))
            if task.classifies:
                one.classification_result.CopyFrom(classifying.result(fetches, count))
            else:
                one.regression_result.CopyFrom(regressing.result(fetches, count))
        return response

    def session_run(self, request: pb.SessionRunRequest, bounds: Bounds) -> pb.SessionRunResponse:
        """See `Inference.session_run`."""
        signatures = self.servable.signatures
        wanted = session_running.meant(signatures, request)
        arrays = {one.name: tensors.read(one.name, one.tensor) for one in request.feed}
        known = session_running.through(signatures, wanted)
        if known is None:
            fetches = self._run_tensors(wanted, arrays, bounds)
        else:
            given = {known.feeds[one.name]: one.tensor.dtype for one in request.feed}
            tensors.check_dtypes(signatures[known.key].inputs, given)
            feeds = {known.feeds[name]: array for name, array in arrays.items()}
            answer = self.servable.run(known.key, feeds, bounds)
            fetches = {name: answer[alias] for name, alias in known.fetches.items()}
        response = pb.SessionRunResponse()
        response.model_spec.CopyFrom(self._spec(request.model_spec.name, ""))
        content = self.options.answer_form is AnswerForm.CONTENT
        for name in request.fetch:
            tensor = tensors.write(name, fetches[name], content=content)
            response.tensor.add(name=name, tensor=tensor)
        return response

    def _run_tensors(
        self, wanted: session_running.Tensors, arrays: Mapping[str, Array], bounds: Bounds
    ) -> dict[str, Array]:
        if not isinstance(self.servable, RunsTensors):
            raise ServingError(Status.UNIMPLEMENTED, "Only a signature's tensors can be run here.")
        feeds = {wanted.feeds[name]: array for name, array in arrays.items()}
        names = sorted(set(wanted.fetches.values()))
        answer = self.servable.run_tensors(feeds, names, bounds)
        return {name: answer[tensor] for name, tensor in wanted.fetches.items()}

    def _signature(self, spec: pb.ModelSpec) -> tuple[str, SignatureDef]:
        key = spec.signature_name or DEFAULT_KEY
        if key not in self.servable.signatures:
            raise invalid(f"No signature was found with the name: {key}")
        return key, self.servable.signatures[key]

    def _run_examples(
        self, key: str, given: pb.Input, bounds: Bounds
    ) -> tuple[dict[str, Array], int]:
        array = examples.serialized(given)
        tensors.check_dtypes(
            self.servable.signatures[key].inputs, {methods.INPUTS: DataType.DT_STRING}
        )
        return self.servable.run(key, {methods.INPUTS: array}, bounds), len(array)

    def _spec(self, name: str, key: str) -> pb.ModelSpec:
        spec = pb.ModelSpec(name=name, signature_name=key)
        spec.version.value = self.servable.id.version
        return spec
