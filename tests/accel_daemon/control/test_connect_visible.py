"""Connect with a list of accelerators, which is how a client's EI_VISIBLE_DEVICES arrives."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from accel_protocol.sigv4 import AccessKey

ARN = "arn:aws:elastic-inference:us-east-1:000000000000:elastic-inference-accelerator/"
NOT_THERE = "eia-" + 32 * "0"


@pytest.fixture(scope="module")
def daemon(
    tmp_path_factory: pytest.TempPathFactory, tools: Any, interpreter: Path
) -> Iterator[Any]:
    """A daemon with three accelerators; the user "third" may use the third one only.

    Nobody else uses that one here, so that nobody finds an accelerator occupied.
    """
    home = tmp_path_factory.mktemp("home")
    with tools.running_daemon(
        home, *["--accelerator", f"host,python={interpreter}"] * 3
    ) as running:
        profile = json.loads((home / "client.json").read_text())
        key = AccessKey(profile["access_key_id"], profile["secret_access_key"])
        resource = ARN + running.ready["accelerators"][2]["id"]
        allow = {"Effect": "Allow", "Action": "elastic-inference:Connect", "Resource": resource}
        running.keys.update(administrator=key, third=tools.add_user(home, "third", allow))
        yield running


def connect(daemon: Any, name: str, **body: object) -> dict[str, Any]:
    """What a user gets; "A" to "C" stand for the accelerators' ids."""
    ids = {
        letter: one["id"] for letter, one in zip("ABC", daemon.ready["accelerators"], strict=True)
    }

    def real(value: Any) -> Any:
        return [real(one) for one in value] if isinstance(value, list) else ids.get(value, value)

    asked = {member: real(value) for member, value in body.items()}
    answer: dict[str, Any] = daemon.call("POST", "/connect", asked, key=daemon.keys[name]).json()
    return answer


@pytest.mark.parametrize(
    ("body", "ordinal"),
    [
        ({"accelerators": [1]}, 1),
        ({"accelerators": ["B"]}, 1),
        ({"accelerators": [1, 0]}, 1),
        ({"accelerators": [0, 1]}, 0),
        ({"accelerators": [0, "B"], "accelerator": 1}, 1),
        ({"accelerators": [1, 0], "accelerator": "A"}, 0),
    ],
)
def test_only_listed_ones_count(daemon: Any, body: dict[str, object], ordinal: int) -> None:
    """In the order of the list, unless one of them is asked for."""
    assert connect(daemon, "administrator", **body)["accelerator"]["ordinal"] == ordinal


@pytest.mark.parametrize(
    ("body", "reason", "told"),
    [
        ({"accelerators": [1], "accelerator": 0}, "ACCELERATOR_NOT_FOUND", "visible ones: 1 ("),
        ({"accelerators": [0, 7]}, "ACCELERATOR_NOT_FOUND", "no accelerator '7', only 0 (eia-"),
        ({"accelerators": [NOT_THERE]}, "ACCELERATOR_NOT_FOUND", "only 0 (eia-"),
        ({"accelerators": [1, 1]}, "INVALID_CALL", "twice"),
        ({"accelerators": [1, "B"]}, "INVALID_CALL", "twice"),
        ({"accelerators": []}, "INVALID_CALL", "1 to 64"),
    ],
)
def test_lists_that_are_refused(
    daemon: Any, body: dict[str, object], reason: str, told: str
) -> None:
    """Who may use them all is told which there are."""
    answer = connect(daemon, "administrator", **body)
    assert answer["reason"] == reason
    assert told in answer["message"]


@pytest.mark.parametrize(
    ("among", "expected"),
    [
        (["A", "C"], 2),
        ([0, 1, 2], 2),
        ([NOT_THERE, "C"], 2),
        (["A"], "ACCESS_DENIED"),
        ([0], "ACCESS_DENIED"),
        ([NOT_THERE], "ACCESS_DENIED"),
    ],
)
def test_a_list_shows_nothing_that_is_denied(
    daemon: Any, among: list[object], expected: object
) -> None:
    """An id that is not there and one that may not be used look the same."""
    answer = connect(daemon, "third", accelerators=among)
    assert answer.get("reason", answer.get("accelerator", {}).get("ordinal")) == expected


def test_unknown_ordinal_names_only_what_may_be_used(daemon: Any) -> None:
    """Not those that this user may not use."""
    first, second, third = (one["id"] for one in daemon.ready["accelerators"])
    answer = connect(daemon, "third", accelerator=9)
    assert answer["reason"] == "ACCELERATOR_NOT_FOUND"
    assert third in answer["message"]
    assert first not in answer["message"]
    assert second not in answer["message"]
