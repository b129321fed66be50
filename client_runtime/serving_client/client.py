"""The client itself: one method for each thing that a TensorFlow Serving server can be asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from client_runtime.serving_client import requests
from client_runtime.serving_client.channel import Caller, Security
from client_runtime.serving_client.errors import NotFoundError, RequestError, from_status
from client_runtime.serving_client.examples import Features, input_of
from client_runtime.serving_client.requests import Array
from client_runtime.serving_client.signature_cache import SignatureCache
from client_runtime.serving_client.specs import (
    ModelMetadata,
    ScoredLabel,
    ServedModel,
    VersionStatus,
    code_name,
    metadata_of,
    statuses_of,
)
from client_runtime.serving_wire import inference_pb2, model_management_pb2
from client_runtime.serving_wire.methods import MODEL_SERVICE, PREDICTION_SERVICE

# Of an answer whose message does not hold all elements: repeated values.
_MAX_FILLED = 2**28

Countdown = Callable[[], float | None]


class _Question(NamedTuple):
    """What `predict` is asked: of which model, for which inputs and outputs."""

    spec: inference_pb2.ModelSpec
    inputs: Any
    outputs: tuple[str, ...] | None


class ServingClient:
    """Asks one TensorFlow Serving server. Thread-safe; connects with the first call.

    A model is named by `model`, and by `version` or `label` where it is not to be the latest one.
    All errors are `ServingClientError`s; which, see there.

    Args:
        address: "host:port", "unix:/path", or whatever else gRPC takes.
        tls: whether to use TLS; on by itself where one of the files is given. Without it nothing
            is secret, no token either: TensorFlow Serving's own ports are plain by default.
        ca_file: PEM with the authorities to trust, instead of the system's.
        cert_file: PEM with the client's certificate, for servers that want one.
        key_file: PEM with its key.
        server_name: that the server's certificate holds, where it is not the address's.
        token: sent as "authorization: Bearer TOKEN".
        api_key: sent as "x-api-key".
        timeout: seconds that a call may take where it does not say otherwise; None: any time.
        max_message_bytes: of one message either way; None: no bound but gRPC's own of 2 GiB.
        cast: whether inputs are converted to the model's dtypes. Signatures are asked for once and
            remembered. Without it arrays are sent as they are, and inputs need their names.

    Raises:
        RequestError: a file cannot be read.
    """

    def __init__(
        self,
        address: str,
        *,
        tls: bool = False,
        ca_file: str | Path | None = None,
        cert_file: str | Path | None = None,
        key_file: str | Path | None = None,
        server_name: str | None = None,
        token: str | None = None,
        api_key: str | None = None,
        timeout: float | None = None,
        max_message_bytes: int | None = None,
        cast: bool = True,
    ) -> None:
        security = Security(tls, ca_file, cert_file, key_file, server_name, token, api_key)
        self._caller = Caller(address, security, max_message_bytes)
        self._timeout, self._cast = timeout, cast
        self._signatures = SignatureCache(self._fetch_metadata)

    def predict(
        self,
        model: str,
        inputs: Mapping[str, Any] | npt.ArrayLike,
        *,
        version: int | None = None,
        label: str | None = None,
        signature: str | None = None,
        outputs: Iterable[str] | None = None,
        timeout: float | None = None,
    ) -> dict[str, Array]:
        """Run a signature; answers its outputs by name, read-only.

        Args:
            model: its name.
            inputs: by name; a value alone belongs to the only input that the signature has. Whole
                numbers in floats become integers where the model wants these; what cannot be
                converted without loss, but for the precision of floats, is refused.
            version: its number.
            label: of the version, instead of its number.
            signature: its key; None: "serving_default".
            outputs: which of them; None: all.
            timeout: seconds for all of it; None: the client's.

        Raises:
            ServingClientError: the call is wrong, or failed.
        """
        question = _question(model, inputs, version, label, signature, outputs)
        left = self._countdown(timeout)
        known = self._known(question, left)
        try:
            response = self._predict(self._request(question, known), left)
        except (RequestError, NotFoundError):
            fresh = self._changed(question, known, left)
            if fresh is None:
                raise
            response = self._predict(self._request(question, fresh), left)
        return self._answer(question, response)

    async def predict_async(
        self,
        model: str,
        inputs: Mapping[str, Any] | npt.ArrayLike,
        *,
        version: int | None = None,
        label: str | None = None,
        signature: str | None = None,
        outputs: Iterable[str] | None = None,
        timeout: float | None = None,
    ) -> dict[str, Array]:
        """The same as `predict` for asyncio; cancelling the task cancels the call on the server."""
        question = _question(model, inputs, version, label, signature, outputs)
        left = self._countdown(timeout)
        known = await asyncio.to_thread(self._known, question, left)
        try:
            response = await self._predict_async(question, known, left)
        except (RequestError, NotFoundError):
            fresh = await asyncio.to_thread(self._changed, question, known, left)
            if fresh is None:
                raise
            response = await self._predict_async(question, fresh, left)
        return await asyncio.to_thread(self._answer, question, response)

    def classify(
        self,
        model: str,
        examples: Sequence[Features],
        *,
        context: Features | None = None,
        version: int | None = None,
        label: str | None = None,
        signature: str | None = None,
        timeout: float | None = None,
    ) -> list[list[ScoredLabel]]:
        """Classify examples, each a dict of features; `context` holds those that all share.

        Whole numbers become int64 features, others float: write 2.0 for a float feature.

        Raises:
            ServingClientError: the call is wrong, or failed.
        """
        request = inference_pb2.ClassificationRequest(
            model_spec=requests.model_spec(model, version, label, signature),
            input=input_of(examples, context),
        )
        response = self._call(PREDICTION_SERVICE, "Classify", request, timeout)
        return [
            [ScoredLabel(class_.label, class_.score) for class_ in each.classes]
            for each in response.result.classifications
        ]

    def regress(
        self,
        model: str,
        examples: Sequence[Features],
        *,
        context: Features | None = None,
        version: int | None = None,
        label: str | None = None,
        signature: str | None = None,
        timeout: float | None = None,
    ) -> npt.NDArray[np.float32]:
        """One value for each example; all else is as with `classify`.

        Raises:
            ServingClientError: the call is wrong, or failed.
        """
        request = inference_pb2.RegressionRequest(
            model_spec=requests.model_spec(model, version, label, signature),
            input=input_of(examples, context),
        )
        response = self._call(PREDICTION_SERVICE, "Regress", request, timeout)
        return np.array([each.value for each in response.result.regressions], np.float32)

    def metadata(
        self,
        model: str,
        *,
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = None,
    ) -> ModelMetadata:
        """The signatures of a model, asked anew each time.

        Raises:
            ServingClientError: the call is wrong, or failed.
        """
        spec = requests.model_spec(model, version, label)
        return self._fetch_metadata(spec, self._bound(timeout))

    def status(
        self, model: str, *, version: int | None = None, timeout: float | None = None
    ) -> list[VersionStatus]:
        """How a model's versions are, the newest first, or how the one that is named is.

        Raises:
            ServingClientError: the call is wrong, or failed; NotFoundError: none is known.
        """
        request = model_management_pb2.GetModelStatusRequest(
            model_spec=requests.model_spec(model, version)
        )
        return statuses_of(self._call(MODEL_SERVICE, "GetModelStatus", request, timeout))

    def reload(self, models: Sequence[ServedModel], *, timeout: float | None = None) -> None:
        """Have the server serve these models and nothing else; returns when it does.

        Raises:
            ServingClientError: the call is wrong, or failed, or a model cannot be loaded.
        """
        request = model_management_pb2.ReloadConfigRequest(config=requests.config_of(models))
        response = self._call(MODEL_SERVICE, "HandleReloadConfigRequest", request, timeout)
        self._signatures.clear()
        if response.status.error_code:
            code = code_name(response.status.error_code)
            raise from_status(code, response.status.error_message)

    def close(self) -> None:
        """End the connection; calls that are under way are cancelled."""
        self._caller.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _bound(self, timeout: float | None) -> float | None:
        return self._timeout if timeout is None else timeout

    def _countdown(self, timeout: float | None) -> Countdown:
        """How many seconds are left, from now on."""
        bound = self._bound(timeout)
        if bound is None:
            return lambda: None
        give_up_at = time.monotonic() + bound
        return lambda: max(0.0, give_up_at - time.monotonic())

    def _call(self, service: str, method: str, request: Any, timeout: float | None) -> Any:
        return self._caller.call(service, method, request, self._bound(timeout))

    def _predict(
        self, request: inference_pb2.PredictRequest, left: Countdown
    ) -> inference_pb2.PredictResponse:
        response: inference_pb2.PredictResponse = self._caller.call(
            PREDICTION_SERVICE, "Predict", request, left()
        )
        return response

    async def _predict_async(
        self, question: _Question, known: ModelMetadata | None, left: Countdown
    ) -> inference_pb2.PredictResponse:
        request = await asyncio.to_thread(self._request, question, known)
        response: inference_pb2.PredictResponse = await self._caller.call_async(
            PREDICTION_SERVICE, "Predict", request, left()
        )
        return response

    def _fetch_metadata(
        self, spec: inference_pb2.ModelSpec, timeout: float | None
    ) -> ModelMetadata:
        request = inference_pb2.GetModelMetadataRequest(
            model_spec=spec, metadata_field=["signature_def"]
        )
        request.model_spec.signature_name = ""
        return metadata_of(
            self._caller.call(PREDICTION_SERVICE, "GetModelMetadata", request, timeout)
        )

    def _known(self, question: _Question, left: Countdown) -> ModelMetadata | None:
        return self._signatures.get(question.spec, left()) if self._cast else None

    def _changed(
        self, question: _Question, known: ModelMetadata | None, left: Countdown
    ) -> ModelMetadata | None:
        """The signatures as they are now, where they are others than those a call was made with."""
        return None if known is None else self._signatures.changed(question.spec, known, left())

    def _request(
        self, question: _Question, known: ModelMetadata | None
    ) -> inference_pb2.PredictRequest:
        spec, inputs, outputs = question
        signature = None if known is None else requests.signature_of(known, spec.signature_name)
        return requests.predict_request(spec, inputs, outputs, signature)

    def _answer(
        self, question: _Question, response: inference_pb2.PredictResponse
    ) -> dict[str, Array]:
        self._signatures.answered(question.spec, response.model_spec.version.value)
        return requests.arrays_of(response, _MAX_FILLED)


def _question(
    model: str,
    inputs: Any,
    version: int | None,
    label: str | None,
    signature: str | None,
    outputs: Iterable[str] | None,
) -> _Question:
    spec = requests.model_spec(model, version, label, signature)
    return _Question(spec, inputs, None if outputs is None else tuple(outputs))
