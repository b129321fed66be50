"""What the metrics say after events."""

from __future__ import annotations

from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from accel_protocol.errors import Status
from client_runtime.serving.events import (
    Configured,
    Event,
    RequestBegan,
    RequestLogged,
    RequestRefused,
    WarmedUp,
)
from client_runtime.serving.servable import Caller, ServableId
from client_runtime.serving.telemetry import metrics as metrics_module
from client_runtime.serving.telemetry.metrics import DEFAULT_PATH, OTHER, Metrics, metrics_path
from client_runtime.serving_wire import inference_pb2, model_management_pb2, server_config_pb2
from tests.client_runtime.serving.telemetry.events_of_a_day import (
    GRPC,
    HALF,
    batch_ended,
    request_ended,
    run_ended,
    version_changed,
)

LOADED = version_changed("AVAILABLE", load_seconds=1.5, weight_bytes=4096)


def _after(*events: Event) -> list[str]:
    metrics = Metrics()
    for event in events:
        metrics.observe(event)
    return metrics.exposition().decode().splitlines()


def _samples(lines: list[str], name: str) -> list[str]:
    """The samples of one name that are not 0; buckets only where a value fell into."""
    chosen = [line for line in lines if line.startswith((f"{name}{{", f"{name}_"))]
    return [line for line in chosen if "_bucket" not in line and not line.endswith(" 0")]


@pytest.mark.parametrize(
    ("event", "name", "samples"),
    [
        (
            request_ended(),
            ":tensorflow:serving:request_count",
            [':tensorflow:serving:request_count{model_name="half",status="OK"} 1'],
        ),
        (
            request_ended(),
            ":tensorflow:serving:request_latency",
            [
                ':tensorflow:serving:request_latency_sum{model_name="half",API="Predict",'
                'entrypoint="GRPC"} 2000',
                ':tensorflow:serving:request_latency_count{model_name="half",API="Predict",'
                'entrypoint="GRPC"} 1',
            ],
        ),
        (
            request_ended(status=Status.INVALID_ARGUMENT, response=None),
            ":tensorflow:serving:request_count",
            [':tensorflow:serving:request_count{model_name="half",status="INVALID_ARGUMENT"} 1'],
        ),
        (
            request_ended(status=Status.INVALID_ARGUMENT, response=None),
            ":tensorflow:serving:request_latency",
            [],
        ),
        (
            request_ended(caller=replace(GRPC, api="GetModelMetadata")),
            ":tensorflow:serving:request_count",
            [],
        ),
        (
            request_ended(caller=Caller(door="REST"), model="", status=Status.INVALID_ARGUMENT),
            ":tensorflow:serving:request_count",
            [':tensorflow:serving:request_count{model_name="",status="INVALID_ARGUMENT"} 1'],
        ),
        (
            request_ended(caller=Caller(door="REST", api="status")),
            ":tensorflow:serving:request_count",
            [],
        ),
        (
            run_ended(caller=Caller(door="REST", api="predict")),
            ":tensorflow:serving:runtime_latency",
            [
                ':tensorflow:serving:runtime_latency_sum{model_name="half",API="Predict",'
                'runtime="TF1"} 1000',
                ':tensorflow:serving:runtime_latency_count{model_name="half",API="Predict",'
                'runtime="TF1"} 1',
            ],
        ),
        (run_ended(caller=Caller()), ":tensorflow:serving:runtime_latency", []),
        (run_ended(status=Status.INTERNAL), ":tensorflow:serving:runtime_latency", []),
        (
            run_ended(caller=Caller()),
            ":tensorflow:core:graph_run_time_usecs",
            [":tensorflow:core:graph_run_time_usecs{} 250"],
        ),
        (run_ended(), ":tensorflow:core:graph_runs", [":tensorflow:core:graph_runs{} 1"]),
        (
            batch_ended(),
            ":tensorflow:serving:batching_session:wrapped_run_count",
            [":tensorflow:serving:batching_session:wrapped_run_count{} 1"],
        ),
        (
            batch_ended(),
            ":tensorflow:serving:batching_session:padding_size",
            [
                ':tensorflow:serving:batching_session:padding_size_sum{execution_batch_size="4"} 1',
                ":tensorflow:serving:batching_session:padding_size_count"
                '{execution_batch_size="4"} 1',
            ],
        ),
        (
            batch_ended(),
            ":tensorflow:serving:batching_session:queuing_latency",
            [
                ":tensorflow:serving:batching_session:queuing_latency_sum"
                '{thread_pool_name="batch_threads"} 300',
                ":tensorflow:serving:batching_session:queuing_latency_count"
                '{thread_pool_name="batch_threads"} 2',
            ],
        ),
        (
            batch_ended(),
            ":tensorflow:serving:batching_session:input_batch_size",
            [
                ":tensorflow:serving:batching_session:input_batch_size_sum{} 3",
                ":tensorflow:serving:batching_session:input_batch_size_count{} 2",
            ],
        ),
        (
            batch_ended(),
            ":tensorflow:serving:batching_session:processed_batch_size",
            [
                ":tensorflow:serving:batching_session:processed_batch_size_sum{} 4",
                ":tensorflow:serving:batching_session:processed_batch_size_count{} 1",
            ],
        ),
        (
            LOADED,
            ":tensorflow:cc:saved_model:load_attempt_count",
            [
                ":tensorflow:cc:saved_model:load_attempt_count"
                '{model_path="/models/half/3",status="success"} 1'
            ],
        ),
        (
            LOADED,
            ":tensorflow:cc:saved_model:load_latency",
            [':tensorflow:cc:saved_model:load_latency{model_path="/models/half/3"} 1500000'],
        ),
        (
            version_changed("END", error="broken", load_seconds=1.0),
            ":tensorflow:cc:saved_model:load_attempt_count",
            [
                ":tensorflow:cc:saved_model:load_attempt_count"
                '{model_path="/models/half/3",status="fail"} 1'
            ],
        ),
        (
            WarmedUp(HALF, "/models/half/3", 12, 0.5, None),
            ":tensorflow:serving:model_warmup_records_read",
            [
                ":tensorflow:serving:model_warmup_records_read"
                '{model_path="/models/half/3",status="OK"} 12'
            ],
        ),
        (
            WarmedUp(HALF, "/models/half/3", 12, 0.5, None),
            ":tensorflow:serving:model_warmup_latency",
            [
                ":tensorflow:serving:model_warmup_latency_sum"
                '{model_path="/models/half/3",status="OK"} 500000',
                ":tensorflow:serving:model_warmup_latency_count"
                '{model_path="/models/half/3",status="OK"} 1',
            ],
        ),
        (
            RequestLogged("half", None),
            ":tensorflow:serving:request_log_count",
            [':tensorflow:serving:request_log_count{model_name="half",status_code="OK"} 1'],
        ),
        (
            RequestRefused(Caller(door="REST"), "team-a", Status.RESOURCE_EXHAUSTED),
            "accel_serving_refused_total",
            ['accel_serving_refused_total{door="REST",key="team-a",status="RESOURCE_EXHAUSTED"} 1'],
        ),
        (
            LOADED,
            "accel_serving_version_state",
            ['accel_serving_version_state{model="half",version="3",state="AVAILABLE"} 1'],
        ),
        (
            LOADED,
            "accel_serving_load_seconds",
            ['accel_serving_load_seconds{model="half",version="3"} 1.5'],
        ),
        (
            LOADED,
            "accel_serving_weight_bytes",
            ['accel_serving_weight_bytes{model="half",version="3"} 4096'],
        ),
        (
            version_changed("END", error="broken", status=Status.NOT_FOUND, load_seconds=1.0),
            "accel_serving_loads_total",
            ['accel_serving_loads_total{model="half",status="NOT_FOUND"} 1'],
        ),
        (
            version_changed("END", error="broken", load_seconds=1.0),
            "accel_serving_version_state",
            ['accel_serving_version_state{model="half",version="3",state="END"} 1'],
        ),
    ],
)
def test_one_event_counts(event: Event, name: str, samples: list[str]) -> None:
    """Each kind of event in the metrics that are about it."""
    assert _samples(_after(event), name) == samples


def test_examples_of_multi_inference_are_counted() -> None:
    """By model, each and together."""
    request = inference_pb2.MultiInferenceRequest()
    for _ in range(3):
        request.input.example_list.examples.add()
    caller = replace(GRPC, api="MultiInference")
    lines = _after(request_ended(caller=caller, request=request))
    assert ':tensorflow:serving:request_example_count_total{model="half"} 3' in lines
    assert ':tensorflow:serving:request_example_counts_bucket{model="half",le="2"} 0' in lines
    assert ':tensorflow:serving:request_example_counts_bucket{model="half",le="4"} 1' in lines


def test_series_by_version_and_signature() -> None:
    """Requests, queues, computing and batches of a loaded version."""
    lines = _after(LOADED, run_ended(), batch_ended(), request_ended())
    of = 'model="half",version="3",signature="serving_default"'
    for sample in (
        f'accel_serving_requests_total{{{of},api="Predict",door="GRPC",status="OK"}} 1',
        f'accel_serving_request_seconds_sum{{{of},door="GRPC"}} 0.002',
        f"accel_serving_queue_seconds_sum{{{of}}} 0.0005",
        f"accel_serving_compute_seconds_sum{{{of}}} 0.00025",
        f"accel_serving_batch_rows_sum{{{of}}} 4",
        f"accel_serving_batch_requests_sum{{{of}}} 2",
        f"accel_serving_padded_rows_total{{{of}}} 1",
    ):
        assert sample in lines


def test_warm_ups_are_not_among_the_runs_of_a_signature() -> None:
    """Their first runs would stand out for as long as the version is loaded."""
    lines = _after(LOADED, run_ended(caller=Caller()))
    assert not [line for line in lines if line.startswith("accel_serving_compute_seconds_")]


def test_what_clients_call_a_signature_is_no_label() -> None:
    """One that never ran counts without its name."""
    refused = request_ended(status=Status.FAILED_PRECONDITION, signature="nonsense", response=None)
    lines = _after(LOADED, refused)
    assert (
        'accel_serving_requests_total{model="half",version="3",signature="",api="Predict",'
        'door="GRPC",status="FAILED_PRECONDITION"} 1' in lines
    )
    assert "nonsense" not in "\n".join(lines)


def test_names_that_are_not_served_are_labels_up_to_a_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After it, and above a length, they are one; served names stay themselves."""
    monkeypatch.setattr(metrics_module, "MOST_UNKNOWN_NAMES", 1)
    refusals = [
        request_ended(model=name, status=Status.NOT_FOUND, version=None, response=None)
        for name in ("x" * 101, "first", "second", "third", "first")
    ]
    assert _samples(
        _after(LOADED, *refusals, request_ended()), ":tensorflow:serving:request_count"
    )[:3] == [
        f':tensorflow:serving:request_count{{model_name="{OTHER}",status="NOT_FOUND"}} 3',
        ':tensorflow:serving:request_count{model_name="first",status="NOT_FOUND"} 2',
        ':tensorflow:serving:request_count{model_name="half",status="OK"} 1',
    ]


def test_names_of_the_configuration_are_served_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also before anything of them is loaded."""
    monkeypatch.setattr(metrics_module, "MOST_UNKNOWN_NAMES", 0)
    config = model_management_pb2.ModelServerConfig()
    config.model_config_list.config.add().name = "half"
    lines = _after(Configured(config), request_ended(status=Status.NOT_FOUND, response=None))
    assert ':tensorflow:serving:request_count{model_name="half",status="NOT_FOUND"} 1' in lines


def test_requests_are_in_flight_from_begin_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The label at the end is that of the beginning, whatever became known meanwhile."""
    monkeypatch.setattr(metrics_module, "MOST_UNKNOWN_NAMES", 0)
    name = "accel_serving_requests_in_flight"
    other, caller = replace(GRPC, request_id="r2"), replace(GRPC)
    began = [RequestBegan(caller, "half"), RequestBegan(other, "half")]
    assert _samples(_after(*began), name) == [f'{name}{{model="{OTHER}",door="GRPC"}} 2']
    lines = _after(*began, LOADED, request_ended(caller=caller))
    assert _samples(lines, name) == [f'{name}{{model="{OTHER}",door="GRPC"}} 1']


def test_a_version_is_in_one_state() -> None:
    """The last one."""
    lines = _after(version_changed("START"), version_changed("LOADING"), LOADED)
    name = "accel_serving_version_state"
    assert _samples(lines, name) == [f'{name}{{model="half",version="3",state="AVAILABLE"}} 1']


def test_an_unloaded_version_leaves_no_series_of_its_own() -> None:
    """And runs that end later bring none back; the server's totals stay."""
    other = version_changed("AVAILABLE", ServableId("half", 4), load_seconds=1.0)
    unloaded = version_changed("END")
    lines = _after(LOADED, other, run_ended(), request_ended(), unloaded, run_ended())
    own = [line for line in lines if line.startswith("accel_") and 'version="' in line]
    assert own
    assert not [line for line in own if 'version="3"' in line]
    assert ":tensorflow:core:graph_runs{} 2" in lines


def test_prometheus_reads_all_of_it() -> None:
    """Its own parser finds each family with its type, help and buckets."""
    metrics = Metrics()
    for event in (LOADED, run_ended(), batch_ended(), request_ended()):
        metrics.observe(event)
    families = {
        family.name: family
        for family in text_string_to_metric_families(metrics.exposition().decode())
    }
    for one in metrics.descriptions():
        # The parser takes this end off the names of counters.
        family = families[one.name.removesuffix("_total")]
        assert (family.type, family.documentation) == (one.kind, one.text)
    latency = families[":tensorflow:serving:request_latency"].samples
    assert len([sample for sample in latency if sample.name.endswith("_bucket")]) == 34


def test_a_name_that_is_no_text_breaks_nothing() -> None:
    """A path may be decoded to halves of surrogates."""
    lines = _after(request_ended(model="a\udc80", status=Status.NOT_FOUND, response=None))
    assert ':tensorflow:serving:request_count{model_name="a?",status="NOT_FOUND"} 1' in lines


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("/tensorflow/serving/request_count", 2),
        ("/tensorflow/serving/request_latency", 0),
        ("/tensorflow/serving/nothing", 0),
        (":tensorflow:core:graph_runs", 1),
    ],
)
def test_a_counter_by_its_original_name(name: str, value: int) -> None:
    """With all its labels together, as a reload may ask for."""
    metrics = Metrics()
    failed = request_ended(status=Status.INTERNAL, response=None)
    for event in (request_ended(), failed, run_ended()):
        metrics.observe(event)
    assert metrics.counter(name) == value


@pytest.mark.parametrize(
    ("enable", "path", "expected"),
    [(False, "", None), (False, "/m", None), (True, "", DEFAULT_PATH), (True, "/m", "/m")],
)
def test_where_the_metrics_are(enable: bool, path: str, expected: str | None) -> None:
    """Where the configuration says, if it says so at all."""
    config = server_config_pb2.MonitoringConfig()
    config.prometheus_config.enable, config.prometheus_config.path = enable, path
    assert metrics_path(config) == expected
