"""`accel predict` against a real daemon."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from client_runtime import EIPredictor
from client_runtime.cli.main import cli
from tests.conftest import ROOT, environment, patience
from tests.integration.conftest import local_answer

PROGRAM = [sys.executable, "-c", "from client_runtime.cli.main import main; main()"]
PAGE = ROOT / "examples" / "digit_detector" / "page.png"


def predict(*arguments: object, stdin: str | bytes | None = None) -> Result:
    """What `accel predict ARGUMENTS` does."""
    return CliRunner().invoke(cli, ["predict", *map(str, arguments)], input=stdin)


def test_a_picture_in_a_process_of_its_own(home: Path, detector: Path, tmp_path: Path) -> None:
    """The page's digits are found, as the predictor finds them, and written to a file."""
    image = pytest.importorskip("PIL.Image")
    out = tmp_path / "found.npz"

    done = subprocess.run(
        [*PROGRAM, "predict", str(detector), "--input", f"@{PAGE}", "--output", str(out)],
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=patience(120),
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "detection_boxes    float32 [1, 50, 4]" in done.stdout
    with EIPredictor(detector) as predictor, np.load(out, allow_pickle=False) as found:
        wanted = predictor({"inputs": np.asarray(image.open(PAGE).convert("RGB"))[None]})
        for alias, value in wanted.items():
            np.testing.assert_allclose(found[alias], value, rtol=1e-5, atol=1e-5)


def test_json_equals_tensorflow(home: Path, model: Path) -> None:
    """Inline JSON in, JSON out, and TensorFlow's own numbers."""
    result = predict(model, "--input", "x=[[1, 2, 3, 4]]", "--json")

    local = local_answer(model, {"x": np.array([[1, 2, 3, 4]], np.float32)})
    answer = json.loads(result.stdout)
    np.testing.assert_allclose(answer["y"], local["y"], rtol=1e-5)
    assert answer["z"] == 10.0


def test_strings_by_signature(home: Path, model: Path) -> None:
    """Text from standard input, and a scalar back; --output - is JSON, too."""
    result = predict(
        model, "--signature", "shout", "--input", "@-", "--output", "-", stdin='"quiet"'
    )

    assert json.loads(result.stdout) == {"loud": "QUIET"}


def test_bytes_that_are_no_text(home: Path, model: Path) -> None:
    """Any bytes come in and go out as base64."""
    value = json.dumps({"b64": base64.b64encode(b"\xff\x00a").decode()})

    result = predict(model, "--signature", "shout", "--input", f"text={value}", "--json")

    assert base64.b64decode(json.loads(result.stdout)["loud"]["b64"]) == b"\xff\x00A"


def test_by_tensor_names(home: Path, model: Path) -> None:
    """Names instead of a signature."""
    with EIPredictor(model) as predictor:
        names = [f"--input-name=in={predictor.feed_tensors['x'].name}"]
        names += [f"--output-name=sum={predictor.fetch_tensors['z'].name}"]

    result = predict(model, *names, "--input", "in=[[1, 1, 1, 1]]", "--accelerator", 0, "--json")

    assert json.loads(result.stdout) == {"sum": 4.0}


def test_summary_tells_where_the_time_went(home: Path, model: Path) -> None:
    """Shapes, first values, and the parts of the call."""
    result = predict(model, "--input", "x=[[1, 1, 1, 1]]", "--timeout", 60)

    assert "z  float32 []      4" in result.stdout
    assert "in all: compute " in result.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--input", "q=1"], ["no feed 'q'", "It has: x", "x float32 [?, 4]"]),
        (["--input", "x=@absent.npy"], ["absent.npy", "Remedy"]),
        (["--input", "x=[[1, 2]]"], ["GRAPH_FAILED", "Remedy"]),
        (["--input", 'x=[["a"]]'], ["does not convert to float32", "Remedy"]),
        ([], ["GRAPH_FAILED", "Feeds of the model: x float32 [?, 4]"]),
        (["--signature", "other"], ["Available signatures", "Remedy"]),
        (["--input-name", "a=b:0"], ["input_names and output_names", "Remedy"]),
        (["--input-name", "a=b:0", "--output-name", "c=d:0"], ["'b', does not exist", "Remedy"]),
        (["--tags", "train"], ["train", "Remedy"]),
        (["--accelerator", "77", "--input", "x=[[1, 2, 3, 4]]"], ["Remedy"]),
        (["--input", "x=[[1, 2, 3, 4]]", "--output", "/no/such/folder/a.npz"], ["Remedy"]),
    ],
)
def test_errors_say_what_to_do(
    home: Path, model: Path, arguments: list[str], says: list[str]
) -> None:
    """One message with a remedy, exit status 1, and nothing on standard output."""
    result = predict(model, *arguments)

    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert all(words in result.stderr for words in ["Error: ", *says]), result.stderr
    assert result.stdout == ""


def test_no_model_there(tmp_path: Path) -> None:
    """A wrong path is said without a daemon."""
    result = predict(tmp_path)

    assert result.exit_code == 1
    assert "SavedModel file does not exist" in result.stderr


@pytest.mark.parametrize(
    "arguments", [["--output", "a.txt"], ["--timeout", "0"], ["--input-name", "a"], ["--nonsense"]]
)
def test_wrong_arguments_exit_with_2(model: Path, arguments: list[str]) -> None:
    """As all of the project's commands do."""
    assert predict(model, *arguments).exit_code == 2
