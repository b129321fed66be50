"""Which lane is taken: the fastest that is offered, allowed and works; gRPC where none does."""

from __future__ import annotations

import socket
import time
from dataclasses import replace
from typing import Any, cast

import pytest

from accel_protocol.errors import ConfigurationError, ConnectionLostError
from accel_protocol.lanes import KINDS, local_address
from client_runtime.discovery.endpoints import Endpoint
from client_runtime.transport import lane_choice
from client_runtime.transport.grants import Grant
from client_runtime.transport.lane_choice import LaneChoice, allowed_lanes
from client_runtime.transport.socket_lane import OPEN_SECONDS, NoLaneError

ENDPOINT = Endpoint("https://unused", None, "", "the test")
GRANT = Grant("eia-1", "host", 0, "", "eia-1", "t", 0.0, "127.0.0.1:1", "accel-lane-" + "0" * 32)


class Chosen:
    """Stands for an open lane."""

    def __init__(self, kind: str) -> None:
        self.kind = kind


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The kinds that were asked for, in vain."""
    kinds: list[str] = []

    def opening(kind: str) -> Any:
        def open_one(*_: object) -> Chosen:
            kinds.append(kind)
            raise NoLaneError("not here")

        return open_one

    monkeypatch.setattr(lane_choice, "open_local_lane", opening("local"))
    monkeypatch.setattr(lane_choice, "open_tls_lane", opening("tls"))
    monkeypatch.setattr(lane_choice, "GrpcLane", lambda *_: Chosen("grpc"))
    return kinds


def kind_of(choice: LaneChoice, grant: Grant = GRANT) -> str:
    """The kind of a new lane."""
    return cast(Any, choice.open(cast(Any, None), grant)).kind  # type: ignore[no-any-return]


def test_fastest_first(tried: list[str]) -> None:
    """Local, then TLS, then gRPC, which is always there."""
    assert kind_of(LaneChoice(ENDPOINT, KINDS)) == "grpc"
    assert tried == ["local", "tls"]


def test_what_works_is_taken(tried: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing slower is tried."""
    monkeypatch.setattr(lane_choice, "open_local_lane", lambda *_: Chosen("local"))

    assert kind_of(LaneChoice(ENDPOINT, KINDS)) == "local"
    assert tried == []


@pytest.mark.parametrize(
    ("kinds", "grant", "expected"),
    [
        (("grpc",), GRANT, []),
        (("tls", "grpc"), GRANT, ["tls"]),
        (KINDS, replace(GRANT, local_lane=""), ["tls"]),
        (KINDS, replace(GRANT, local_lane="", lane_address=""), []),
    ],
)
def test_only_what_is_allowed_and_offered(
    tried: list[str], kinds: tuple[str, ...], grant: Grant, expected: list[str]
) -> None:
    """Either side can leave lanes out."""
    assert kind_of(LaneChoice(ENDPOINT, kinds), grant) == "grpc"
    assert tried == expected


def test_what_failed_is_not_tried_at_once(tried: list[str]) -> None:
    """A firewall that swallows packets costs a moment now and then, not at every lane."""
    choice = LaneChoice(ENDPOINT, KINDS)
    kind_of(choice)
    kind_of(choice)

    assert tried == ["local", "tls"]


def test_none_that_is_allowed(tried: list[str]) -> None:
    """Who leaves out gRPC is told when nothing else can be had."""
    with pytest.raises(ConnectionLostError, match="None of the allowed lanes"):
        LaneChoice(ENDPOINT, ("local", "tls")).open(cast(Any, None), GRANT)


@pytest.mark.parametrize(
    ("value", "kinds"),
    [(None, KINDS), ("grpc", ("grpc",)), ("grpc, local", ("local", "grpc")), ("tls", ("tls",))],
)
def test_environment(value: str | None, kinds: tuple[str, ...]) -> None:
    """ACCEL_LANES names what is allowed; the order stays."""
    assert allowed_lanes(value) == kinds


@pytest.mark.parametrize("value", ["", ",", "udp", "tls,udp"])
def test_environment_that_is_wrong(value: str) -> None:
    """What is no lane is said."""
    with pytest.raises(ConfigurationError, match="ACCEL_LANES"):
        allowed_lanes(value)


def test_opening_takes_no_longer_than_the_call_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """An accelerator that was stopped takes connections and says nothing."""
    name = "accel-lane-" + "f" * 32
    grant = replace(GRANT, lane_address="", local_lane=name)
    give_up_at = time.monotonic() + 0.2
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(local_address(name))
        silent.listen()
        choice = LaneChoice(ENDPOINT, ("local",))
        with pytest.raises(ConnectionLostError, match="None of the allowed"):
            choice.open(cast(Any, None), grant, lambda: give_up_at - time.monotonic())
    assert time.monotonic() - give_up_at < OPEN_SECONDS - 0.5


def test_port_that_nobody_listens_on() -> None:
    """Really tried, both are refused by the system, and the choice is gRPC."""
    grant = replace(GRANT, lane_address="127.0.0.1:1")
    choice = LaneChoice(ENDPOINT, ("local", "tls"))
    with pytest.raises(ConnectionLostError, match="None of the allowed"):
        choice.open(cast(Any, None), grant)
