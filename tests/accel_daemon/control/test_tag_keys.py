"""What policies learn about tags: those that an accelerator has, and those of a request."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from accel_daemon.control.service import tag_keys

ARN = "arn:aws:elastic-inference:us-east-1:000000000000:elastic-inference-accelerator/"


def test_tags_that_differ_in_case_are_one_key() -> None:
    """Condition keys have no case; a second spelling must not break every evaluation."""
    tags = {"Team": "a", "team": "b", "stage": "test"}
    assert tag_keys("x/", tags) == {"x/Team": ["a", "b"], "x/stage": "test"}


@pytest.fixture(scope="module")
def own_daemon(
    tmp_path_factory: pytest.TempPathFactory, tools: Any, interpreter: Path
) -> Iterator[Any]:
    """A daemon of this module's own, whose accelerator is tagged with stage, Team and team."""
    home = tmp_path_factory.mktemp("home")
    with tools.running_daemon(home, f"--accelerator=host,python={interpreter}") as running:
        key = tools.add_user(home, "tagger", {"Effect": "Allow", "Action": "*", "Resource": "*"})
        tags = {"stage": "test", "Team": "a", "team": "b"}
        assert running.call("POST", path(running), {"tags": tags}, key=key).status == 200
        yield running


def path(daemon: Any) -> str:
    """Where the first accelerator's tags are."""
    return "/tags/" + quote(ARN + daemon.ready["accelerators"][0]["id"], safe="")


def reason(daemon: Any, tools: Any, condition: dict[str, Any], *request: Any) -> str:
    """How a user whose only statement has this condition is answered."""
    allow = {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": condition}
    key = tools.add_user(daemon.home, f"conditional-{uuid.uuid4().hex}", allow)
    return str(daemon.call(*request, key=key).json().get("reason", ""))


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("aws:ResourceTag/stage", "test", True),
        ("aws:resourcetag/STAGE", "test", True),
        ("aws:ResourceTag/stage", "production", False),
        ("aws:ResourceTag/team", "a", True),
        ("aws:ResourceTag/team", "b", True),
        ("aws:ResourceTag/owner", "a", False),
    ],
)
@pytest.mark.parametrize("route", ["connect", "list tags"])
def test_tags_of_the_accelerator(
    own_daemon: Any, tools: Any, key: str, value: str, allowed: bool, route: str
) -> None:
    """At Connect and at the operations on tags."""
    first = own_daemon.ready["accelerators"][0]["id"]
    request: tuple[Any, ...] = ("POST", "/connect", {"accelerator": first})
    if route == "list tags":
        request = ("GET", path(own_daemon))
    answer = reason(own_daemon, tools, {"StringEquals": {key: value}}, *request)
    assert (answer != "ACCESS_DENIED") is allowed


@pytest.mark.parametrize(
    ("condition", "allowed"),
    [
        ({"StringEquals": {"aws:RequestTag/color": "red"}}, True),
        ({"StringEquals": {"aws:RequestTag/color": "blue"}}, False),
        ({"ForAllValues:StringEquals": {"aws:TagKeys": ["color", "size"]}}, True),
        ({"ForAllValues:StringEquals": {"aws:TagKeys": ["size"]}}, False),
        ({"ForAnyValue:StringEquals": {"aws:TagKeys": ["color"]}}, True),
    ],
)
def test_tags_of_the_request(
    own_daemon: Any, tools: Any, condition: dict[str, Any], allowed: bool
) -> None:
    """What is to be written."""
    request = ("POST", path(own_daemon), {"tags": {"color": "red"}})
    assert (reason(own_daemon, tools, condition, *request) == "") is allowed


@pytest.mark.parametrize(("keys", "allowed"), [(["color"], True), (["size"], False)])
def test_keys_to_be_removed(own_daemon: Any, tools: Any, keys: list[str], allowed: bool) -> None:
    """UntagResource names keys only."""
    condition = {"ForAllValues:StringEquals": {"aws:TagKeys": keys}}
    request = ("DELETE", path(own_daemon) + "?tagKeys=color")
    assert (reason(own_daemon, tools, condition, *request) == "") is allowed
