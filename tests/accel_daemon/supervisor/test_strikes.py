"""Which graphs are not tried again."""

from __future__ import annotations

from accel_daemon.supervisor.strikes import FORGET_SECONDS, Strikes

GRAPH, OTHER = b"g" * 32, b"o" * 32
A, B = "arn:a", "arn:b"


def test_two_strikes_are_a_quarantine() -> None:
    """One is not; the latest reason is told."""
    strikes = Strikes()
    strikes.strike(A, {GRAPH: "first"}, 0.0)
    strikes.strike(A, {OTHER: "first"}, 0.0)
    assert strikes.quarantined(A, 1.0) == {}
    strikes.strike(A, {GRAPH: "second"}, 2.0)
    assert strikes.quarantined(A, 3.0) == {GRAPH.hex(): "second"}


def test_who_was_beside_it_once_is_innocent() -> None:
    """Of several graphs, the one that is there at each crash is found out."""
    strikes = Strikes()
    for number in range(3):
        assert strikes.quarantined(A, 0.0) == {}
        strikes.strike(A, {GRAPH: "crash", bytes([number]) * 32: "crash"}, float(number))
    assert strikes.quarantined(A, 3.0) == {GRAPH.hex(): "crash"}


def test_a_crash_alone_after_one_in_company_is_one_strike() -> None:
    """Being suspected is none by itself."""
    strikes = Strikes()
    strikes.strike(A, {GRAPH: "crash", OTHER: "crash"}, 0.0)
    strikes.strike(A, {GRAPH: "crash"}, 1.0)
    assert strikes.quarantined(A, 1.0) == {}
    strikes.strike(A, {GRAPH: "crash"}, 2.0)
    assert strikes.quarantined(A, 2.0) == {GRAPH.hex(): "crash"}


def test_whoever_was_there_is_suspected() -> None:
    """For its own principal, and not for ever: such graphs are not compiled."""
    strikes = Strikes()
    strikes.strike(A, {GRAPH: "crash", OTHER: "crash"}, 0.0)
    assert strikes.suspected(A, 1.0) == [GRAPH.hex(), OTHER.hex()]
    assert strikes.suspected(B, 1.0) == []
    assert strikes.suspected(A, FORGET_SECONDS + 1) == []


def test_what_is_certain_strikes_all() -> None:
    """Several graphs may each be late."""
    strikes = Strikes()
    for now in (0.0, 1.0):
        strikes.strike(A, {GRAPH: "late", OTHER: "late"}, now, is_certain=True)
    assert set(strikes.quarantined(A, 1.0)) == {GRAPH.hex(), OTHER.hex()}


def test_suspicion_is_forgotten() -> None:
    """As strikes are."""
    strikes = Strikes()
    for now in (0.0, FORGET_SECONDS, 2 * FORGET_SECONDS):
        strikes.strike(A, {GRAPH: "crash", OTHER: "crash"}, now)
    assert strikes.quarantined(A, 2 * FORGET_SECONDS) == {}


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
