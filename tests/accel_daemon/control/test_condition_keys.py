"""What policies learn about a request to the control endpoint."""

from __future__ import annotations

import uuid
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


@pytest.mark.parametrize(("condition", "usable"), CONDITIONS)
def test_conditions_decide_who_connects(
    daemon: Any, tools: Any, condition: dict[str, Any], usable: str
) -> None:
    """A user whose only statement has this condition may use these accelerators."""
    allow = {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": condition}
    key = tools.add_user(daemon.home, f"conditional-{uuid.uuid4().hex}", allow)
    may_use = []
    for one in daemon.ready["accelerators"]:
        answer = daemon.call("POST", "/connect", {"accelerator": one["id"]}, key=key).json()
        may_use.append(answer.get("reason") != "ACCESS_DENIED")
    expected = {"both": [True, True], "none": [False, False]}
    expected |= {"first": [True, False], "second": [False, True]}
    assert may_use == expected[usable]
