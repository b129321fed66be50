"""Which measurements a run makes."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.plan import curves, plan
from benchmarks.targets import ROWS, chosen
from benchmarks.worker import Orders


def test_every_row_has_a_measurement_with_all_it_compares() -> None:
    """No row of a whole run is left without its contestants."""
    wanted = {one.group: one for one in plan(ROWS, everything=True, rounds=15, quick=False)}

    for row in ROWS:
        if row.group not in ("cold", "upload", "memory"):  # their two sides are their own
            assert {"ours", *row.others} <= set(wanted[row.group].contestants), row.name


def test_groups_are_measured_once() -> None:
    """Rows that share a measurement share its turns, and curves do not repeat it."""
    groups = [one.group for one in plan(ROWS, everything=True, rounds=15, quick=False)]

    assert len(groups) == len(set(groups))


def test_single_row_measures_nobody_else() -> None:
    """Asking for one row starts no contestant that it does not need."""
    (only,) = plan(chosen(["tiny-floor"]), everything=False, rounds=3, quick=True)

    assert only.contestants == ("tls", "session", "ours")


def test_quick_turns_are_shorter() -> None:
    """The cheap form makes fewer calls a turn, and the same rounds."""
    (quick,) = plan(chosen(["large-floor"]), everything=False, rounds=3, quick=True)
    (whole,) = plan(chosen(["large-floor"]), everything=False, rounds=3, quick=False)

    assert quick.amount < whole.amount
    assert quick.rounds == whole.rounds == 3


def test_curves_reach_as_far_as_promised() -> None:
    """Payloads go to a gigabyte, clients to 64 and models to 100, ours among the contestants."""
    groups = {one.group: one for one in curves(rounds=15)}

    for group in ("payload-1000000000", "tiny-64-clients", "mobilenet-64-clients", "models-100"):
        assert "ours" in groups[group].contestants


def test_turn_goes_round_every_model() -> None:
    """No model of a hundred is left out of a turn."""
    called: list[str] = []

    class Recorded:
        def caller(self, work: str, way: str) -> Callable[[], None]:
            return lambda: called.append(work)

    Orders(Recorded()).carry_out("round", way="", models=3, count=6)

    assert called == ["small-0", "small-1", "small-2"] * 2
