"""What policies learn about a request to the control endpoint."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CONDITIONS: list[tuple[dict[str, Any], str]] = [
    ({"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}, "both"),
    ({"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}, "none"),
    ({"Bool": {"aws:SecureTransport": "true"}}, "both"),
    ({"DateGreaterThan": {"aws:CurrentTime": "2026-01-01"}}, "both"),
    ({"DateLessThan": {"aws:CurrentTime": "2026-01-01"}}, "none"),
    ({"NumericGreaterThan": {"aws:EpochTime": "1767225600"}}, "both"),
    ({"StringEquals": {"elastic-inference:AcceleratorType": "eia2.large"}}, "second"),
    ({"StringNotEquals": {"elastic-inference:AcceleratorType": "eia2.large"}}, "first"),
    ({"StringLike": {"aws:username": "conditional-*"}}, "both"),
    ({"Null": {"elastic-inference:GraphId": "true"}}, "both"),
]


@pytest.fixture(scope="module")
def own_daemon(
    tmp_path_factory: pytest.TempPathFactory, tools: Any, interpreter: Path
) -> Iterator[Any]:
    """A daemon of this module's own: connecting makes accelerators the tenant's."""
    kinds = [f"{kind},python={interpreter}" for kind in ("host", "eia2.large")]
    options = [option for kind in kinds for option in ("--accelerator", kind)]
    with tools.running_daemon(tmp_path_factory.mktemp("home"), *options) as running:
        yield running


@pytest.mark.parametrize(("condition", "usable"), CONDITIONS)
def test_conditions_decide_who_connects(
    own_daemon: Any, tools: Any, condition: dict[str, Any], usable: str
) -> None:
    """A user whose only statement has this condition may use these accelerators."""
    allow = {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": condition}
    key = tools.add_user(own_daemon.home, f"conditional-{uuid.uuid4().hex}", allow)
    may_use = []
    for one in own_daemon.ready["accelerators"]:
        answer = own_daemon.call("POST", "/connect", {"accelerator": one["id"]}, key=key).json()
        may_use.append(answer.get("reason") != "ACCESS_DENIED")
    expected = {"both": [True, True], "none": [False, False]}
    expected |= {"first": [True, False], "second": [False, True]}
    assert may_use == expected[usable]
