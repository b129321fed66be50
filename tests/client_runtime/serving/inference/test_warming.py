"""Warm-up files, and what follows when a version's graphs are loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format

from accel_protocol.errors import Status
from accel_protocol.tensors import Array
from client_runtime.serving.events import WarmedUp
from client_runtime.serving.inference.engine import Ran
from client_runtime.serving.inference.finishing import Finisher
from client_runtime.serving.inference.options import InferenceOptions
from client_runtime.serving.servable import Bounds, ServableId
from client_runtime.serving.statuses import ServingError
from client_runtime.serving_wire.prediction_log_pb2 import PredictionLog
from client_runtime.serving_wire.records import write_record
from client_runtime.serving_wire.server_config_pb2 import BatchingParameters
from tests.client_runtime.serving.inference import messages
from tests.client_runtime.serving.inference.messages import FLOAT, STRING

BATCHING = text_format.Parse(
    "max_batch_size { value: 4 } allowed_batch_sizes: 2 allowed_batch_sizes: 4",
    BatchingParameters(),
)
SIGNATURES = {
    "serving_default": messages.signature({"x": FLOAT}, {"y": FLOAT}),
    "classify": messages.signature({"inputs": STRING}, {"scores": FLOAT}),
    "regress": messages.signature({"inputs": STRING}, {"outputs": FLOAT}),
}


class Rows:
    """An engine that answers a row of one for each row; refuses numbers below zero."""

    def __init__(self) -> None:
        self.ran: list[tuple[str, int]] = []
        self.closed = False

    def run(self, signature: str, feeds: Mapping[str, Array], bounds: Bounds) -> Ran:
        """See `Engine.run`."""
        (fed,) = feeds.values()
        if fed.dtype != object and np.any(fed < 0):  # type: ignore[operator]
            raise ServingError(Status.INVALID_ARGUMENT, "below zero")
        self.ran.append((signature, len(fed)))
        (alias,) = SIGNATURES[signature].outputs
        shape = (len(fed), 1) if alias == "scores" else (len(fed),)
        return Ran({alias: np.ones(shape, np.float32)}, 0.0, 0.0)

    def run_tensors(
        self, feeds: Mapping[str, Array], fetches: Sequence[str], bounds: Bounds
    ) -> Ran:
        """See `Engine.run_tensors`; not of use here."""
        raise NotImplementedError

    def close(self) -> None:
        """See `Engine.close`."""
        self.closed = True


def predict_log(*values: float) -> PredictionLog:
    """Of a Predict request."""
    log = PredictionLog()
    log.predict_log.request.CopyFrom(messages.predict({"x": list(values)}))
    return log


def example_logs() -> list[PredictionLog]:
    """Of the requests that have two examples, each method once."""
    classify, regress, both = PredictionLog(), PredictionLog(), PredictionLog()
    two = messages.examples(1.0, 2.0)
    classify.classify_log.request.model_spec.signature_name = "classify"
    regress.regress_log.request.model_spec.signature_name = "regress"
    for request in (classify.classify_log.request, regress.regress_log.request):
        request.input.CopyFrom(two)
    request = both.multi_inference_log.request
    request.input.CopyFrom(two)
    for key in ("classify", "regress"):
        task = request.tasks.add(method_name=f"tensorflow/serving/{key}")
        task.model_spec.name, task.model_spec.signature_name = "m", key
    return [classify, regress, both]


def write(folder: Path, records: Sequence[bytes]) -> None:
    """Make a version's warm-up file."""
    (folder / "assets.extra").mkdir()
    with (folder / "assets.extra" / "tf_serving_warmup_requests").open("wb") as stream:
        for record in records:
            write_record(stream, record)


def finish(folder: Path, engine: Rows, **options: Any) -> Any:
    """The servable of a version whose graphs are loaded."""
    finisher = Finisher(InferenceOptions(**options))
    return finisher.finish(ServableId("m", 1), folder, SIGNATURES, {}, engine, Bounds())


def test_every_kind_of_request_is_run(tmp_path: Path) -> None:
    """In the file's order, as often as the option says; records of nothing are passed over."""
    logs = [predict_log(1.0, 2.0, 3.0), PredictionLog(), *example_logs()]
    write(tmp_path, [log.SerializeToString() for log in logs])
    engine, events = Rows(), list[Any]()
    finish(tmp_path, engine, warm_up_iterations=2, observer=events.append)
    expected = [("serving_default", 3)] * 2 + [("classify", 2)] * 2 + [("regress", 2)] * 2
    assert engine.ran == expected + [("classify", 2), ("regress", 2)] * 2
    (warmed,) = [one for one in events if isinstance(one, WarmedUp)]
    assert (warmed.records, warmed.status, warmed.path) == (5, None, str(tmp_path))


@pytest.mark.parametrize("options", [{"warm_up": False}, {}])
def test_nothing_is_run_that_is_not_there_or_not_wanted(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    """Without the file, or with warm-up off."""
    if options:
        write(tmp_path, [predict_log(-1.0).SerializeToString()])
    engine = Rows()
    finish(tmp_path, engine, **options)
    assert (engine.ran, engine.closed) == ([], False)


def session_run_log() -> bytes:
    """Of a request that no warm-up runs."""
    log = PredictionLog()
    log.session_run_log.request.fetch.append("y")
    return log.SerializeToString()


@pytest.mark.parametrize(
    ("records", "status", "text"),
    [
        ([predict_log(-1.0).SerializeToString()], Status.INVALID_ARGUMENT, "below zero"),
        ([b"\xff"], Status.INVALID_ARGUMENT, "Failed to parse warmup record: 0 from "),
        ([session_run_log()], Status.UNIMPLEMENTED, "Unsupported log_type for warmup"),
        (
            [b""] * 1001,
            Status.INVALID_ARGUMENT,
            "Number of warmup records exceeds the maximum (1000) at ",
        ),
    ],
)
def test_a_record_that_fails_fails_the_load(
    tmp_path: Path, records: list[bytes], status: Status, text: str
) -> None:
    """And frees what was loaded."""
    write(tmp_path, records)
    engine = Rows()
    with pytest.raises(ServingError) as caught:
        finish(tmp_path, engine)
    assert (caught.value.status, text in caught.value.message) == (status, True)
    assert engine.closed


def test_a_file_of_another_kind_fails_the_load(tmp_path: Path) -> None:
    """It says what it should have been."""
    write(tmp_path, [])
    (tmp_path / "assets.extra" / "tf_serving_warmup_requests").write_bytes(b"no records at all")
    with pytest.raises(ServingError, match="verify your warmup data is in TFRecord format"):
        finish(tmp_path, Rows())


def test_a_thousand_records_are_not_too_many(tmp_path: Path) -> None:
    """The bound itself is allowed."""
    write(tmp_path, [b""] * 1000)
    assert not finish(tmp_path, Rows()).signatures.keys() ^ SIGNATURES


def test_every_size_that_will_run_has_run(tmp_path: Path) -> None:
    """Where batches are padded: with a row of the warm-up requests, or with zeros."""
    write(tmp_path, [one.SerializeToString() for one in example_logs()[:1]])
    engine = Rows()
    signature = SIGNATURES["serving_default"].inputs["x"].tensor_shape
    signature.dim.add(size=-1)
    try:
        finish(tmp_path, engine, batching=BATCHING)
    finally:
        del signature.dim[:]
    assert engine.ran == [
        ("classify", 2),
        ("serving_default", 2),
        ("serving_default", 4),
        ("classify", 2),
        ("classify", 4),
    ]


def test_a_versions_own_parameters_count_where_that_is_wanted(tmp_path: Path) -> None:
    """A folder without them is not batched; then nothing is too large."""
    eight = {"x": np.zeros(8, np.float32)}
    options = {"batching": BATCHING, "batching_per_model": True}
    assert (
        len(finish(tmp_path, Rows(), **options).run("serving_default", eight, Bounds())["y"]) == 8
    )
    (tmp_path / "batching_params.pbtxt").write_text("max_batch_size { value: 7 }")
    with pytest.raises(ServingError, match="Task size 8 is larger than maximum input batch size 7"):
        finish(tmp_path, Rows(), **options).run("serving_default", eight, Bounds())
    with pytest.raises(ServingError, match="Task size 8 is larger than maximum input batch size 4"):
        finish(tmp_path, Rows(), batching=BATCHING).run("serving_default", eight, Bounds())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_batch_size: what", "Invalid protobuf file: "),
        ("allowed_batch_sizes: 2", "Last entry in allowed_batch_sizes must match max_batch_size"),
    ],
)
def test_wrong_parameters_fail_the_load(tmp_path: Path, text: str, message: str) -> None:
    """And free what was loaded."""
    (tmp_path / "batching_params.pbtxt").write_text(text)
    engine = Rows()
    with pytest.raises(ServingError, match=message):
        finish(tmp_path, engine, batching_per_model=True)
    assert engine.closed
