"""The main path: a client process, a daemon, an accelerator, and TensorFlow's own answer."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from client_runtime import EIPredictor, connect
from tests.conftest import Daemon, environment, patience
from tests.integration.conftest import local_answer

SCRIPT = """
import sys
import numpy as np
from client_runtime import EIPredictor
predictor = EIPredictor(sys.argv[1])
answer = predictor({"x": np.arange(8, dtype=np.float32).reshape(2, 4)})
np.savez(sys.argv[2], uploaded=predictor.uploaded_bytes, **answer)
"""


# As the script above, again and again until it is told to stop.
BUSY_SCRIPT = """
import select, sys
import numpy as np
from client_runtime import EIPredictor
predictor = EIPredictor(sys.argv[1])
feeds = {"x": np.arange(8, dtype=np.float32).reshape(2, 4)}
answers = [predictor(feeds)["y"]]
print("busy", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    answers.append(predictor(feeds)["y"])
np.savez(sys.argv[2], y=np.stack(answers))
"""


def start_busy_script(home: Path, model: Path, output: Path) -> subprocess.Popen[str]:
    """The script above at work; it says "busy", and ends when its input has something or ends."""
    return subprocess.Popen(
        [sys.executable, "-c", BUSY_SCRIPT, str(model), str(output)],
        env=environment(home),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def run_script(home: Path, model: Path, output: Path) -> Any:
    """What the six-line script above gets in a process of its own."""
    subprocess.run(
        [sys.executable, "-c", SCRIPT, str(model), str(output)],
        env=environment(home),
        check=True,
        timeout=patience(120),
    )
    return np.load(output)


@pytest.mark.usefixtures("each_lane")
def test_answers_equal_tensorflow(daemon: Daemon, model: Path, tmp_path: Path) -> None:
    """A script with no configuration gets what TensorFlow gives locally."""
    answer = run_script(daemon.home, model, tmp_path / "answer.npz")

    local = local_answer(model, {"x": np.arange(8, dtype=np.float32).reshape(2, 4)})
    np.testing.assert_allclose(answer["y"], local["y"], rtol=1e-5)
    np.testing.assert_allclose(answer["z"], local["z"], rtol=1e-5)


def test_second_process_uploads_nothing(
    daemon: Daemon, home: Path, new_model: Callable[[int], Path], tmp_path: Path
) -> None:
    """What one process uploaded, the next finds there: counter and log say so."""
    path = new_model(2)
    with connect() as attachment:
        first = run_script(daemon.home, path, tmp_path / "first.npz")
        before = attachment.list().counters
        second = run_script(daemon.home, path, tmp_path / "second.npz")
        after = attachment.list().counters

    assert first["uploaded"] > 0
    assert second["uploaded"] == 0
    assert after.uploaded_bytes == before.uploaded_bytes
    assert "already here, 0 bytes uploaded" in daemon.log.read_text()


@pytest.mark.usefixtures("each_lane")
def test_two_models_side_by_side(home: Path, new_model: Callable[[int], Path]) -> None:
    """Models of equal names and other weights never give each other's answer."""
    feeds = {"x": np.ones((1, 4), np.float32)}
    paths = [new_model(3), new_model(4)]
    predictors = [EIPredictor(path) for path in paths]

    answers = [predictor(feeds)["y"] for _ in range(2) for predictor in predictors]

    for answer, path in zip(answers, paths * 2, strict=True):
        np.testing.assert_allclose(answer, local_answer(path, feeds)["y"], rtol=1e-5)


def test_two_models_in_two_processes(
    daemon: Daemon, new_model: Callable[[int], Path], tmp_path: Path
) -> None:
    """Nor when each belongs to a process of its own, both at work on one accelerator at once."""
    paths, outputs = [new_model(6), new_model(7)], [tmp_path / "6.npz", tmp_path / "7.npz"]
    with contextlib.ExitStack() as stack:
        scripts = [
            stack.enter_context(start_busy_script(daemon.home, path, output))
            for path, output in zip(paths, outputs, strict=True)
        ]
        assert [script.stdout and script.stdout.readline() for script in scripts] == ["busy\n"] * 2
        time.sleep(1.0)
        for script in scripts:
            script.communicate("stop\n", timeout=patience(60))
    assert [script.returncode for script in scripts] == [0, 0]
    x = np.arange(8, dtype=np.float32).reshape(2, 4)
    for path, output in zip(paths, outputs, strict=True):
        answers = np.load(output)["y"]
        assert len(answers) > 5
        expected = np.broadcast_to(local_answer(path, {"x": x})["y"], answers.shape)
        np.testing.assert_allclose(answers, expected, rtol=1e-5)


@pytest.mark.usefixtures("each_lane")
def test_many_threads_share_a_predictor(home: Path, model: Path) -> None:
    """Each thread gets the answer to its own feeds."""
    predictor = EIPredictor(model)
    wrong: list[float] = []

    def work(number: int) -> None:
        for step in range(20):
            total = float(number * 100 + step)
            answer = predictor({"x": np.full((1, 4), total / 4, np.float32)})
            if abs(answer["z"] - total) > 1e-3:
                wrong.append(total)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []


@pytest.mark.usefixtures("each_lane")
def test_strings_and_scalars(home: Path, model: Path) -> None:
    """Strings come back as bytes, and tensors of rank 0 as scalars, as Session.run gives them."""
    predictor = EIPredictor(model, signature_def_key="shout")

    assert predictor({"text": "accelerator"})["loud"] == b"ACCELERATOR"
    assert predictor({"text": [["a", b"b"]]})["loud"].tolist() == [[b"A", b"B"]]


@pytest.mark.usefixtures("each_lane")
def test_large_tensors_travel_in_pieces(home: Path, model: Path) -> None:
    """A feed and a fetch far above the size of one message arrive whole."""
    x = np.random.default_rng(0).normal(size=(2_000_000, 4)).astype(np.float32)

    answer = EIPredictor(model)({"x": x})

    np.testing.assert_allclose(answer["y"], x @ local_weights(model), rtol=1e-4, atol=1e-4)


def local_weights(model: Path) -> Any:
    """The model's matrix, told from its answers to the unit vectors."""
    return local_answer(model, {"x": np.eye(4, dtype=np.float32)})["y"]


def test_results_are_writable(home: Path, model: Path) -> None:
    """Callers may change what they got, as they may with TensorFlow's results."""
    answer = EIPredictor(model)({"x": np.ones((1, 4), np.float32)})

    answer["y"][0, 0] = 42

    assert answer["y"][0, 0] == 42


def test_by_tensor_names_equals_by_signature(home: Path, model: Path) -> None:
    """Naming the signature's own tensors is the same graph."""
    by_key = EIPredictor(model)
    by_name = EIPredictor(
        model,
        input_names={alias: info.name for alias, info in by_key.feed_tensors.items()},
        output_names={alias: info.name for alias, info in by_key.fetch_tensors.items()},
    )
    feeds = {"x": np.ones((2, 4), np.float32)}

    np.testing.assert_array_equal(by_key(feeds)["y"], by_name(feeds)["y"])
    assert by_name.uploaded_bytes == 0


def test_daemon_without_options_just_works(daemon: Daemon, home: Path, model: Path) -> None:
    """A new home gets CA, administrator and profile; that SIGTERM ends it, its fixture sees."""
    with EIPredictor(model) as predictor:
        assert predictor({"x": np.ones((1, 4), np.float32)})["z"] == 4
    for private in ("client.json", "ca/ca.key", "daemon/identities.json"):
        assert (daemon.home / private).stat().st_mode & 0o077 == 0
