"""The tag operations, over HTTPS."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_daemon.control.tags import read_arn, read_tag_keys, read_tags
from accel_protocol.errors import CallError

PREFIX = "arn:aws:elastic-inference:us-east-1:000000000000:elastic-inference-accelerator/"


def path_of(arn: str) -> str:
    """As boto3 writes it: the ARN in one segment."""
    return f"/tags/{quote(arn, safe='')}"


@pytest.fixture
def path(daemon: Any) -> Iterator[str]:
    """The path of the second accelerator, which has no tags before and after."""
    path = path_of(PREFIX + daemon.ready["accelerators"][1]["id"])
    yield path
    if keys := list(tags_at(daemon, path)):
        for start in range(0, len(keys), 50):
            query = "&".join(f"tagKeys={quote(key, safe='')}" for key in keys[start : start + 50])
            assert call(daemon, "DELETE", f"{path}?{query}").status == 200


def call(daemon: Any, method: str, path: str, body: Any = None, who: str = "ann") -> Any:
    """One call by a user."""
    return daemon.call(method, path, body, key=daemon.keys[who])


def tags_at(daemon: Any, path: str) -> dict[str, str]:
    """All tags there."""
    tags: dict[str, str] = call(daemon, "GET", path).json()["tags"]
    return tags


def test_tags_are_added_changed_and_removed(daemon: Any, path: str) -> None:
    """Also ones with characters that a URL has a use for."""
    assert tags_at(daemon, path) == {}
    assert call(daemon, "POST", path, {"tags": {"a": "1", "b c+ü&=": ""}}).json() == {}
    assert call(daemon, "POST", path, {"tags": {"a": "2", "d": "3"}}).status == 200
    assert tags_at(daemon, path) == {"a": "2", "b c+ü&=": "", "d": "3"}
    query = f"tagKeys={quote('b c+ü&=', safe='')}&tagKeys=d&tagKeys=not-there"
    assert call(daemon, "DELETE", f"{path}?{query}").json() == {}
    assert tags_at(daemon, path) == {"a": "2"}


def test_fifty_tags_and_not_one_more(daemon: Any, path: str) -> None:
    """A change of one that is there is still possible."""
    full = {str(number): "x" for number in range(50)}
    assert call(daemon, "POST", path, {"tags": full}).status == 200
    refused = call(daemon, "POST", path, {"tags": {"one more": "x"}})
    assert (refused.status, refused.json()["reason"]) == (400, "INVALID_CALL")
    assert call(daemon, "POST", path, {"tags": {"7": "y"}}).status == 200
    assert tags_at(daemon, path) == {**full, "7": "y"}


@pytest.mark.parametrize(
    ("arn", "status", "aws_name"),
    [
        (PREFIX + "eia-" + 32 * "0", 404, "ResourceNotFoundException"),
        (PREFIX.replace("us-east-1", "eu-west-1") + "eia-1", 404, "ResourceNotFoundException"),
        (PREFIX.replace("0" * 12, "1" * 12) + "eia-1", 404, "ResourceNotFoundException"),
        (PREFIX.replace("arn:aws:", "arn:aws-cn:") + "eia-1", 404, "ResourceNotFoundException"),
        (PREFIX + "eia-x", 400, "BadRequestException"),
        (PREFIX + "i-1", 400, "BadRequestException"),
        ("eia-1", 400, "BadRequestException"),
        ("arn:aws:s3:::eia-1", 400, "BadRequestException"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_wrong_arn(daemon: Any, method: str, arn: str, status: int, aws_name: str) -> None:
    """Not there, or not an accelerator's at all; both are audited."""
    answer = call(daemon, method, path_of(arn) + "?tagKeys=a", {"tags": {"a": "b"}})
    assert (answer.status, answer.headers["x-amzn-ErrorType"]) == (status, aws_name)
    lines = (daemon.home / "daemon" / "audit.log").read_text().splitlines()
    request_id = answer.headers["x-amzn-RequestId"]
    assert request_id in [json.loads(line)["request_id"] for line in lines]


def test_policies_are_asked_about_the_accelerator(daemon: Any) -> None:
    """Who may not, learns nothing about which accelerators there are."""
    for accelerator in (daemon.ready["accelerators"][0]["id"], "eia-" + 32 * "0"):
        answer = call(daemon, "GET", path_of(PREFIX + accelerator), who="denied")
        assert answer.json()["reason"] == "ACCESS_DENIED"
        assert accelerator in answer.json()["message"]
        lines = (daemon.home / "daemon" / "audit.log").read_text().splitlines()
        record = json.loads(lines[-1])
        assert record["action"] == "elastic-inference:ListTagsForResource"
        assert record["accelerator"] == accelerator


@pytest.mark.parametrize(
    "tags",
    [
        None,
        [],
        {},
        {str(number): "x" for number in range(51)},
        {"": "x"},
        {" ": "x"},
        {"a\n": "x"},
        {"a": "\x00"},
        {"a": "\ud800"},
        {"a": 1},
        {"a": None},
        {"k" * 129: "x"},
        {"k": "v" * 257},
        {"aws:owner": "x"},
        {"AWS:owner": "x"},
    ],
)
def test_tags_that_must_not_be(tags: object) -> None:
    """Too many, too long, not text, or not printable."""
    with pytest.raises(CallError):
        read_tags({"tags": tags})


@pytest.mark.parametrize("tags", [{"k" * 128: "v" * 256}, {str(one): "" for one in range(50)}])
def test_tags_at_the_limits(tags: dict[str, str]) -> None:
    """Exactly the limit is allowed."""
    assert read_tags({"tags": tags}) == tags


@pytest.mark.parametrize(
    "query",
    ["", "tagKeys=", "tagKeys", "keys=a", "tagKeys=%FF", "tagkeys=a", "&".join(["tagKeys=a"] * 51)],
)
def test_keys_that_must_not_be(query: str) -> None:
    """None, too many, or what is no key."""
    with pytest.raises(CallError):
        read_tag_keys(query)


@given(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=128))
def test_any_key_survives_the_query(key: str) -> None:
    """What is percent-encoded is what is read."""
    if not key.lower().startswith("aws:"):
        assert read_tag_keys(f"x=1&tagKeys={quote(key, safe='')}") == [key]


@given(st.text())
def test_any_segment_is_an_arn_or_refused(segment: str) -> None:
    """Nothing but CallError comes out."""
    with pytest.raises(CallError):
        read_arn(segment)


def test_arn_is_read() -> None:
    """Encoded or not."""
    for segment in (quote(PREFIX + "eia-1f", safe=""), PREFIX + "eia-1f"):
        assert read_arn(segment) == (PREFIX + "eia-1f", "eia-1f")
