"""`python -m accel_daemon.testing.tethered HOME ARGUMENTS…`: `accel-daemon` on a tether.

It runs `accel-daemon ARGUMENTS` in HOME until its standard input ends, then stops it as SIGTERM
does; and it removes HOME at the end. The kernel closes the other end of a pipe however the process
that holds it ends, so the daemon does not outlive a test session that is killed.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import NoReturn


def main() -> None:
    """Run the daemon; exits as it does."""
    home = Path(sys.argv.pop(1))
    os.environ["ACCEL_HOME"] = str(home)
    try:
        # Until the daemon has a handler of its own: its home goes also when it never got there.
        signal.signal(signal.SIGTERM, _exit)
        threading.Thread(target=_stop_at_end_of_input, daemon=True).start()
        from accel_daemon.__main__ import main as run_daemon

        run_daemon()
    finally:
        os.chdir("/")
        shutil.rmtree(home, ignore_errors=True)


def _exit(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


def _stop_at_end_of_input() -> None:
    # Not through sys.stdin: its lock would be held when the interpreter ends.
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
