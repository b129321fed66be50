"""What is drawn."""

from __future__ import annotations

from benchmarks.plots import curves
from benchmarks.targets import Group


def test_curves_are_by_contestant_and_in_order() -> None:
    """Each contestant gets its medians over x; other measurements are left out."""
    groups = {
        "payload-640": Group("s", {"ours": [[2.0], [4.0]], "tls": [[1.0]]}),
        "payload-64": Group("s", {"ours": [[1.0]]}),
        "tiny": Group("s", {"ours": [[9.0]]}),
    }

    found = curves(groups, r"payload-(\d+)")

    assert [point[:2] for point in found["ours"]] == [(64, 1.0), (640, 3.0)]
    assert [point[:2] for point in found["tls"]] == [(640, 1.0)]
