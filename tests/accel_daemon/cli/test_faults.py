"""`accel-daemon fault`, against a running daemon."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, tools: Any, interpreter: Path) -> Iterator[Path]:
    """The home of a daemon that takes faults."""
    folder = tmp_path_factory.mktemp("home")
    options = ("--allow-faults", "--accelerator", f"host,python={interpreter}")
    with tools.running_daemon(folder, *options):
        yield folder


def test_inject_list_and_clear(tools: Any, home: Path) -> None:
    """A fault is injected with all its settings, shown, and cleared."""
    settings = ("--probability", "0.5", "--count", "3", "--seconds", "60", "--seed", "7")
    slow = ("--latency-ms", "20", "--jitter-ms", "5", "--bytes-per-second", "1000")
    done = tools.run_cli(home, "fault", "inject", "slow", "--accelerator", "0", *settings, *slow)
    assert done.returncode == 0, done.stderr
    fault_id = done.stdout.strip()
    (row,) = json.loads(tools.run_cli(home, "fault", "list", "--json").stdout)
    assert row["fault"] == {
        "kind": "slow",
        "accelerator": 0,
        "probability": 0.5,
        "count": 3,
        "seconds": 60,
        "seed": 7,
        "latency_ms": 20,
        "jitter_ms": 5,
        "bytes_per_second": 1000,
    }
    shown = tools.run_cli(home, "fault", "list").stdout
    assert shown.startswith(f"{fault_id}  slow:accelerator=0,probability=0.5,count=3")
    assert shown.endswith("happened 0\n")

    assert tools.run_cli(home, "fault", "clear", fault_id).stdout == "Cleared 1.\n"
    assert tools.run_cli(home, "fault", "list").stdout == ""


def test_clear_all(tools: Any, home: Path) -> None:
    """Without an id all faults end, also when there are none."""
    for options in (("drop", "--when", "after"), ("expired-credentials", "--at", "both")):
        assert tools.run_cli(home, "fault", "inject", *options).returncode == 0
    assert tools.run_cli(home, "fault", "clear").stdout == "Cleared 2.\n"
    assert tools.run_cli(home, "fault", "clear").stdout == "Cleared 0.\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("inject", "burning"), "Invalid value for '{unavailable"),
        (("inject", "drop", "--latency-ms", "1"), "has no setting 'latency_ms'"),
        (("inject", "drop", "--accelerator", "7"), "There is no accelerator"),
        (("clear", "999"), "There is no fault '999'"),
    ],
)
def test_what_is_wrong_is_said(
    tools: Any, home: Path, arguments: tuple[str, ...], said: str
) -> None:
    """By the command or by the daemon; nothing is injected."""
    done = tools.run_cli(home, "fault", *arguments)
    assert done.returncode != 0
    assert said in done.stderr
    assert tools.run_cli(home, "fault", "list").stdout == ""


def test_without_a_daemon(tools: Any, tmp_path: Path) -> None:
    """The home has no daemon."""
    done = tools.run_cli(tmp_path, "fault", "list")
    assert done.returncode == 1
    assert "No daemon was started in this home yet" in done.stderr
