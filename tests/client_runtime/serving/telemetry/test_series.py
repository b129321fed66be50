"""Series and their text."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from client_runtime.serving.telemetry import series
from client_runtime.serving.telemetry.series import (
    Description,
    Histogram,
    Scalar,
    exponential,
    exposition,
)


def _counter(*labels: str) -> Scalar:
    return Scalar(Description(":a:count", "counter", "Counted.", labels))


def test_a_counter_prints_integers_with_its_head() -> None:
    """Integers stay integers, series are sorted."""
    counter = _counter("model", "status")
    counter.add("m", "OK")
    counter.add("m", "NOT_FOUND", amount=2)
    counter.add("m", "OK")
    assert exposition([counter]).splitlines() == [
        "# HELP :a:count Counted.",
        "# TYPE :a:count counter",
        ':a:count{model="m",status="NOT_FOUND"} 2',
        ':a:count{model="m",status="OK"} 2',
    ]


def test_without_labels_the_braces_stay() -> None:
    """As TensorFlow Serving writes it."""
    counter = _counter()
    counter.add()
    assert exposition([counter]).splitlines()[-1] == ":a:count{} 1"


def test_a_family_without_series_has_its_head() -> None:
    """Readers see what there could be."""
    assert exposition([_counter()]) == "# HELP :a:count Counted.\n# TYPE :a:count counter\n"


def test_a_histogram_is_cumulative_and_its_bounds_belong_to_their_buckets() -> None:
    """A value that equals a bound is within it."""
    histogram = Histogram(Description("h", "histogram", "Seen.", ("m",)), exponential(10, 1.8, 4))
    for value in (10, 18.5, 1000):
        histogram.observe("a", value=value)
    assert list(histogram.lines()) == [
        'h_bucket{m="a",le="10"} 1',
        'h_bucket{m="a",le="18"} 1',
        'h_bucket{m="a",le="32.4"} 2',
        'h_bucket{m="a",le="58.32"} 2',
        'h_bucket{m="a",le="+Inf"} 3',
        'h_sum{m="a"} 1028.5',
        'h_count{m="a"} 3',
    ]


def test_a_histogram_without_labels_has_only_its_limits() -> None:
    """No comma stands before `le`."""
    histogram = Histogram(Description("h", "histogram", "Seen."), (1.0,))
    histogram.observe(value=2)
    assert list(histogram.lines()) == [
        'h_bucket{le="1"} 0',
        'h_bucket{le="+Inf"} 1',
        "h_sum{} 2",
        "h_count{} 1",
    ]


@pytest.mark.parametrize(
    ("scale", "growth", "count", "last"),
    [(1, 2, 14, 8192), (1, 2, 15, 16384), (100, 1.2, 52, 100 * 1.2**51), (10, 1.8, 33, 1.47476e9)],
)
def test_exponential_bounds(scale: float, growth: float, count: int, last: float) -> None:
    """Their number and the last of each kind that the server has."""
    bounds = exponential(scale, growth, count)
    assert (len(bounds), bounds[0]) == (count, scale)
    assert math.isclose(bounds[-1], last, rel_tol=1e-5)


def test_large_limits_have_six_digits() -> None:
    """As TensorFlow Serving prints them."""
    histogram = Histogram(Description("h", "histogram", "Seen."), (188.9568, 1_147_407.2))
    histogram.observe(value=1)
    assert [line.split('"')[1] for line in histogram.lines() if "le=" in line] == [
        "188.957",
        "1.14741e+06",
        "+Inf",
    ]


def test_the_series_that_changed_least_recently_goes_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The number of series is bounded."""
    monkeypatch.setattr(series, "MOST_SERIES", 2)
    counter = _counter("m")
    for name in ("a", "b", "a", "c"):
        counter.add(name)
    assert list(counter.lines()) == [':a:count{m="a"} 2', ':a:count{m="c"} 1']


def test_forgotten_series_are_gone() -> None:
    """Only those that were chosen."""
    counter = _counter("m", "v")
    counter.add("a", "1")
    counter.add("a", "2")
    counter.forget(lambda labels: labels == {"m": "a", "v": "1"})
    assert list(counter.lines()) == [':a:count{m="a",v="2"} 1']


@given(st.text(), st.text())
def test_prometheus_reads_any_label(one: str, other: str) -> None:
    """Quotes, backslashes and line ends in labels come back as they were."""
    counter = _counter("a", "b")
    counter.add(one, other, amount=3)
    (family,) = text_string_to_metric_families(exposition([counter]))
    (sample,) = family.samples
    assert (sample.labels, sample.value) == ({"a": one, "b": other}, 3.0)
