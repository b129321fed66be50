"""Many inputs for every parser that meets strangers: `python -m tests.fuzz --inputs 1000000`.

Inputs are shared out among the targets; the same seed makes the same inputs. Prints what was tried
and how long it took, target by target. The first defect of a target ends that target, the exit
status is then 1, and the line says how to repeat it: `--target NAME --seed SEED`.
"""

from __future__ import annotations

import argparse
import faulthandler
import logging
import resource
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.oracle import CANARY, Found, Setting, Tally, try_many
from tests.fuzz.targets import BUILDERS


def main() -> int:
    """Run the command."""
    options = _parser().parse_args()
    logging.disable(logging.NOTSET)
    logging.getLogger().addHandler(logging.NullHandler())
    names = options.target or list(BUILDERS)
    shares = {name: _share(name) for name in names}
    per_share = options.inputs / sum(shares.values())
    started, total, found = time.monotonic(), 0, 0
    for name in names:
        count = max(1, round(per_share * shares[name]))
        faulthandler.dump_traceback_later(3600, exit=True)
        try:
            tally = run(name, count, options.seed)
        except Found as defect:
            found += 1
            print(f"{name}: {defect}", flush=True)
            continue
        total += tally.inputs
        print(_line(name, tally), flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    wall = time.monotonic() - started
    print(f"{total} inputs, seed {options.seed}, {wall:.0f} s, peak {peak} MB, defects: {found}")
    return 1 if found else 0


def run(name: str, inputs: int, seed: str) -> Tally:
    """Try inputs at one target, in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix=f"{CANARY}-") as folder:
        setting = Setting(Path(folder))
        with setting.stack:
            return try_many(BUILDERS[name](setting), inputs, f"{seed}/{name}")


def _share(name: str) -> float:
    with tempfile.TemporaryDirectory(prefix=f"{CANARY}-") as folder:
        setting = Setting(Path(folder))
        with setting.stack:
            return BUILDERS[name](setting).share


def _line(name: str, tally: Tally) -> str:
    return (
        f"{name:28} {tally.inputs:8} inputs  {100 * tally.refused / tally.inputs:5.1f} % refused"
        f"  {tally.seconds:7.1f} s  slowest {1000 * tally.slowest:6.1f} ms"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000, help="of all targets together")
    parser.add_argument("--seed", default="0")
    parser.add_argument("--target", action="append", choices=list(BUILDERS))
    return parser


if __name__ == "__main__":
    sys.exit(main())
