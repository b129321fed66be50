"""The project's tests: its own code, unmodified, on a real accelerator."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from digit_counter import MODEL, count_digits
from PIL import Image

from accel_protocol.errors import AccessDeniedError
from client_runtime import accelerators

PAGE = MODEL.parents[1] / "page.png"
NO_CONNECT = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": "elastic-inference:DescribeAccelerators", "Resource": "*"}
    ],
}


@pytest.mark.usefixtures("aws_environment")
def test_digits_are_counted() -> None:
    """The picture is looked at by an accelerator: nothing here imports TensorFlow."""
    with Image.open(PAGE) as page:
        assert count_digits(np.asarray(page.convert("RGB"))) == 16
    assert "tensorflow" not in sys.modules


@pytest.mark.usefixtures("aws_environment")
def test_an_empty_page() -> None:
    """The second test meets a running accelerator that has the model already."""
    assert count_digits(np.full((128, 128, 3), 255, np.uint8)) == 0


@pytest.mark.usefixtures("aws_environment")
@pytest.mark.accelerator_policy(NO_CONNECT)
def test_a_user_who_may_not_connect() -> None:
    """What a policy does not allow is refused, with an error that says so."""
    with pytest.raises(AccessDeniedError, match="elastic-inference:Connect"):
        count_digits(np.zeros((128, 128, 3), np.uint8))


@pytest.mark.usefixtures("aws_environment")
def test_which_accelerators_there_are(accelerator: Any) -> None:
    """Discovery finds the one of the fixture."""
    assert [one.id for one in accelerators()] == list(accelerator.accelerator_ids)


def test_a_program_of_its_own(accelerator: Any) -> None:
    """A child process becomes a client through its environment."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import client_runtime; print(len(client_runtime.accelerators()))",
        ],
        env=accelerator.client_environment(),
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == "1\n"
