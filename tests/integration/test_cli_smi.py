"""`accel smi` against a real daemon."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from accel_protocol.errors import GraphError
from client_runtime import EIPredictor
from client_runtime.cli.main import cli
from tests.conftest import Daemon, environment, eventually, patience

FEEDS = {"x": np.ones((1, 4), np.float32)}


def smi(*arguments: object) -> Result:
    """What `accel smi ARGUMENTS` does."""
    return CliRunner().invoke(cli, ["smi", *map(str, arguments)])


def accelerator(*arguments: object) -> Any:
    """The first accelerator of what it prints with --json."""
    result = smi("--json", *arguments)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)["accelerators"][0]


def by_id(found: Any) -> dict[str, Any]:
    """An accelerator's graphs by their ids."""
    return {graph["id"]: graph for graph in found["graphs"]}


def test_counts_of_a_graph(daemon: Daemon, home: Path, model: Path) -> None:
    """Runs, errors and times are those of the calls that were made."""
    with EIPredictor(model) as predictor:
        predictor(FEEDS)
        before = accelerator()
        for _ in range(5):
            predictor(FEEDS)
        with pytest.raises(GraphError):
            predictor({"x": np.ones((1, 9), np.float32)})
        after = accelerator()

    changed = [
        (graph, by_id(before)[name])
        for name, graph in by_id(after).items()
        if graph["runs"] != by_id(before)[name]["runs"]
    ]
    assert len(changed) == 1
    now, then = changed[0]
    assert (now["runs"] - then["runs"], now["failed_runs"] - then["failed_runs"]) == (5, 1)
    assert 0 < now["compute_ms"] < 1000
    assert after["id"] == daemon.ready["accelerators"][0]["id"]
    assert after["ordinal"] == 0
    assert after["failed_runs"] - before["failed_runs"] == 1


def test_process_figures(daemon: Daemon, home: Path, model: Path) -> None:
    """Memory and uptime are the process's, and an open stream is counted."""
    with EIPredictor(model) as predictor:
        quiet = accelerator()["streams"]
        predictor(FEEDS)
        found = accelerator()

    assert found["streams"] == quiet + 1
    resident = int(Path(f"/proc/{daemon.accelerator_pid()}/statm").read_text().split()[1])
    assert found["memory_bytes"] == pytest.approx(resident * os.sysconf("SC_PAGESIZE"), rel=0.3)
    assert 0 < found["uptime_seconds"] < accelerator()["uptime_seconds"]


def test_two_looks_tell_rates(home: Path, model: Path) -> None:
    """With an interval there are runs a second; without one there are none to tell."""
    with EIPredictor(model) as predictor:
        predictor(FEEDS)

    assert accelerator()["runs_per_second"] is None
    assert accelerator("--interval", 0.2)["runs_per_second"] == 0


def test_text_once(daemon: Daemon, home: Path, model: Path) -> None:
    """Without a terminal it prints once and ends, as with --once."""
    EIPredictor(model)(FEEDS)

    for arguments in ([], ["--once"], ["--accelerator", "0"], ["--all"]):
        result = smi(*arguments)
        assert result.exit_code == 0, result.output
        assert f"0  {daemon.ready['accelerators'][0]['id']}  host  tensorflow" in result.stdout
        assert "COMPUTE" in result.stdout
        assert "\x1b" not in result.stdout


def test_live_view_on_a_terminal(daemon: Daemon, home: Path) -> None:
    """It draws again and again; Ctrl-C ends it with status 0 and gives the screen back."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", "from client_runtime.cli.main import main; main()"),
            *("smi", "--interval", "0.1"),
        ],
        env=environment(home),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    os.set_blocking(ours, False)
    seen = bytearray()

    def more() -> bytes:
        with contextlib.suppress(OSError):  # nothing new, or the other end is closed
            seen.extend(os.read(ours, 1 << 16))
        return bytes(seen)

    name = daemon.ready["accelerators"][0]["id"].encode()
    eventually(lambda: more().count(name) >= 3)
    process.send_signal(signal.SIGINT)
    eventually(lambda: b"\x1b[?1049l" in more())
    assert process.wait(patience(30)) == 0
    os.close(ours)
    assert bytes(seen).startswith(b"\x1b[?1049h")
    assert b"Traceback" not in seen


def test_unknown_accelerator(home: Path) -> None:
    """One message with a remedy, and exit status 1."""
    result = smi("--accelerator", "eia-" + "0" * 32)

    assert result.exit_code == 1
    assert "Remedy: " in result.stderr


def test_no_daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing is found it says so."""
    for name in [name for name in os.environ if name.startswith(("ACCEL_", "AWS_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ACCEL_HOME", str(tmp_path))

    result = smi("--once")

    assert result.exit_code == 1
    assert "Remedy: " in result.stderr
