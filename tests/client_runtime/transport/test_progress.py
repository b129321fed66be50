"""Progress bars: only on a terminal, and only for what takes a while."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

import pytest

SCRIPT = """
import sys, time
from client_runtime.transport.progress import progress
with progress("uploading the model", 100) as shown:
    for _ in range(4):
        time.sleep(float(sys.argv[1]))
        shown(25)
"""


def shown_on_a_terminal(pause: str) -> str:
    """What a terminal shows while something is done in four steps with this pause."""
    reader, terminal = pty.openpty()
    rows_and_columns = struct.pack("HHHH", 24, 80, 0, 0)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, rows_and_columns)
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, pause], stderr=terminal)
    os.close(terminal)
    shown = b""
    while process.poll() is None or shown[-1:] not in (b"", b"\n"):
        try:
            shown += os.read(reader, 1024)
        except OSError:  # the other side is closed
            break
    process.wait()
    return shown.decode()


@pytest.mark.parametrize(("pause", "appears"), [("0.5", True), ("0.01", False)])
def test_bar_appears_only_after_a_second(pause: str, appears: bool) -> None:
    """What is done in a moment shows nothing."""
    assert ("uploading the model" in shown_on_a_terminal(pause)) == appears


def test_nothing_is_shown_without_a_terminal() -> None:
    """Logs and pipes stay clean."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, "0.4"], capture_output=True, check=True, text=True
    )

    assert done.stderr == ""
