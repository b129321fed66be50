"""`accel bench` against a real daemon."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from client_runtime.cli import local_bench
from client_runtime.cli.latencies import PARTS
from client_runtime.cli.main import cli
from tests.conftest import environment, patience


def bench(*arguments: object) -> Result:
    """What `accel bench ARGUMENTS` does."""
    return CliRunner().invoke(cli, ["bench", *map(str, arguments)])


def document(result: Result) -> Any:
    """What it printed with --json."""
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_both_sides(home: Path, new_model: Callable[[int], Path]) -> None:
    """A new model is uploaded once; both sides are measured and agree."""
    found = document(bench(new_model(61), "--batch", 8, "--runs", 20, "--json"))

    assert found["uploaded_bytes"] > 0
    assert found["feeds"]["x"] == {"dtype": "float32", "shape": [8, 4], "size": 128, "random": True}
    assert found["batch"] == 8
    for side in (found["remote"], found["local"]):
        assert 0 < side["min_ms"] <= side["p50_ms"] <= side["p90_ms"] <= side["p99_ms"]
        assert side["calls_per_second"] > 0
        assert side["first_call_ms"] > side["min_ms"]
    assert tuple(found["remote"]["split"]) == PARTS
    assert sum(part["share"] for part in found["remote"]["split"].values()) == pytest.approx(1)
    assert found["differences"]["y"]["absolute"] < 1e-5
    assert found["verdict"]["limit"] in PARTS


def test_parts_are_no_more_than_the_call(home: Path, model: Path) -> None:
    """What the split says fits into what the caller saw."""
    remote = document(bench(model, "--runs", 10, "--no-local", "--json"))["remote"]

    parts = sum(part["median_ms"] for part in remote["split"].values())
    assert 0 < parts <= remote["max_ms"]


def test_remote_only(home: Path, model: Path) -> None:
    """Without a local side there is nothing to compare, and it says so."""
    result = bench(model, "--runs", 3, "--no-local")

    assert result.exit_code == 0
    assert "not measured, as --no-local says" in result.stdout
    assert "not compared" in result.stdout
    assert "limits" in result.stdout


def test_without_tensorflow(home: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is none it measures the remote side; asked for the local one it refuses."""
    monkeypatch.setattr(local_bench, "is_installed", lambda: False)

    assert "TensorFlow is not installed here" in bench(model, "--runs", 2).stdout
    asked = bench(model, "--runs", 2, "--local")
    assert asked.exit_code == 1
    assert "pip install tensorflow" in asked.stderr


def test_remote_side_loads_no_tensorflow(home: Path, model: Path) -> None:
    """Measuring an accelerator alone stays thin."""
    script = (
        "import sys\n"
        "from client_runtime.cli.main import cli\n"
        "cli(sys.argv[1:], standalone_mode=False)\n"
        "sys.exit('tensorflow' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "bench", str(model), "--no-local", "--runs", "2"],
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=patience(120),
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "verdict" in done.stdout


def test_given_and_random_feeds(home: Path, detector: Path, tmp_path: Path) -> None:
    """A feed from a file is used as it is; an open dimension is as large as asked for."""
    np.save(tmp_path / "page.npy", np.zeros((1, 48, 40, 3), np.uint8))

    given = document(
        bench(detector, "--input", f"@{tmp_path}/page.npy", "--runs", 2, "--no-local", "--json")
    )
    made = document(bench(detector, "--dim", "inputs=48,56", "--runs", 2, "--no-local", "--json"))

    assert given["feeds"]["inputs"]["shape"] == [1, 48, 40, 3]
    assert not given["feeds"]["inputs"]["random"]
    assert made["feeds"]["inputs"]["shape"] == [1, 48, 56, 3]


def test_strings_at_one_time(home: Path, model: Path) -> None:
    """Another signature, strings, four calls at a time, and equal answers on both sides."""
    found = document(
        bench(
            model, "--signature", "shout", "--runs", 24, "--warmup", 0, "--concurrency", 4, "--json"
        )
    )

    assert found["concurrency"] == 4
    assert found["differences"] == {"loud": {"absolute": 0.0, "relative": 0.0}}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--dim", "q=1"], "no random feeds"),
        (["--dim", "x=0,1"], "unknown dimensions"),
        (["--signature", "other"], "Available signatures"),
        (["--batch", "2", "--input", "x=[[1, 2, 3, 4]]"], "no feed is random"),
    ],
)
def test_errors_say_what_to_do(model: Path, arguments: list[str], says: str) -> None:
    """Before anything is connected, with a remedy and exit status 1."""
    result = bench(model, *arguments)

    assert result.exit_code == 1
    assert says in result.stderr
    assert "Remedy: " in result.stderr


@pytest.mark.parametrize("arguments", [["--runs", "0"], ["--concurrency", "0"], ["--dim", "x"]])
def test_wrong_arguments_exit_with_2(model: Path, arguments: list[str]) -> None:
    """As all of the project's commands do."""
    assert bench(model, *arguments).exit_code == 2
