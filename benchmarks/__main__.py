"""`python -m benchmarks`: measures this project against floors and peers, in turns, in one run."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import machine, measuring, plots, table
from benchmarks.field import Field, open_field
from benchmarks.plan import Measurement, curves, plan
from benchmarks.processes import WorkerError
from benchmarks.targets import OURS, QUICK, Group, Row, chosen, judge

_COSTS = ("tiny", "large", "mobilenet", "resnet")


def main() -> int:
    """Measure; 1 where something of our own could not be measured, whatever the verdicts."""
    given = _arguments()
    names = given.rows.split(",") if given.rows else list(QUICK) if given.quick else []
    try:
        rows = chosen(names)
    except ValueError as error:
        sys.exit(str(error))
    rounds = given.rounds or (3 if given.quick else 15)
    wanted = plan(rows, everything=not names, rounds=rounds, quick=given.quick)
    if given.curves:
        rows, wanted = [], curves(rounds=rounds)
    facts = machine.facts()
    with open_field(given.triton) as field:
        groups: dict[str, Group] = {}
        for one in wanted:
            groups[one.group] = _measured(field, one)
            _write(given.json, rows, groups, {}, facts)  # a run that is cut off was not for nothing
        costs = _costs(field, {one.work for one in wanted}, 5 if given.quick else 20)
    facts["load_at_the_end"] = machine.facts()["load"]
    _report(given, rows, groups, costs, facts)
    return int(any(OURS in group.absent for group in groups.values()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short turns and the cheap rows")
    parser.add_argument("--rows", default="", help="names of rows, comma-separated; all by default")
    parser.add_argument("--curves", action="store_true", help="what the pictures show, and no rows")
    parser.add_argument("--rounds", type=int, default=0, help="turns of each contestant")
    parser.add_argument("--json", type=Path, help="gets everything that was measured")
    parser.add_argument("--plots", type=Path, help="folder that gets pictures, with matplotlib")
    parser.add_argument(
        "--triton",
        metavar="PYTHON",
        help="interpreter of an environment with nvidia-pytriton, tritonclient and TensorFlow",
    )
    return parser.parse_args()


def _measured(field: Field, one: Measurement) -> Group:
    print(f"measuring {one.group} ...", file=sys.stderr, flush=True)
    if one.kind == "latency":
        return measuring.latency(field, one.work, one.contestants, one.rounds, one.amount)
    if one.kind == "throughput":
        return measuring.throughput(
            field, one.work, one.contestants, one.rounds, one.amount, one.seconds
        )
    if one.kind == "models":
        return measuring.models(field, one.contestants, one.rounds, one.amount)
    if one.kind == "memory":
        return measuring.memory(field, one.work, one.amount)
    if one.kind == "cold":
        return measuring.cold_start(field, one.rounds)
    return measuring.first_upload(field, one.rounds)


def _costs(field: Field, works: set[str], calls: int) -> dict[str, Any]:
    found = {}
    for work in _COSTS:
        if work in works:
            try:
                found[work] = measuring.costs(field, work, calls)
            except WorkerError as error:
                print(f"{work}: {error}", file=sys.stderr)
    return found


def _report(
    given: argparse.Namespace,
    rows: Sequence[Row],
    groups: dict[str, Group],
    costs: dict[str, Any],
    facts: dict[str, Any],
) -> None:
    judged = [judge(row, groups) for row in rows]
    print(table.as_text(judged, groups, costs))
    _write(given.json, rows, groups, costs, facts)
    if given.plots is not None:
        if plots.is_possible():
            plots.write(groups, given.plots)
        else:
            print("no pictures: matplotlib is not installed", file=sys.stderr)


def _write(
    path: Path | None,
    rows: Sequence[Row],
    groups: dict[str, Group],
    costs: dict[str, Any],
    facts: dict[str, Any],
) -> None:
    if path is not None:
        judged = [judge(row, groups) for row in rows]
        document = table.as_document(judged, groups, costs, facts)
        path.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
