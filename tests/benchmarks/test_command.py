"""The whole command in its cheap form, with a real daemon."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, environment, patience

pytest.importorskip("tensorflow", reason="the models are made with TensorFlow")


def run(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end, with a home that has no daemon."""
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        env={**environment(tmp_path), "TMPDIR": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=patience(240),
        check=False,
    )


def test_command_measures_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """Rows are judged from what was measured in turns; a missing peer says why."""
    file = tmp_path / "figures.json"

    done = run(
        tmp_path, "--quick", "--rounds", "2", "--rows", "large-floor,large-triton,memory",
        "--triton", sys.executable, "--json", str(file),
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    document = json.loads(file.read_text())
    rows = {row["name"]: row for row in document["rows"]}
    assert rows["large-floor"]["verdict"] in ("met", "missed")
    assert rows["large-floor"]["ratio"]["count"] == 2
    assert (rows["large-triton"]["verdict"], rows["large-triton"]["ratio"]) == (
        "not measured",
        None,
    )
    assert "No module named" in rows["large-triton"]["why"]
    assert document["machine"]["cores"] == len(os.sched_getaffinity(0))
    assert str(tmp_path) not in file.read_text()
    for name in rows:
        assert f"| {name} " in done.stdout
    assert list(tmp_path.iterdir()) == [file]


def test_unknown_row_ends_it_at_once(tmp_path: Path) -> None:
    """Before anything is started."""
    done = run(tmp_path, "--rows", "tiny-flor")

    assert done.returncode == 1
    assert "tiny-floor" in done.stderr
