"""All observers together."""

from __future__ import annotations

from pathlib import Path

from client_runtime.serving.events import Configured
from client_runtime.serving.telemetry.assembly import assemble
from client_runtime.serving_wire import model_management_pb2
from tests.client_runtime.serving.telemetry.events_of_a_day import request_ended


def test_every_observer_hears_of_a_request(tmp_path: Path) -> None:
    """It is counted, written to both logs, and the log's record is counted too."""
    config = model_management_pb2.ModelServerConfig()
    model = config.model_config_list.config.add(name="half")
    model.logging_config.log_collector_config.filename_prefix = "half"
    model.logging_config.sampling_config.sampling_rate = 1.0
    lines: list[str] = []
    telemetry = assemble(write_access=lines.append, request_log_folder=tmp_path)
    assert telemetry.profiler is not None
    telemetry.observe(Configured(config))
    telemetry.observe(request_ended())
    telemetry.close()
    assert len(lines) == 1
    assert len(list(tmp_path.iterdir())) == 1
    assert telemetry.metrics.counter("/tensorflow/serving/request_count") == 1
    assert telemetry.metrics.counter("/tensorflow/serving/request_log_count") == 1


def test_what_is_not_wanted_is_not_there() -> None:
    """Metrics are counted in any case."""
    telemetry = assemble(with_profiler=False)
    telemetry.observe(request_ended())
    telemetry.close()
    assert telemetry.profiler is None
    assert telemetry.metrics.counter("/tensorflow/serving/request_count") == 1
