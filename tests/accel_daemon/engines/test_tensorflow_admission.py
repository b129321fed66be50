"""What admission refuses: everything that could reach out of a graph, wherever it stands."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from accel_daemon.engines.tensorflow_admission import Policy
from accel_daemon.engines.tensorflow_import import admitted_part
from accel_protocol.errors import ModelError
from tests.accel_daemon.engines.conftest import ENGINE, assert_safe
from tests.accel_daemon.engines.hostile_graphs import CORPUS, Hostile, device_function
from tests.accel_daemon.engines.hostile_ops import Target, read_file
from tests.conftest import ROOT, environment, patience


def test_the_corpus_is_large() -> None:
    """Each dangerous op alone, and some of them in every place where an op can stand."""
    assert len(CORPUS) > 150


@pytest.mark.parametrize("hostile", CORPUS.values(), ids=CORPUS.keys())
def test_hostile_models_are_refused(tmp_path: Path, hostile: Hostile) -> None:
    """Before TensorFlow sees them, with a typed error that tells no path."""
    canary = tmp_path / "canary"
    canary.write_text("secret")
    target = Target(str(canary), str(tmp_path / "written"))
    folder = tmp_path / "model"
    folder.mkdir()
    manifest = hostile.write(folder, target)
    with pytest.raises(ModelError) as caught:
        ENGINE.load(folder, manifest)
    expected = "INVALID_MODEL" if "of the same name" in hostile.name else "OP_REFUSED"
    assert caught.value.reason == expected
    assert_safe(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["canary", "model"]


def test_a_stand_in_that_is_not_admitted_is_left_out() -> None:
    """TensorFlow may take another function of the same interface, of those that are there."""
    graph_def = device_function(read_file, Target())
    part = admitted_part(Policy(), graph_def, [], ["y:0"])
    assert [f.signature.name for f in part.library.function] == ["good"]
    allowing = Policy(allowed={"ReadFile": "this test"})
    part = admitted_part(allowing, graph_def, [], ["y:0"])
    assert [f.signature.name for f in part.library.function] == ["good", "evil"]


def test_the_corpus_bites_where_nothing_holds_it_back(tmp_path: Path) -> None:
    """Without admission and sandbox files are read and written: these are attacks indeed."""
    (tmp_path / "canary").write_text("secret\n")
    biting = {name: one.bites for name, one in CORPUS.items() if one.bites in ("read", "write")}
    ran = subprocess.run(
        [sys.executable, "-m", "tests.accel_daemon.engines.without_admission",
         str(tmp_path / "canary"), str(tmp_path / "written{}"), "127.0.0.1:9", *biting],
        cwd=ROOT, env={**environment(tmp_path), "PYTHONPATH": str(ROOT)}, capture_output=True,
        text=True, timeout=patience(200), check=False,
    )  # fmt: skip
    answers = {one["name"]: one["answer"] for one in map(json.loads, ran.stdout.splitlines())}
    bitten = dict.fromkeys(biting, "")
    for number, (name, bites) in enumerate(biting.items()):
        written = any(path.name.startswith(f"written{number}") for path in tmp_path.iterdir())
        loot = any(
            text in answers.get(name, "") for text in ("secret", "canary", "115,101", "b's'")
        )
        if (bites == "read" and loot) or (bites == "write" and written):
            bitten[name] = bites
    assert bitten == biting, (answers, ran.stderr[-2000:])
