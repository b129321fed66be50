"""What becomes of gRPC's streams when the interpreter ends."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import sys
from client_runtime.transport.channel import keep_past_exit

class Stream:
    def __del__(self):
        print("collected", flush=True)

stream = Stream()
{keep}
{end}
"""


def ended_with(keep: str, end: str) -> str:
    """What a program prints that has a stream when it ends."""
    command = [sys.executable, "-c", SCRIPT.format(keep=keep, end=end)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize("end", ["", "raise KeyboardInterrupt"], ids=["end", "interrupt"])
def test_streams_outlive_the_interpreter(end: str) -> None:
    """Collecting one at that moment may wait for a lock of a thread that is stopped already."""
    assert ended_with("", end) == "collected\n"
    assert ended_with("keep_past_exit(stream)", end) == ""


def test_streams_are_collected_before() -> None:
    """A program that goes on keeps none that it has done with."""
    assert ended_with("keep_past_exit(stream)", "del stream\nprint('goes on')") == (
        "collected\ngoes on\n"
    )
