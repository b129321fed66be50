"""Filters and pages of DescribeAccelerators."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_daemon.control.pages import Filter, Question, cut_page, matches, read_question
from accel_protocol.errors import CallError

IDS = [f"eia-{number:02x}" for number in range(7)]


def test_empty_body_asks_for_everything() -> None:
    """No ids, no filters, one page."""
    assert read_question({}) == Question()
    assert cut_page(Question(), IDS) == (IDS, None)


@pytest.mark.parametrize(
    "body",
    [
        {"acceleratorIds": "eia-1"},
        {"acceleratorIds": [1]},
        {"acceleratorIds": ["eia-1"] * 1001},
        {"filters": {}},
        {"filters": [{}] * 101},
        {"filters": [7]},
        {"filters": [{"name": "colour", "values": []}]},
        {"filters": [{"name": ["instance-id"], "values": []}]},
        {"filters": [{"name": "instance-id", "values": "i-1"}]},
        {"filters": [{"name": "instance-id", "values": ["i-1"] * 101}]},
        {"maxResults": -1},
        {"maxResults": 101},
        {"maxResults": True},
        {"maxResults": "1"},
        {"maxResults": 1.0},
        {"nextToken": ""},
        {"nextToken": 7},
        {"nextToken": "not base64!"},
        {"nextToken": "AAAA"},
        {"nextToken": "A" * 2052},
        {"nextToken": base64.b64encode(b"[1]").decode()},
        {"nextToken": base64.b64encode(b'{"after": 1}').decode()},
        {"nextToken": base64.b64encode(b'{"after": "eia-01", "question": "x"}').decode()},
    ],
)
def test_what_is_no_question(body: dict[str, Any]) -> None:
    """Refused as the wrong call that it is."""
    with pytest.raises(CallError) as caught:
        read_question(body)
    assert caught.value.reason == "INVALID_CALL"


@pytest.mark.parametrize(
    ("ids", "values", "results"), [(1000, 100, 0), (0, 0, 1), (1, 1, 99), (1, 1, 100)]
)
def test_limits_are_inside(ids: int, values: int, results: int) -> None:
    """Exactly the limit is allowed."""
    question = read_question(
        {
            "acceleratorIds": [f"eia-{number}" for number in range(ids)],
            "filters": [{"name": "instance-id", "values": ["i-1"] * values}] * 100,
            "maxResults": results,
        }
    )
    assert len(question.ids) == ids
    assert question.max_results == (results or None)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ((), True),
        ((Filter("accelerator-type", ("host", "eia2.large")),), True),
        ((Filter("accelerator-types", ("eia2.large",)),), True),
        ((Filter("accelerator-type", ("eia2.larg", "EIA2.LARGE", "*")),), False),
        ((Filter("accelerator-type", ()),), False),
        ((Filter("instance-id", ("i-1",)), Filter("accelerator-type", ("eia2.large",))), True),
        ((Filter("instance-id", ("i-1",)), Filter("accelerator-type", ("host",))), False),
        ((Filter("instance-id", ("i-2",)),), False),
    ],
)
def test_filters(filters: tuple[Filter, ...], expected: bool) -> None:
    """All filters have to hold, each by one of its values, to the letter."""
    assert matches(filters, {"acceleratorType": "eia2.large", "instanceId": "i-1"}) is expected


@given(st.lists(st.integers(0, 50), unique=True), st.integers(1, 60))
def test_pages_hold_every_row_once(numbers: list[int], size: int) -> None:
    """Going from token to token gives all rows in their order, `size` at a time."""
    ids, body, seen = [f"eia-{one}" for one in numbers], {"maxResults": size}, []
    while True:
        page, token = cut_page(read_question(body), ids)
        seen.extend(page)
        if token is None:
            break
        assert len(page) == size
        body = {**body, "nextToken": token}
    assert seen == ids


def test_token_of_another_question() -> None:
    """A token goes on with the question it was given for, and with no other."""
    asked = {"maxResults": 2, "filters": [{"name": "instance-id", "values": ["i-1"]}]}
    _, token = cut_page(read_question(asked), IDS)
    assert read_question({**asked, "nextToken": token}).after == IDS[1]
    assert read_question({**asked, "maxResults": 5, "nextToken": token}).after == IDS[1]
    with pytest.raises(CallError, match="not one that this question"):
        read_question({"maxResults": 2, "nextToken": token})


def test_token_whose_row_is_gone() -> None:
    """There is no place to go on from."""
    _, token = cut_page(Question(max_results=1), IDS)
    with pytest.raises(CallError, match="not one that this question"):
        cut_page(read_question({"nextToken": token}), IDS[1:])


@given(st.recursive(st.none() | st.text() | st.integers(), st.lists))
def test_any_json_value_is_read_or_refused(value: Any) -> None:
    """Nothing but CallError ever comes out."""
    for name in ("acceleratorIds", "filters", "maxResults", "nextToken"):
        try:
            read_question(json.loads(json.dumps({name: value})))
        except CallError as error:
            assert error.reason == "INVALID_CALL"
