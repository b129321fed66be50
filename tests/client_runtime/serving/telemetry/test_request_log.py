"""Request logs: what is sampled, written, rotated, dropped; and that it can be replayed."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from accel_protocol.errors import Status
from client_runtime.serving.events import Configured, Event, RequestEnded, RequestLogged
from client_runtime.serving.statuses import ServingError
from client_runtime.serving.telemetry.log_files import LogFiles
from client_runtime.serving.telemetry.request_log import RequestLog
from client_runtime.serving.telemetry.request_log_settings import LogSettings, settings_of
from client_runtime.serving_wire import inference_pb2, model_management_pb2, prediction_log_pb2
from client_runtime.serving_wire.records import read_records
from tests.client_runtime.serving.telemetry.events_of_a_day import (
    GRPC,
    predict_request,
    predict_response,
    request_ended,
)
from tests.conftest import eventually


def _model(
    prefix: str, rate: float = 1.0, *, name: str = "half", kind: str = "file"
) -> model_management_pb2.ModelConfig:
    model = model_management_pb2.ModelConfig(name=name)
    model.logging_config.log_collector_config.type = kind
    model.logging_config.log_collector_config.filename_prefix = prefix
    model.logging_config.sampling_config.sampling_rate = rate
    return model


def _configured(*models: model_management_pb2.ModelConfig) -> Configured:
    config = model_management_pb2.ModelServerConfig()
    config.model_config_list.config.extend(models)
    return Configured(config)


def _records(folder: Path) -> list[prediction_log_pb2.PredictionLog]:
    found = []
    for path in sorted(folder.glob("*.tfrecord")):
        with path.open("rb") as stream:
            for data in read_records(stream):
                found.append(prediction_log_pb2.PredictionLog.FromString(data))
    return found


def test_a_logged_request_reads_back(tmp_path: Path) -> None:
    """Request, answer, which version answered, and when; readable for its owner alone."""
    told: list[Event] = []
    log = RequestLog(told.append)
    log.observe(_configured(_model(f"{tmp_path}/half")))
    log.observe(request_ended())
    log.close()
    (path,) = tmp_path.iterdir()
    assert path.name.startswith("half-2")
    assert f"-{os.getpid()}-0.tfrecord" in path.name
    assert path.stat().st_mode & 0o777 == 0o600
    (record,) = _records(tmp_path)
    assert record.predict_log.request == predict_request()
    assert record.predict_log.response == predict_response()
    metadata = record.log_metadata
    assert metadata.model_spec.version.value == 3
    assert metadata.model_spec.signature_name == "serving_default"
    assert metadata.sampling_config.sampling_rate == 1.0
    assert metadata.timestamp_secs > 1_600_000_000
    assert told == [RequestLogged("half", None)]


@pytest.mark.parametrize(
    ("api", "request_type", "part"),
    [
        ("Classify", inference_pb2.ClassificationRequest, "classify_log"),
        ("regress", inference_pb2.RegressionRequest, "regress_log"),
        ("MultiInference", inference_pb2.MultiInferenceRequest, "multi_inference_log"),
    ],
)
def test_each_api_has_its_part(
    tmp_path: Path, api: str, request_type: Callable[[], Any], part: str
) -> None:
    """By both doors' names, where warm-up looks for it."""
    log = RequestLog()
    log.observe(_configured(_model(f"{tmp_path}/half")))
    response = getattr(inference_pb2, request_type.__name__.replace("Request", "Response"))()
    log.observe(
        request_ended(caller=replace(GRPC, api=api), request=request_type(), response=response)
    )
    log.close()
    (record,) = _records(tmp_path)
    assert record.WhichOneof("log_type") == part


@pytest.mark.parametrize(
    "event",
    [
        request_ended(status=Status.NOT_FOUND, response=None),
        request_ended(model="other"),
        request_ended(caller=replace(GRPC, api="SessionRun")),
        request_ended(caller=replace(GRPC, api="GetModelMetadata")),
    ],
)
def test_what_is_not_logged(tmp_path: Path, event: RequestEnded) -> None:
    """Failures, models without a log, and what warm-up could not replay."""
    log = RequestLog()
    log.observe(_configured(_model(f"{tmp_path}/half")))
    log.observe(event)
    log.observe(request_ended(request=predict_request(x=9)))
    log.close()
    (record,) = _records(tmp_path)
    assert record.predict_log.request == predict_request(x=9)


def test_a_share_of_the_requests_is_sampled(tmp_path: Path) -> None:
    """The same one for the same seed."""
    counts = []
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        log = RequestLog(seed=7)
        log.observe(_configured(_model(f"{folder}/half", 0.25)))
        for _ in range(400):
            log.observe(request_ended())
        log.close()
        counts.append(len(_records(folder)))
    assert counts[0] == counts[1]
    assert 60 < counts[0] < 140


def test_files_are_followed_by_others(tmp_path: Path) -> None:
    """None is larger than the bound; no record is lost or cut."""
    log = RequestLog(max_file_bytes=400)
    log.observe(_configured(_model(f"{tmp_path}/half")))
    for x in range(12):
        log.observe(request_ended(request=predict_request(x=x)))
    log.close()
    sizes = [path.stat().st_size for path in tmp_path.iterdir()]
    assert len(sizes) > 2
    assert max(sizes) <= 400
    values = {record.predict_log.request.inputs["x"].float_val[0] for record in _records(tmp_path)}
    assert values == set(range(12))


@pytest.mark.parametrize(
    ("bounds", "kept"),
    [
        ({"max_waiting": 3}, 3),
        ({"max_waiting_bytes": 2 * (predict_request().ByteSize() + 200)}, None),
    ],
)
def test_a_log_that_is_behind_drops_and_does_not_wait(
    tmp_path: Path, bounds: dict[str, int], kept: int | None
) -> None:
    """By number and by bytes; what was dropped is told."""
    told: list[Event] = []
    let_go = threading.Event()

    def observer(event: Event) -> None:
        told.append(event)
        if threading.current_thread().name == "request-log":
            let_go.wait()

    log = RequestLog(observer, **bounds)
    log.observe(_configured(_model(f"{tmp_path}/half")))
    for _ in range(20):
        log.observe(request_ended())
    dropped = [one for one in told if one == RequestLogged("half", Status.RESOURCE_EXHAUSTED)]
    let_go.set()
    log.close()
    written = _records(tmp_path)
    assert len(written) + len(dropped) == 20
    assert 0 < len(written) < 20
    assert kept is None or len(written) == kept


def test_a_log_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """And the log goes on once it can."""
    told: list[Event] = []
    log = RequestLog(told.append)
    log.observe(_configured(_model(f"{tmp_path}/later/half")))
    log.observe(request_ended())
    eventually(lambda: told == [RequestLogged("half", Status.INTERNAL)])
    (tmp_path / "later").mkdir()
    log.observe(request_ended())
    log.close()
    assert told[1:] == [RequestLogged("half", None)]
    assert len(_records(tmp_path / "later")) == 1


@pytest.mark.parametrize("room", [20, 0])
def test_a_full_disk_leaves_no_part_of_a_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    """What was written before it stays whole."""
    files = LogFiles(tmp_path / "half", 1 << 20)
    files.append(b"first")

    def full(file: int, data: memoryview) -> int:
        if room == 0 or len(data) < 36:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, data[:room])

    write = os.write
    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        files.append(b"x" * 20)
    monkeypatch.undo()
    files.append(b"third")
    files.close()
    found = []
    for path in sorted(tmp_path.iterdir()):
        with path.open("rb") as stream:
            found.append(list(read_records(stream)))
    assert found == [[b"first"], [b"third"]]


def test_old_files_are_removed(tmp_path: Path) -> None:
    """The newest are kept, by time, process and number; files of other logs are left alone."""
    old = [f"half-20250101T000000Z-9-{number}.tfrecord" for number in (2, 10)]
    others = ["half-life-20250101T000000Z-9-1.tfrecord", "half-notes.tfrecord"]
    for name in [*old, *others]:
        (tmp_path / name).touch()
    files = LogFiles(tmp_path / "half", 10, max_files=2)
    files.append(b"first")
    assert not (tmp_path / old[0]).exists()
    assert (tmp_path / old[1]).exists()
    files.append(b"second")
    files.append(b"third")
    files.close()
    kept = {path.name for path in tmp_path.iterdir()} - set(others)
    assert len(kept) == 2
    assert {name.rpartition("-")[2] for name in kept} == {"1.tfrecord", "2.tfrecord"}
    assert all((tmp_path / name).exists() for name in others)


def test_a_new_configuration_ends_a_log(tmp_path: Path) -> None:
    """Its model is not logged any more."""
    log = RequestLog()
    log.observe(_configured(_model(f"{tmp_path}/half")))
    log.observe(_configured(model_management_pb2.ModelConfig(name="half")))
    log.observe(request_ended())
    log.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("model", "folder", "expected"),
    [
        (model_management_pb2.ModelConfig(name="half"), None, None),
        (_model("/logs/half", 0.5), None, LogSettings(Path("/logs/half"), 0.5)),
        (_model("half", kind=""), Path("/logs"), LogSettings(Path("/logs/half"), 1.0)),
        (_model("/logs/a/half"), Path("/logs"), LogSettings(Path("/logs/a/half"), 1.0)),
    ],
)
def test_settings(
    model: model_management_pb2.ModelConfig, folder: Path | None, expected: LogSettings | None
) -> None:
    """What configurations ask for."""
    assert settings_of(model, folder) == expected


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (_model("/l", kind="cloud"), "unsupported log collector cloud"),
        (_model(""), "without a filename_prefix"),
        (_model("/logs/"), "without a filename_prefix"),
        (_model("a\0b"), "without a filename_prefix"),
        (_model("/l", 1.5), "sampling_rate 1.5"),
        (_model("/l", float("nan")), "sampling_rate nan"),
        (_model("/etc/half"), "outside of the folder"),
        (_model("a/../../half"), "outside of the folder"),
    ],
)
def test_settings_that_cannot_be(model: model_management_pb2.ModelConfig, message: str) -> None:
    """Each names the model."""
    with pytest.raises(ServingError, match=f"Model half requests .*{message}") as caught:
        settings_of(model, Path("/logs"))
    assert caught.value.status == Status.INVALID_ARGUMENT
