"""What bounds an engine's work, and which graphs it refuses."""

from __future__ import annotations

import pytest

from accel_daemon.accelerator.vigil import Vigil
from accel_daemon.flight_record import FlightRecorder
from accel_protocol.errors import ModelError

GRAPH = b"g" * 32


def test_graphs_in_quarantine_are_refused() -> None:
    """With what they did; others are not."""
    vigil = Vigil(FlightRecorder(None, 1), quarantined={GRAPH.hex(): "the process ended"})
    with pytest.raises(ModelError, match="the process ended") as caught:
        vigil.check(GRAPH)
    assert caught.value.reason == "GRAPH_QUARANTINED"
    vigil.check(b"o" * 32)


@pytest.mark.parametrize(("asked", "given"), [(None, 10.0), (3.0, 3.0), (10.0, 10.0), (11.0, 10.0)])
def test_no_run_is_without_a_bound(asked: float | None, given: float) -> None:
    """The client's time-out, or the operator's."""
    assert Vigil(FlightRecorder(None, 1), run_seconds=10.0).bounded(asked) == given
