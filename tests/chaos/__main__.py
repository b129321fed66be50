"""`python -m tests.chaos`: a campaign as long as wanted, and its figures."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from tests.chaos.campaign import campaign


def main() -> int:
    """Run it; 1 where something happened that must not have."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--per-second", type=float, default=0.9, help="faults")
    parser.add_argument("--log", type=Path, help="gets what the daemon logged")
    given = parser.parse_args()
    logging.getLogger("client_runtime").setLevel(logging.ERROR)
    report = campaign(given.seed, given.seconds, given.per_second, given.log)
    sys.stdout.write(report.to_text() + "\n")
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main())
