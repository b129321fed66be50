"""The first signal wakes the main thread; the second ends the process at once."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.conftest import patience

PROGRAM = """
import threading
from client_runtime.serving.ending import Ending, leave

ending = Ending()
ending.listen()
print("waiting", flush=True)
ending.wait()
print("woken", flush=True)
stuck = threading.Thread(target=threading.Event().wait)
{rest}
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_second_signal_is_at_once(number: signal.Signals) -> None:
    """With the exit status of one that was killed by it, as shells write it."""
    code = PROGRAM.format(rest="threading.Event().wait()")
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"waiting\n"
        process.send_signal(number)
        assert process.stdout.readline() == b"woken\n"
        process.send_signal(number)
        assert process.wait(patience(30)) == 128 + number


def test_a_thread_that_does_not_end_does_not_keep_the_process() -> None:
    """Its exit status stays what it was to be."""
    rest = "import client_runtime.serving.ending as e; e._STRAGGLER_SECONDS = 0.1\n"
    code = PROGRAM.format(rest=f"{rest}stuck.start(); leave(7)")
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"waiting\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(patience(30)) == 7
