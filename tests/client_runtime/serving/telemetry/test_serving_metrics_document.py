"""docs/serving-metrics.md says what the code does."""

from __future__ import annotations

import json
import re

from client_runtime.serving.servable import Caller
from client_runtime.serving.telemetry import (
    metrics,
    profiler_service,
    profiling,
    request_log,
    series,
)
from client_runtime.serving.telemetry.access_log import LONGEST_MEMBER, ended
from client_runtime.serving.telemetry.metrics import DEFAULT_PATH, OTHER, Metrics
from tests.client_runtime.serving.telemetry.events_of_a_day import request_ended
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "serving-metrics.md").read_text()


def test_every_metric_is_documented_with_its_kind_and_labels() -> None:
    """And none that there is not."""
    rows = re.findall(r"^\| `([:a-z_]+)` \| (\w+) \| ([\w, ]*?) ?\|", PAGE, re.MULTILINE)
    listed = [(name, kind, tuple(filter(None, labels.split(", ")))) for name, kind, labels in rows]
    assert sorted(listed) == [(one.name, one.kind, one.labels) for one in Metrics().descriptions()]


def test_bounds_are_documented() -> None:
    """With their numbers."""
    text = " ".join(PAGE.split())
    for sentence in (
        f'path: "{DEFAULT_PATH}"',
        f"the first {metrics.MOST_UNKNOWN_NAMES} are labels; all others count as `{OTHER}`",
        f"{series.MOST_SERIES} series at most",
        f"next at {request_log.MOST_FILE_BYTES >> 20} MiB",
        f"at most {request_log.MOST_WAITING}, or {request_log.MOST_WAITING_BYTES >> 20} MiB, wait",
        f"cut to {LONGEST_MEMBER} characters",
        f"{profiler_service.LONGEST_SECONDS / 60:.0f} minutes at most",
        f"{profiling.MOST_EVENTS} events at most",
    ):
        assert sentence in text, sentence


def test_the_example_of_a_line_has_a_line_s_members() -> None:
    """In their order."""
    (example,) = re.findall(r"```json\n(.*?)\n```", PAGE, re.DOTALL)
    caller = Caller("r", "GRPC", "Predict", "p", 1)
    assert list(json.loads(example)) == ["time", *ended(request_ended(caller=caller))]
