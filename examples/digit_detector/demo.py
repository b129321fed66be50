"""A real picture through a real accelerator: the whole product in one command.

Starts a daemon in a home of its own, ships the trained detector to it over TLS, runs it on a page
20 times by tensor names and 20 times by its default signature, compares every output with local
TensorFlow, and writes the page with what was found on it. Exits with 1 when any output differs.

    python demo.py --output detections.png
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from drawing import write_png
from evaluate import MODEL, load_predictor
from numpy.typing import NDArray
from pages import CLASS_ID_OFFSET
from PIL import Image
from scoring import Detections, confident_detections

HERE = Path(__file__).parent
RUNS = 20
INPUT_NAMES = {"inputs": "image_tensor:0"}
OUTPUT_NAMES = {
    name: f"{name}:0"
    for name in ("detection_boxes", "detection_scores", "detection_classes", "num_detections")
}
# TensorFlow's own kernels vary by this much between two processes on one machine.
RELATIVE_TOLERANCE = 1e-5
ABSOLUTE_TOLERANCE = 1e-5
START_SECONDS = 120.0

Outputs = Mapping[str, Any]
Page = NDArray[np.uint8]


@contextmanager
def running_daemon(home: Path) -> Iterator[None]:
    """A daemon in `home`, ready when this yields and ended with SIGTERM afterwards.

    Raises RuntimeError when it does not become ready, or does not end with status 0.
    """
    ready, log = home / "ready.json", home / "daemon.log"
    environment = {**os.environ, "ACCEL_HOME": str(home)}
    command = [
        sys.executable,
        "-m",
        "accel_daemon",
        "up",
        "--port",
        "0",
        "--ready-file",
        str(ready),
    ]
    with log.open("wb") as output:
        daemon = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        give_up = time.monotonic() + START_SECONDS
        while not ready.exists():
            if daemon.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError(f"The daemon did not start:\n{log.read_text()}")
            time.sleep(0.05)
        yield
    finally:
        daemon.send_signal(signal.SIGTERM)
        status = daemon.wait()
    if status != 0:
        raise RuntimeError(f"The daemon ended with status {status}:\n{log.read_text()}")


def timed_runs(predict: Callable[[Page], Outputs], page: Page) -> tuple[list[Outputs], list[float]]:
    """RUNS answers for the page [1, height, width, 3], and the seconds each took."""
    answers, seconds = [], []
    for _ in range(RUNS):
        started = time.perf_counter()
        answers.append(predict(page))
        seconds.append(time.perf_counter() - started)
    return answers, seconds


def report_times(what: str, seconds: list[float]) -> None:
    """Print the first time, which pays for sending and loading the model, and the later ones."""
    later = sorted(seconds[1:])
    print(
        f"{what:<24} first {seconds[0] * 1e3:8.1f} ms   "
        f"later: median {later[len(later) // 2] * 1e3:6.1f} ms "
        f"({later[0] * 1e3:.1f}-{later[-1] * 1e3:.1f})"
    )


def largest_difference(answers: list[Outputs], local: Outputs) -> float:
    """The largest absolute difference of any output of any answer.

    Raises AssertionError where an output is missing, or differs by more than the tolerances.
    """
    largest = 0.0
    for answer in answers:
        assert set(answer) == set(local), f"outputs {sorted(answer)} instead of {sorted(local)}"
        for name, expected in local.items():
            np.testing.assert_allclose(
                answer[name], expected, RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE, err_msg=name
            )
            largest = max(largest, float(np.max(np.abs(answer[name] - expected), initial=0)))
    return largest


def report_detections(found: Detections) -> None:
    """Print what was found, best first."""
    for box, class_id, score in zip(found.boxes, found.class_ids, found.scores, strict=True):
        corners = ", ".join(f"{edge:.3f}" for edge in box)
        print(f"  {class_id - CLASS_ID_OFFSET}  {score:6.1%}  [{corners}]")


def run_remotely(page: Page) -> list[Outputs]:
    """All answers of the accelerator, by names and by signature, with their times printed."""
    from client_runtime import EIPredictor  # after ACCEL_HOME was set

    answers: list[Outputs] = []
    ways = {
        "by tensor names": {"input_names": INPUT_NAMES, "output_names": OUTPUT_NAMES},
        "by default signature": {},
    }
    for what, arguments in ways.items():
        with EIPredictor(str(MODEL), **arguments) as predictor:

            def predict(image: Page, run: Any = predictor) -> Outputs:
                return run({"inputs": image})

            some, seconds = timed_runs(predict, page)
            report_times(what, seconds)
            print(f"{'':<24} {predictor.uploaded_bytes:,} bytes of the model were uploaded")
            answers += some
    return answers


def main() -> int:
    """Run the demonstration; returns 0 when every output equals local TensorFlow's."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--page", type=Path, default=HERE / "page.png", help="picture to look at")
    parser.add_argument(
        "--output", type=Path, default=Path("detections.png"), help="where to write the result"
    )
    arguments = parser.parse_args()
    page = np.asarray(Image.open(arguments.page).convert("RGB"))
    with tempfile.TemporaryDirectory(prefix="accel-demo-") as home:
        os.environ["ACCEL_HOME"] = home
        with running_daemon(Path(home)):
            answers = run_remotely(page[None])
    try:
        difference = largest_difference(answers, load_predictor(MODEL)(page[None]))
    except AssertionError as error:
        print(f"An output differs from local TensorFlow: {error}", file=sys.stderr)
        return 1
    print(f"{len(answers)} answers equal local TensorFlow; largest difference {difference:.2g}")
    found = confident_detections(answers[0])
    report_detections(found)
    write_png(page, found, arguments.output)
    print(f"{len(found.scores)} digits found; see {arguments.output.resolve()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
