"""A running daemon for the tests of the control endpoint."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from accel_protocol.sigv4 import AccessKey

ARN = "arn:aws:elastic-inference:us-east-1:000000000000:elastic-inference-accelerator/"


@pytest.fixture(scope="session")
def daemon(
    tmp_path_factory: pytest.TempPathFactory, tools: Any, interpreter: Path
) -> Iterator[Any]:
    """A daemon with two accelerators, and these users' keys in `keys`.

    administrator: may do all; ann: all as well; denied: nothing; second: Connect to the second
    accelerator.
    """
    home = tmp_path_factory.mktemp("home")
    kinds = [f"host,python={interpreter}", f"eia2.large,python={interpreter}"]
    options = [option for kind in kinds for option in ("--accelerator", kind)]
    with tools.running_daemon(home, "--metrics-port", "0", "--allow-faults", *options) as running:
        profile = json.loads((home / "client.json").read_text())
        second = ARN + running.ready["accelerators"][1]["id"]
        running.keys["administrator"] = AccessKey(
            profile["access_key_id"], profile["secret_access_key"]
        )
        for name, effect, action, resource in (
            ("ann", "Allow", "elastic-inference:*", "*"),
            ("denied", "Deny", "*", "*"),
            ("second", "Allow", "elastic-inference:Connect", second),
        ):
            statement = {"Effect": effect, "Action": action, "Resource": resource}
            running.keys[name] = tools.add_user(home, name, statement)
        key = running.keys["second"]
        tools.wait_until(lambda: _knows(running, key))
        yield running


def _knows(daemon: Any, key: AccessKey) -> bool:
    return bool(daemon.call("GET", "/status", key=key).json()["reason"] == "ACCESS_DENIED")
