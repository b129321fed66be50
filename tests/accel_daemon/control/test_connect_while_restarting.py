"""Who asks for an accelerator that keeps crashing is told when it can be back at the soonest."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from tests.conftest import patience

ALLOW = {"Effect": "Allow", "Action": "elastic-inference:Connect", "Resource": "*"}


def test_the_hint_reaches_beyond_the_next_start(
    tools: Any, tmp_path: Path, interpreter: Path
) -> None:
    """As long as the back-off lasts, which is longer than the hint for an ordinary restart."""
    home = tmp_path / "home"
    with tools.running_daemon(home, "--accelerator", f"host,python={interpreter}") as daemon:
        key, store = tools.add_user(home, "ann", ALLOW), daemon.store()

        def starts() -> list[Any]:
            return [one for one in tools.read_life(store) if one["event"] == "started"]

        def hint() -> tuple[str, float]:
            body = daemon.call("POST", "/connect", {}, key=key).json()
            return body["fields"]["state"], int(body["fields"]["retry_after_ms"]) / 1000

        (store / "crash").touch()
        os.kill(starts()[-1]["pid"], signal.SIGKILL)
        tools.wait_until(lambda: len(starts()) == 5)  # then the back-off is 4 seconds
        tools.wait_until(lambda: hint()[0] == "backing-off")
        asked = time.monotonic()
        _, seconds = hint()
        tools.wait_until(lambda: len(starts()) == 6)
        assert time.monotonic() - asked <= seconds + patience(3)
        assert seconds > 2
