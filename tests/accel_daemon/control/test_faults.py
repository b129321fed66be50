"""Faults through the control endpoint: who may, what the processes hear, and what shows."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from accel_protocol.sigv4 import AccessKey

CONNECT = {"accelerator": 0}


@pytest.fixture(scope="module")
def daemon(
    tmp_path_factory: pytest.TempPathFactory, tools: Any, interpreter: Path
) -> Iterator[Any]:
    """A daemon of this module's own: its accelerators have no other tenants."""
    home = tmp_path_factory.mktemp("home")
    two = ["--accelerator", f"host,python={interpreter}"] * 2
    with tools.running_daemon(home, "--allow-faults", *two) as running:
        profile = json.loads((home / "client.json").read_text())
        running.keys["administrator"] = AccessKey(
            profile["access_key_id"], profile["secret_access_key"]
        )
        yield running


@pytest.fixture(autouse=True)
def _clear(daemon: Any) -> Iterator[None]:
    """No fault outlives its test."""
    yield
    ask(daemon, "DELETE", "/faults")


def ask(daemon: Any, method: str, path: str, body: object = None, status: int = 200) -> Any:
    """The administrator's call."""
    answer = daemon.call(method, path, body, key=daemon.keys["administrator"])
    assert answer.status == status, answer.data
    return answer.json()


def inject(daemon: Any, kind: str, **settings: object) -> Any:
    """The row of a fault that was injected."""
    return ask(daemon, "POST", "/faults", {"kind": kind, **settings})["fault"]


def told(daemon: Any, tools: Any, ordinal: int = 0) -> Any:
    """The faults of the last notice to an accelerator."""
    life = tools.read_life(daemon.store(ordinal))
    return [line["faults"] for line in life if line["event"] == "told"][-1]


def test_a_fault_comes_and_goes(daemon: Any, tools: Any) -> None:
    """The process hears of it before the answer comes, and of its end."""
    started = time.time()
    row = inject(daemon, "drop", accelerator=1, probability=0.5, seed=3, seconds=60)
    assert row["acceleratorId"] == daemon.ready["accelerators"][1]["id"]
    assert row["text"] == "drop:accelerator=1,probability=0.5,seconds=60.0,seed=3"
    assert row["happened"] == 0
    assert 55 < row["until"] - started < 65
    assert [one["id"] for one in ask(daemon, "GET", "/faults")["faults"]] == [row["id"]]
    (heard,) = told(daemon, tools, 1)
    assert (heard["id"], heard["place"], heard["fault"]["kind"]) == (row["id"], "1", "drop")
    assert told(daemon, tools, 0) == []

    assert ask(daemon, "DELETE", f"/faults/{row['id']}")["cleared"] == [row["id"]]
    assert told(daemon, tools, 1) == ask(daemon, "GET", "/faults")["faults"] == []


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ({"kind": "burning"}, 400, "INVALID_CALL"),
        ({}, 400, "INVALID_CALL"),
        ({"kind": "drop", "accelerator": 7}, 404, "ACCELERATOR_NOT_FOUND"),
    ],
)
def test_what_is_no_fault(daemon: Any, body: Any, status: int, reason: str) -> None:
    """Refused, and nothing is injected."""
    assert ask(daemon, "POST", "/faults", body, status)["reason"] == reason
    assert ask(daemon, "GET", "/faults")["faults"] == []


def test_unhealthy_shows_everywhere(daemon: Any) -> None:
    """In the API and in the metrics, and only for the one accelerator; it can still be had."""
    inject(daemon, "unhealthy", accelerator=0)
    rows = ask(daemon, "POST", "/describe-accelerators")["acceleratorSet"]
    assert [row["acceleratorHealth"]["status"] for row in rows] == ["Unavailable", "Ok"]
    answer = daemon.call("GET", "/metrics", key=daemon.keys["administrator"])
    lines = answer.data.decode().splitlines()
    failed = [line for line in lines if line.startswith("accel_health_check_failed{")]
    assert [line.split()[-1] for line in failed] == ["1.0", "0.0"]
    assert ask(daemon, "POST", "/connect", CONNECT)["accelerator"]["ordinal"] == 0


def test_unavailable_is_refused_so_often(daemon: Any) -> None:
    """Connect is 503 with a hint when to come back, and works again after that."""
    inject(daemon, "unavailable", accelerator=0, count=1)
    refusal = ask(daemon, "POST", "/connect", CONNECT, 503)
    assert (refusal["reason"], refusal["fields"]) == ("UNAVAILABLE", {"retry_after_ms": "1000"})
    ask(daemon, "POST", "/connect", CONNECT)
    (row,) = ask(daemon, "GET", "/faults")["faults"]
    assert row["happened"] == 1


def test_whoever_does_not_mind_gets_another_one(daemon: Any) -> None:
    """Connect to any accelerator passes over the one that is unavailable."""
    inject(daemon, "unavailable", accelerator=0)
    assert ask(daemon, "POST", "/connect", {})["accelerator"]["ordinal"] == 1


def test_expired_credentials(daemon: Any) -> None:
    """Good credentials are refused so often, except where faults are cleared; audited."""
    inject(daemon, "expired-credentials", at="control", count=2)
    ask(daemon, "GET", "/faults")
    for _ in range(2):
        refusal = ask(daemon, "GET", "/status", status=403)
        assert refusal["reason"] == "CREDENTIALS_EXPIRED"
    ask(daemon, "GET", "/status")
    lines = (daemon.home / "daemon" / "audit.log").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    (record,) = [one for one in records if one["request_id"] == refusal["requestId"]]
    assert record["allowed"] is False


def test_a_process_that_starts_again_is_told_again(daemon: Any, tools: Any) -> None:
    """Faults outlive processes."""
    row = inject(daemon, "slow", latency_ms=1, accelerator=1)
    store = daemon.store(1)
    before = [line for line in tools.read_life(store) if line["event"] == "told"]
    pid = ask(daemon, "GET", "/status")["accelerators"][1]["pid"]
    os.kill(pid, signal.SIGKILL)

    def again() -> bool:
        life = [line for line in tools.read_life(store) if line["event"] == "told"]
        return len(life) > len(before)

    tools.wait_until(again)
    assert [one["id"] for one in told(daemon, tools, 1)] == [row["id"]]


def test_not_without_the_operators_leave(tools: Any, interpreter: Path, tmp_path: Path) -> None:
    """An ordinary daemon takes no faults, not even from its administrator."""
    home = tmp_path / "home"
    with tools.running_daemon(home, "--accelerator", f"host,python={interpreter}") as running:
        profile = json.loads((home / "client.json").read_text())
        key = AccessKey(profile["access_key_id"], profile["secret_access_key"])
        for method, path in (
            ("GET", "/faults"),
            ("POST", "/faults"),
            ("DELETE", "/faults"),
            ("DELETE", "/faults/1"),
        ):
            answer = running.call(method, path, {"kind": "drop"}, key=key)
            assert (answer.status, answer.json()["reason"]) == (403, "ACCESS_DENIED")
            assert "--allow-faults" in answer.json()["remedy"]
