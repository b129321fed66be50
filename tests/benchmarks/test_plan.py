"""Which measurements a run makes."""

from __future__ import annotations

from benchmarks.plan import plan
from benchmarks.targets import ROWS, chosen


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
