"""Connect: which accelerator a caller gets, and the ticket for it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import jwt
import pytest

from accel_daemon.control.connect import (
    MAX_AMONG,
    check_versions,
    choose,
    read_among,
    read_selector,
)
from accel_daemon.supervisor.life_cycle import State
from accel_daemon.supervisor.tenancy import Granted, NeedsRestart, Occupied, Tenancy
from accel_protocol.errors import AcceleratorError, BusyError

ME, OTHER = "arn:aws:iam::000000000000:user/me", "arn:aws:iam::000000000000:user/other"


@pytest.mark.parametrize(
    ("body", "selector"),
    [({}, None), ({"accelerator": None}, None), ({"accelerator": 1}, 1),
     ({"accelerator": "eia-1"}, "eia-1")],
)  # fmt: skip
def test_read_selector(body: Mapping[str, object], selector: object) -> None:
    """An id, an ordinal, or null."""
    assert read_selector(body) == selector


@pytest.mark.parametrize("value", [True, 1.0, [], {}])
def test_read_selector_refuses(value: object) -> None:
    """Whatever else."""
    with pytest.raises(AcceleratorError) as caught:
        read_selector({"accelerator": value})
    assert caught.value.reason == "INVALID_CALL"


@pytest.mark.parametrize(
    ("value", "among"), [(None, None), ([1, "eia-1"], (1, "eia-1")), ([0] * MAX_AMONG, (0,) * 64)]
)
def test_read_among(value: object, among: object) -> None:
    """A list of ids and ordinals, or nothing."""
    assert read_among({"accelerators": value}) == among


@pytest.mark.parametrize("value", [[], "eia-1", 1, {}, [True], [1.0], [None], [[]], [0] * 65])
def test_read_among_refuses(value: object) -> None:
    """Whatever else, and more than 64."""
    with pytest.raises(AcceleratorError) as caught:
        read_among({"accelerators": value})
    assert caught.value.reason == "INVALID_CALL"


@pytest.mark.parametrize("window", [(1, 1), (0, 1), (1, 9)])
def test_versions_that_meet(window: tuple[int, int]) -> None:
    """The windows overlap."""
    check_versions({"minVersion": window[0], "maxVersion": window[1]})


@pytest.mark.parametrize(
    ("low", "high", "reason"),
    [(2, 3, "VERSION_UNSUPPORTED"), (0, 0, "VERSION_UNSUPPORTED"), (2, 1, "VERSION_UNSUPPORTED"),
     ("1", 1, "INVALID_CALL"), (1, None, "INVALID_CALL"), (True, True, "INVALID_CALL")],
)  # fmt: skip
def test_versions_that_do_not(low: object, high: object, reason: str) -> None:
    """Refused with what this daemon speaks."""
    with pytest.raises(AcceleratorError) as caught:
        check_versions({"minVersion": low, "maxVersion": high})
    assert caught.value.reason == reason


class Offer:
    """The part of an accelerator that `choose` looks at."""

    def __init__(self, answer: object, tenant: str | None, state: State = State.READY) -> None:
        self.answer, self.tenancy, self.state = answer, Tenancy(1, tenant), state

    def preview(self, principal: str) -> object:
        """What it was made with."""
        return self.answer


FREE, OWN = Offer(Granted(Tenancy()), None), Offer(Granted(Tenancy()), ME)
OWN_DOWN = Offer(Granted(Tenancy()), ME, State.BACKING_OFF)
IDLE = Offer(NeedsRestart(Tenancy()), OTHER)
TAKEN, TAKEN_SHORTLY = Offer(Occupied(30.0), OTHER), Offer(Occupied(2.0), OTHER)


@pytest.mark.parametrize(
    ("offers", "best"),
    [
        ([FREE], FREE),
        ([FREE, OWN], OWN),
        ([TAKEN, FREE], FREE),
        ([OWN_DOWN, FREE], FREE),
        ([IDLE, OWN_DOWN], OWN_DOWN),
        ([TAKEN, IDLE], IDLE),
    ],
)
def test_choose(offers: list[Any], best: Any) -> None:
    """Its own before a free one, a ready one before one that is not, a restart last."""
    assert choose(offers, ME) is best


@pytest.mark.parametrize(
    ("offers", "first"),
    [
        ([FREE, OWN], FREE),
        ([OWN, FREE], OWN),
        ([TAKEN, FREE, OWN], FREE),
        ([OWN_DOWN, IDLE, FREE], FREE),
        ([IDLE, OWN_DOWN], OWN_DOWN),
    ],
)
def test_choose_in_order(offers: list[Any], first: Any) -> None:
    """The first that can be had at once, whoever had it."""
    assert choose(offers, ME, in_order=True) is first


def test_choose_when_all_are_taken() -> None:
    """The hint is the time until the first of them may be free."""
    with pytest.raises(BusyError) as caught:
        choose([TAKEN, TAKEN_SHORTLY], ME)  # type: ignore[list-item]
    assert caught.value.fields == {"retry_after_ms": "2000"}


def test_answer(daemon: Any) -> None:
    """Where it is, and a ticket for exactly this accelerator, principal and key."""
    key, first = daemon.keys["administrator"], daemon.ready["accelerators"][0]
    answer = daemon.call("POST", "/connect", {"minVersion": 1, "maxVersion": 1}, key=key)
    body = answer.json()
    assert answer.status == 200
    assert body["accelerator"] == {
        "id": first["id"],
        "type": "host",
        "ordinal": 0,
        "endpoint": first["endpoint"],
        "serverName": first["id"],
    }
    assert body["principal"] == "arn:aws:iam::000000000000:user/administrator"
    assert body["ticketExpiresIn"] == 900
    assert body["requestId"] == answer.headers["x-amzn-RequestId"]
    claims = jwt.decode(body["ticket"], options={"verify_signature": False})
    assert claims["aud"] == first["id"]
    assert claims["sub"] == body["principal"]
    assert claims["akid"] == key.access_key_id
    assert claims["tenancy"] == 1
    assert abs(claims["exp"] - time.time() - 900) < 5


def test_the_same_principal_gets_the_same_accelerator_again(daemon: Any) -> None:
    """By any selector that means it."""
    key, first = daemon.keys["administrator"], daemon.ready["accelerators"][0]
    for selector in (None, 0, first["id"]):
        body = daemon.call("POST", "/connect", {"accelerator": selector}, key=key).json()
        assert body["accelerator"]["id"] == first["id"]


def test_null_is_the_first_allowed_one(daemon: Any) -> None:
    """A user who may only use the second accelerator gets that one without asking for it."""
    body = daemon.call("POST", "/connect", {}, key=daemon.keys["second"]).json()
    assert body["accelerator"]["ordinal"] == 1


@pytest.mark.parametrize("selector", [0, "first", "eia-" + 32 * "0", "*"])
def test_denied_accelerator(daemon: Any, selector: object) -> None:
    """Refused whether it is there or not."""
    if selector == "first":
        selector = daemon.ready["accelerators"][0]["id"]
    key = daemon.keys["second"]
    body = daemon.call("POST", "/connect", {"accelerator": selector}, key=key).json()
    assert body["reason"] == "ACCESS_DENIED"


@pytest.mark.parametrize("selector", [2, -1, "eia-" + 32 * "0"])
def test_accelerator_that_is_not_there(daemon: Any, selector: object) -> None:
    """Said to those who might use it."""
    key = daemon.keys["administrator"]
    answer = daemon.call("POST", "/connect", {"accelerator": selector}, key=key)
    assert (answer.status, answer.json()["reason"]) == (404, "ACCELERATOR_NOT_FOUND")
    assert answer.headers["x-amzn-ErrorType"] == "ResourceNotFoundException"


def test_occupied(daemon: Any) -> None:
    """Another principal's accelerator is busy, with a hint when to come back."""
    daemon.call("POST", "/connect", {"accelerator": 0}, key=daemon.keys["administrator"])
    answer = daemon.call("POST", "/connect", {"accelerator": 0}, key=daemon.keys["ann"])
    body = answer.json()
    assert (answer.status, body["reason"]) == (503, "BUSY")
    assert 0 < int(body["fields"]["retry_after_ms"]) <= 30_000
    assert 0 < int(answer.headers["Retry-After"]) <= 30


@pytest.mark.parametrize("body", [b"{", b"[]", b'"x"', b"\xff", b"[" * 50_000])
def test_body_that_is_no_object(daemon: Any, body: bytes) -> None:
    """An error of the call, not a defect."""
    answer = daemon.call("POST", "/connect", body, key=daemon.keys["administrator"])
    assert (answer.status, answer.json()["reason"]) == (400, "INVALID_CALL")
