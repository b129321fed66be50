"""Status and the description of accelerators."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import pytest

from accel_daemon.sandbox.enter import default_level


def test_status(daemon: Any, tools: Any) -> None:
    """State, process, endpoint, tenant and counters of each accelerator."""
    key = daemon.keys["administrator"]
    daemon.call("POST", "/connect", {"accelerator": 0}, key=key)
    new = daemon.store(0) / "new.json"
    new.write_text(json.dumps({"runs": 42}))
    new.rename(daemon.store(0) / "counters.json")

    def rows() -> list[dict[str, Any]]:
        return daemon.call("GET", "/status", key=key).json()["accelerators"]

    tools.wait_until(lambda: rows()[0]["counters"] == {"runs": 42})
    first = daemon.ready["accelerators"][0]
    assert rows()[0] == {
        **first,
        "ordinal": 0,
        "engine": "tensorflow",
        "state": "ready",
        "restarts": 0,
        "sandbox": f"{default_level().value} (stand-in)",
        "tenancy": 1,
        "principal": "arn:aws:iam::000000000000:user/administrator",
        "quarantined": {},
        "counters": {"runs": 42},
    }


def test_a_crash_shows_and_passes(daemon: Any, tools: Any) -> None:
    """Other accelerators go on; the crashed one is back on its endpoint."""
    key = daemon.keys["administrator"]
    before = daemon.call("GET", "/status", key=key).json()["accelerators"]
    os.kill(before[1]["pid"], signal.SIGKILL)

    def is_back() -> bool:
        row = daemon.call("GET", "/status", key=key).json()["accelerators"][1]
        return bool(row["restarts"] == before[1]["restarts"] + 1 and row["state"] == "ready")

    tools.wait_until(is_back)
    after = daemon.call("GET", "/status", key=key).json()["accelerators"]
    assert after[0]["pid"] == before[0]["pid"]
    assert after[1]["endpoint"] == before[1]["endpoint"]


def test_healthz(daemon: Any) -> None:
    """Asks for no credentials and tells nothing."""
    answer = daemon.call("GET", "/healthz")
    assert (answer.status, answer.json()) == (
        200,
        {"status": "ok", "sandbox": default_level().value},
    )


def test_describe(daemon: Any) -> None:
    """The members of the AWS operation."""
    key, second = daemon.keys["ann"], daemon.ready["accelerators"][1]
    answer = daemon.call(
        "POST", "/describe-accelerators", {"acceleratorIds": [second["id"]]}, key=key
    )
    (row,) = answer.json()["acceleratorSet"]
    assert answer.json()["acceleratorDetails"] == [
        {
            "acceleratorId": second["id"],
            "ordinal": 1,
            "state": "ready",
            "endpoint": second["endpoint"],
            "sandbox": f"{default_level().value} (stand-in)",
            "usedMemoryBytes": None,
        }
    ]
    assert row.pop("attachedResource").startswith("arn:aws:ec2:us-east-1:000000000000:instance/i-")
    assert row == {
        "acceleratorHealth": {"status": "Ok"},
        "acceleratorType": "eia2.large",
        "acceleratorId": second["id"],
        "availabilityZone": "us-east-1a",
    }


@pytest.mark.parametrize("body", [{}, {"acceleratorIds": []}])
def test_describe_all(daemon: Any, body: dict[str, object]) -> None:
    """Without ids, all of them."""
    answer = daemon.call("POST", "/describe-accelerators", body, key=daemon.keys["ann"])
    ids = [one["acceleratorId"] for one in answer.json()["acceleratorSet"]]
    assert ids == [one["id"] for one in daemon.ready["accelerators"]]


@pytest.mark.parametrize(
    ("ids", "reason"),
    [(["eia-" + 32 * "0"], "ACCELERATOR_NOT_FOUND"), ("eia-1", "INVALID_CALL"),
     ([7], "INVALID_CALL")],
)  # fmt: skip
def test_describe_refuses(daemon: Any, ids: object, reason: str) -> None:
    """An unknown id, or what is no list of ids."""
    body = {"acceleratorIds": ids}
    answer = daemon.call("POST", "/describe-accelerators", body, key=daemon.keys["ann"])
    assert answer.json()["reason"] == reason
