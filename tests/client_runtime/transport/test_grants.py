"""What a client makes of answers that no honest control endpoint gives."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from accel_protocol.errors import BusyError, ConnectionLostError, CredentialsError
from accel_protocol.sigv4 import AccessKey
from client_runtime.discovery.endpoints import Endpoint
from client_runtime.transport import grants

ENDPOINT = Endpoint("https://127.0.0.1:1", None, "us-east-1", "the test")
KEY = AccessKey("AKIA" + "A" * 16, "s" * 40)
ID = "eia-" + "a" * 32
GRANTED: dict[str, Any] = {
    "accelerator": {
        "id": ID,
        "type": "host",
        "ordinal": 0,
        "endpoint": "127.0.0.1:2",
        "serverName": ID,
    },
    "ticket": "a.b.c",
    "ticketExpiresIn": 900,
}


def ask(monkeypatch: pytest.MonkeyPatch, status: int, answer: Any) -> grants.Grant:
    """Ask for a grant and get this answer."""
    monkeypatch.setattr(grants, "_exchange", lambda *_: (status, answer))
    return grants.request_grant(ENDPOINT, KEY, None)


def test_a_grant(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a daemon answers."""
    grant = ask(monkeypatch, 200, GRANTED)
    assert (grant.accelerator_id, grant.address, grant.ticket) == (ID, "127.0.0.1:2", "a.b.c")


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("id", 1),
        ("type", None),
        ("ordinal", "0"),
        ("ordinal", True),
        ("ordinal", -1),
        ("endpoint", ["127.0.0.1:2"]),
        ("serverName", float("nan")),
        ("serverName", "a\nb"),
        ("ticket", {}),
        ("ticket", "a\r\nb"),
        ("ticketExpiresIn", 10**400),
        ("ticketExpiresIn", float("nan")),
        ("ticketExpiresIn", "900"),
    ],
)
def test_members_of_other_types(
    monkeypatch: pytest.MonkeyPatch, member: str, value: object
) -> None:
    """Are no grant, and no error of Python's."""
    answer = copy.deepcopy(GRANTED)
    holder = answer["accelerator"] if member in answer["accelerator"] else answer
    holder[member] = value
    with pytest.raises(ConnectionLostError, match="not one of an accelerator daemon"):
        ask(monkeypatch, 200, answer)


@pytest.mark.parametrize("fields", [5, [1], "text", None, True])
def test_a_refusal_whose_fields_are_none(monkeypatch: pytest.MonkeyPatch, fields: object) -> None:
    """Is still the refusal that it says it is."""
    with pytest.raises(BusyError) as caught:
        ask(monkeypatch, 503, {"reason": "BUSY", "message": "full", "fields": fields})
    assert caught.value.fields == {}


def skewed(told: str) -> tuple[int, Any]:
    """The refusal of a signature whose time is wrong."""
    fields = {"server_time": told, "skew_seconds": "7200"}
    return 403, {"reason": "CLOCK_SKEW", "message": "Wrong clock.", "fields": fields}


def answered_by(
    monkeypatch: pytest.MonkeyPatch, answers: list[tuple[int, Any]]
) -> list[dict[str, str]]:
    """Let the endpoint give these answers, and collect the headers of what was asked."""
    asked: list[dict[str, str]] = []

    def exchange(*of_request: Any) -> tuple[int, Any]:
        asked.append(of_request[-1])
        return answers[len(asked) - 1]

    monkeypatch.setattr(grants, "_exchange", exchange)
    return asked


def test_the_daemon_s_clock_is_what_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused signature is made again with the time that the refusal tells, as a new request."""
    answers = [skewed("2031-05-06T07:08:09+00:00"), (200, GRANTED)]
    asked = answered_by(monkeypatch, answers)
    assert grants.request_grant(ENDPOINT, KEY, None).ticket == "a.b.c"
    assert [headers["X-Amz-Date"] for headers in asked][1:] == ["20310506T070809Z"]
    assert len({headers[grants.NONCE_HEADER] for headers in asked}) == 2


@pytest.mark.parametrize(("told", "times"), [("2031-05-06T07:08:09+00:00", 3), ("noon", 1)])
def test_a_clock_that_cannot_be_followed(
    monkeypatch: pytest.MonkeyPatch, told: str, times: int
) -> None:
    """One that is set all the time, or shows no time, is not followed for ever."""
    asked = answered_by(monkeypatch, [skewed(told)] * 9)
    with pytest.raises(CredentialsError, match="Wrong clock"):
        grants.request_grant(ENDPOINT, KEY, None)
    assert len(asked) == times


@pytest.mark.parametrize("data", [b"", b"\xff", b"[]", b"[" * 100_000, b'{"a":' * 100_000])
def test_what_is_no_json_object(data: bytes) -> None:
    """However deep it goes."""
    with pytest.raises(ConnectionLostError):
        grants._json(data)
