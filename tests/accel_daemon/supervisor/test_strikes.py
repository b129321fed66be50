"""Which graphs are not tried again."""

from __future__ import annotations

from accel_daemon.supervisor.strikes import FORGET_SECONDS, Strikes

GRAPH, OTHER = b"g" * 32, b"o" * 32
A, B = "arn:a", "arn:b"


def test_two_strikes_are_a_quarantine() -> None:
    """One is not; the latest reason is told."""
    strikes = Strikes()
    strikes.strike(A, {GRAPH: "first", OTHER: "first"}, 0.0)
    assert strikes.quarantined(A, 1.0) == {}
    strikes.strike(A, {GRAPH: "second"}, 2.0)
    assert strikes.quarantined(A, 3.0) == {GRAPH.hex(): "second"}


def test_principals_are_apart() -> None:
    """Nobody has another's graph refused, nor learns of it."""
    strikes = Strikes()
    strikes.strike(A, {GRAPH: "why"}, 0.0)
    strikes.strike(B, {GRAPH: "why"}, 0.0)
    assert strikes.quarantined(A, 0.0) == strikes.quarantined(B, 0.0) == {}
    strikes.strike(A, {GRAPH: "why"}, 0.0)
    assert strikes.quarantined(B, 0.0) == strikes.quarantined(None, 0.0) == {}


def test_strikes_are_forgotten() -> None:
    """An hour after the latest one."""
    strikes = Strikes()
    strikes.strike(A, {GRAPH: "why"}, 0.0)
    strikes.strike(A, {GRAPH: "why"}, 10.0)
    assert strikes.quarantined(A, FORGET_SECONDS + 9) != {}
    assert strikes.quarantined(A, FORGET_SECONDS + 10) == {}


def test_memory_is_bounded() -> None:
    """Graphs can be made without end."""
    strikes = Strikes()
    for number in range(3000):
        strikes.strike(A, {number.to_bytes(32, "big"): "why"}, 0.0)
    assert len(strikes._counts) <= 1024
