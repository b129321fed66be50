"""`python -m tests.serving_load`: as many versions and kills as wanted, and the figures."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.conftest import Daemon, eventually, start_daemon
from tests.serving_load.clients import Load
from tests.serving_load.models import numbered_model
from tests.serving_load.rolling import Watched, roll
from tests.serving_load.server import ModelServer, model_server

_GRACE_SECONDS = 1.0


def main() -> int:
    """Run it; 1 where something happened that must not have."""
    parser = argparse.ArgumentParser(prog="python -m tests.serving_load", description=__doc__)
    parser.add_argument("--versions", type=int, default=20, help="that come one after the other")
    parser.add_argument("--mebibytes", type=int, default=16, help="of each version")
    parser.add_argument("--kills", type=int, default=3, help="of the accelerator's process")
    parser.add_argument("--clients", type=int, default=8, help="half by gRPC, half by REST")
    parser.add_argument("--deadline", type=float, default=10.0, help="of requests, in seconds")
    parser.add_argument("--pause", type=float, default=0.005, help="of a client, in seconds")
    parser.add_argument("flags", nargs="*", help="of the server, behind --")
    given = parser.parse_args()
    logging.getLogger("client_runtime").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as text:
        return _run(Path(text), given)


def _run(folder: Path, given: argparse.Namespace) -> int:
    daemon = start_daemon(folder / "home", "--port", "0")
    os.environ["ACCEL_HOME"] = str(daemon.home)
    made, served = folder / "made", folder / "served"
    for number in range(1, given.versions + 2):
        numbered_model((made if number > 1 else served) / str(number), number, given.mebibytes)
    flags = (
        *("--model_name=m", f"--model_base_path={served}"),
        *(f"--rest_api_timeout_in_ms={int(given.deadline * 1000)}", *given.flags),
    )
    try:
        with model_server(daemon.home, folder / "log", *flags) as server:
            bad = _rolling(server, made, served, given)
            for _ in range(given.kills):
                bad |= _kill(server, daemon, given)
        return int(bad)
    finally:
        daemon.stop()


def _load(server: ModelServer, given: argparse.Namespace) -> Load:
    return Load(server, "m", clients=given.clients, deadline=given.deadline, pause=given.pause)


def _say(*words: object) -> None:
    sys.stdout.write(" ".join(str(word) for word in words) + "\n")
    sys.stdout.flush()


def _rolling(server: ModelServer, made: Path, served: Path, given: argparse.Namespace) -> bool:
    with _load(server, given) as load:
        eventually(lambda: load.good_since(0) > 100 * given.clients, 120)
        watched = roll(
            *(server, "m", range(2, given.versions + 2)),
            lambda number: (made / str(number)).rename(served / str(number)),
        )
        done = time.monotonic()
        eventually(lambda: load.good_since(done) > 100)
    return _report_rolling(load, watched, given.versions)


def _report_rolling(load: Load, watched: Watched, versions: int) -> bool:
    before, most, after = (one / 2**20 for one in watched.memory)
    _say(versions, "versions in", f"{watched.seconds:.1f} s; most alive:", watched.most_alive)
    _say(f"memory before {before:.0f} MiB, at most {most:.0f} MiB, after {after:.0f} MiB")
    _say_requests(load)
    failed = any(status != "OK" for _, status in load.counts())
    kept = watched.graphs_after != watched.graphs_before or after > 1.1 * before
    return failed or kept or watched.most_alive > 2


def _say_requests(load: Load) -> None:
    for (door, status), count in sorted(load.counts().items()):
        slowest = max(
            one.seconds for one in load.outcomes if (one.door, one.status) == (door, status)
        )
        _say(f"{door} {status}: {count}, slowest {slowest:.2f} s")


def _is_back(daemon: Daemon, dead: int) -> bool:
    row = daemon.status()["accelerators"][0]
    return bool(row["state"] == "ready" and row["pid"] != dead)


def _kill(server: ModelServer, daemon: Daemon, given: argparse.Namespace) -> bool:
    with _load(server, given) as load:
        eventually(lambda: load.good_since(0) > 20 * given.clients, 60)
        killed, dead = time.monotonic(), daemon.accelerator_pid()
        os.kill(dead, signal.SIGKILL)
        eventually(lambda: _is_back(daemon, dead), 120)
        ready = time.monotonic()
        eventually(lambda: load.good_since(ready) > 20 * given.clients)
    failed = [one for one in load.outcomes if one.status != "OK"]
    first = min(one.ended for one in load.outcomes if one.status == "OK" and one.ended > ready)
    _say(f"killed: ready again after {ready - killed:.1f} s, {len(failed)} requests failed")
    _say(f"first answer {first - ready:.2f} s later")
    _say_requests(load)
    allowed = {"UNAVAILABLE", "DEADLINE_EXCEEDED"}
    late = max(one.seconds for one in load.outcomes) > given.deadline + _GRACE_SECONDS
    return (
        late or not {one.status for one in failed} <= allowed or server.process.poll() is not None
    )


if __name__ == "__main__":
    sys.exit(main())
