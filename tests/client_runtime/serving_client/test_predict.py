"""Prediction against a real gRPC server: what is sent, what comes back, and how it fails."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import pytest

from client_runtime.serving_client import (
    DeadlineError,
    NotFoundError,
    RequestError,
    ServerFaultError,
    ServingClient,
    UnavailableError,
)
from client_runtime.serving_wire import inference_pb2
from tests.client_runtime.serving_client.conftest import FakeServing, describe, echo
from tests.conftest import eventually, patience


def test_a_list_is_cast_to_the_models_dtype(client: ServingClient, serving: FakeServing) -> None:
    """The only input needs no name."""
    answer = client.predict("m", [1, 2.5])

    assert answer["x"].dtype == np.float32
    assert answer["x"].tolist() == [1.0, 2.5]
    assert serving.requests[-1][1].model_spec.name == "m"


def test_signatures_are_asked_for_once(client: ServingClient, serving: FakeServing) -> None:
    """And then for each other way to name a version."""
    for _ in range(3):
        client.predict("m", {"x": [1]})
    client.predict("m", {"x": [1]}, label="stable")

    assert serving.asked() == ["GetModelMetadata", *["Predict"] * 3, "GetModelMetadata", "Predict"]


def test_another_version_is_asked_about_anew(client: ServingClient, serving: FakeServing) -> None:
    """Once one answers that is not the one whose signatures are known."""
    client.predict("m", [1])
    serving.handlers["GetModelMetadata"] = lambda *_: describe(2, serving_default={"x": (3, [-1])})
    serving.handlers["Predict"] = echo(2)

    assert client.predict("m", [1])["x"].dtype == np.float32
    assert client.predict("m", [1])["x"].dtype == np.int32


def refuse_floats(request: Any, context: Any) -> inference_pb2.PredictResponse:
    """A model whose new version wants integers."""
    if request.inputs["x"].dtype != 3:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "Expects arg[0] to be int32")
    return echo(2)(request, context)


@pytest.mark.parametrize("as_task", [False, True])
def test_a_call_is_repeated_when_the_signature_has_changed(
    client: ServingClient, serving: FakeServing, as_task: bool
) -> None:
    """A version that is swapped between two calls does not fail the second."""
    client.predict("m", [1])
    serving.handlers["GetModelMetadata"] = lambda *_: describe(2, serving_default={"x": (3, [-1])})
    serving.handlers["Predict"] = refuse_floats

    answer = asyncio.run(client.predict_async("m", [1])) if as_task else client.predict("m", [1])

    assert answer["x"].dtype == np.int32


def test_a_refused_call_is_not_repeated(client: ServingClient, serving: FakeServing) -> None:
    """When the signature is the same as before."""
    serving.handlers["Predict"] = lambda _, context: context.abort(
        grpc.StatusCode.INVALID_ARGUMENT, "no"
    )
    with pytest.raises(RequestError, match="no"):
        client.predict("m", [1])
    assert serving.asked().count("Predict") == 1


def test_without_casting_arrays_are_sent_as_they_are(serving: FakeServing) -> None:
    """And nothing is asked before."""
    with ServingClient(serving.address, cast=False) as client:
        assert client.predict("m", {"x": np.array([1])})["x"].dtype == np.int64
        with pytest.raises(RequestError, match="mapping"):
            client.predict("m", [1])
    assert serving.asked() == ["Predict"]


def test_version_signature_and_outputs_are_sent(
    client: ServingClient, serving: FakeServing
) -> None:
    """As the request's fields of these names."""
    serving.handlers["GetModelMetadata"] = lambda *_: describe(other={"x": (1, [])})
    client.predict("m", 1, version=7, signature="other", outputs=["y"])

    metadata, predict = (request for _, request in serving.requests)
    assert predict.model_spec.version.value == metadata.model_spec.version.value == 7
    assert predict.model_spec.signature_name == "other"
    assert predict.output_filter == ["y"]


def test_what_does_not_fit_the_signature_is_not_sent(
    client: ServingClient, serving: FakeServing
) -> None:
    """Neither values of another kind, nor a signature that there is not."""
    with pytest.raises(RequestError, match="float32"):
        client.predict("m", ["text"])
    with pytest.raises(RequestError, match="serving_default"):
        client.predict("m", [1], signature="nothing")
    assert "Predict" not in serving.asked()


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (grpc.StatusCode.NOT_FOUND, NotFoundError),
        (grpc.StatusCode.UNAVAILABLE, UnavailableError),
        (grpc.StatusCode.INTERNAL, ServerFaultError),
    ],
)
def test_errors_carry_status_and_message(
    client: ServingClient, serving: FakeServing, code: grpc.StatusCode, expected: type[Exception]
) -> None:
    """In the server's words."""
    serving.handlers["Predict"] = lambda _, context: context.abort(code, "in its words")
    with pytest.raises(expected, match="in its words") as caught:
        client.predict("m", [1])
    assert caught.value.status == code.name  # type: ignore[attr-defined]


def wait_for_release(serving: FakeServing) -> Any:
    """A handler that answers when the test ends."""

    def answer(request: Any, context: Any) -> Any:
        serving.released.wait(patience(120))
        return echo()(request, context)

    return answer


def test_a_call_ends_in_time(client: ServingClient, serving: FakeServing) -> None:
    """Asking for the signature counts, and so does the client's own time-out."""
    client.predict("m", [1])
    serving.handlers["Predict"] = serving.handlers["GetModelMetadata"] = wait_for_release(serving)
    with pytest.raises(DeadlineError):
        client.predict("m", [1], timeout=0.2)
    with (
        ServingClient(serving.address, timeout=0.2) as impatient,
        pytest.raises(TimeoutError),
    ):
        impatient.predict("m", [1])


def test_a_server_that_is_not_there_is_unavailable() -> None:
    """At once, not after the time-out."""
    with ServingClient("127.0.0.1:1") as client, pytest.raises(UnavailableError):
        client.predict("m", [1])


def test_a_closed_client_says_so(serving: FakeServing) -> None:
    """Closing twice does no harm."""
    client = ServingClient(serving.address)
    client.close()
    client.close()
    with pytest.raises(RequestError, match="closed"):
        client.predict("m", [1])
    with pytest.raises(RequestError, match="closed"):
        asyncio.run(client.predict_async("m", [1]))


def test_messages_may_be_large(client: ServingClient) -> None:
    """Above gRPC's usual 4 MiB, both ways."""
    value = np.zeros((2048, 1024), np.float32)
    assert client.predict("m", value)["x"].nbytes == 8 << 20


def test_messages_have_a_bound_on_request(serving: FakeServing) -> None:
    """Going over it is the caller's error, and will not pass later."""
    with ServingClient(serving.address, max_message_bytes=10_000) as client:
        client.predict("m", np.zeros(100))
        with pytest.raises(RequestError, match="larger than max"):
            client.predict("m", np.zeros(10_000))


def test_an_answer_that_is_no_tensor_is_the_servers_fault(
    client: ServingClient, serving: FakeServing
) -> None:
    """It never raises anything else."""
    broken = inference_pb2.PredictResponse()
    broken.outputs["y"].dtype = 1
    broken.outputs["y"].tensor_shape.dim.add(size=-5)
    serving.handlers["Predict"] = lambda *_: broken
    with pytest.raises(ServerFaultError, match="negative"):
        client.predict("m", [1])


def test_threads_share_a_client(client: ServingClient) -> None:
    """Each gets its own answer."""
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda n: client.predict("m", [n])["x"].tolist(), range(64)))
    assert answers == [[n] for n in range(64)]


def test_predict_async_answers_alike(client: ServingClient) -> None:
    """Many at once, and errors too."""

    async def ask() -> list[Any]:
        calls = [client.predict_async("m", [n]) for n in range(20)]
        return await asyncio.gather(*calls, client.predict_async("m", "x"), return_exceptions=True)

    *answers, refused = asyncio.run(ask())
    assert [answer["x"].tolist() for answer in answers] == [[n] for n in range(20)]
    assert isinstance(refused, RequestError)


def test_cancelling_the_task_cancels_the_call(client: ServingClient, serving: FakeServing) -> None:
    """The server sees it."""
    gone: list[Any] = []

    def hang(request: Any, context: Any) -> Any:
        context.add_callback(lambda: gone.append(context.is_active()))
        return wait_for_release(serving)(request, context)

    serving.handlers["Predict"] = hang

    async def cancel() -> None:
        task = asyncio.create_task(client.predict_async("m", [1]))
        while "Predict" not in serving.asked():
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    asyncio.run(asyncio.wait_for(cancel(), patience(30)))
    assert eventually(lambda: gone, 10) == [False]
