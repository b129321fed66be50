"""ECS container metadata, from agents that are as they should be and from others."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from client_runtime.discovery.bounded_http import ExchangeError
from client_runtime.discovery.container_metadata import address, ask
from tests.conftest import patience

FOLDER = "/v4/task-1/associations/elastic-inference"
A, B = "eia-" + "a" * 32, "eia-" + "b" * 32
CONTROL = "https://gpu.example:9443"


def association(accelerator_id: object = A, **more: object) -> dict[str, object]:
    """The members that EC2 has."""
    return {
        "elastic-inference-accelerator-id": accelerator_id,
        "elastic-inference-accelerator-type": "eia2.medium",
        **more,
    }


def agent(web_server: Callable[..., Any], **devices: object) -> Any:
    """An agent with these associations."""
    routes = {("GET", FOLDER): (200, json.dumps({"Associations": list(devices)}))}
    for name, value in devices.items():
        text = value if isinstance(value, str) else json.dumps(value)
        routes["GET", f"{FOLDER}/{name}"] = (200, text)
    return web_server(routes)


@pytest.mark.parametrize(
    ("environment", "base"),
    [
        ({}, None),
        ({"ECS_CONTAINER_METADATA_URI": "http://h/v3/x"}, "http://h/v3/x"),
        ({"ECS_CONTAINER_METADATA_URI": "http://h/v3/x",
          "ECS_CONTAINER_METADATA_URI_V4": "http://h/v4/x/"}, "http://h/v4/x"),
        ({"ECS_CONTAINER_METADATA_URI": "http://h/v3/x", "ECS_CONTAINER_METADATA_URI_V4": ""},
         "http://h/v3/x"),
    ],
)  # fmt: skip
def test_where_to_ask(environment: dict[str, str], base: str | None) -> None:
    """Version 4 before version 3."""
    found, why = address(environment)
    assert found == base
    assert bool(why) == (base is None)


def test_devices_in_their_order(web_server: Callable[..., Any]) -> None:
    """With and without the member that names a version."""
    server = agent(
        web_server,
        device_2={"version_2018_04_12": association(B, endpoint=CONTROL)},
        device_1=association(A, endpoint=CONTROL),
    )
    found = ask(f"{server.url}/v4/task-1")
    assert (found.endpoint, found.accelerators) == (CONTROL, (B, A))
    assert server.asked == [FOLDER, f"{FOLDER}/device_2", f"{FOLDER}/device_1"]


def test_names_cannot_lead_elsewhere(web_server: Callable[..., Any]) -> None:
    """A name is one segment of a path, whatever is in it."""
    name = "../../x?y#z\r\n"
    routes = {("GET", FOLDER): (200, json.dumps({"Associations": [name]}))}
    server = web_server(routes)
    with pytest.raises(ExchangeError, match="status 404") as caught:
        ask(f"{server.url}/v4/task-1")
    assert server.asked[1] == f"{FOLDER}/..%2F..%2Fx%3Fy%23z%0D%0A"
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (association(), "1 accelerator.*shut down in 2024"),
        (association(endpoint=""), "shut down"),
        (association(endpoint=5), "not a text"),
        (association(None, endpoint=CONTROL), "names no accelerator"),
        (association("i-1", endpoint=CONTROL), "names no accelerator"),
        (association(["x"], endpoint=CONTROL), "names no accelerator"),
        ({}, "names no accelerator"),
        ({"version": {"x": 1}}, "names no accelerator"),
        ("dmFs", "not a JSON object"),
        ("[]", "not a JSON object"),
        ("[" * 50_000, "not a JSON object"),
        ("x" * 70_000, "too large"),
    ],
    ids=range(12),
)
def test_associations_that_are_of_no_use(
    web_server: Callable[..., Any], value: object, why: str
) -> None:
    """Each with its reason."""
    with pytest.raises(ExchangeError, match=why):
        ask(f"{agent(web_server, device=value).url}/v4/task-1")


@pytest.mark.parametrize("other", [association(B), association(B, endpoint="https://other:1")])
def test_all_must_name_the_same_endpoint(web_server: Callable[..., Any], other: object) -> None:
    """A process connects to one."""
    server = agent(web_server, one=association(A, endpoint=CONTROL), two=other)
    with pytest.raises(ExchangeError, match="same endpoint"):
        ask(f"{server.url}/v4/task-1")


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (400, '"no such task"', "status 400"),
        (200, "{}", "malformed"),
        (200, '{"Associations": "dev1"}', "malformed"),
        (200, '{"Associations": [1]}', "malformed"),
        (200, '{"Associations": []}', "lists 0"),
        (200, json.dumps({"Associations": [f"d{n}" for n in range(65)]}), "lists 65"),
        (200, "not JSON", "not a JSON object"),
    ],
)
def test_lists_that_are_of_no_use(
    web_server: Callable[..., Any], status: int, body: str, why: str
) -> None:
    """Each with its reason."""
    with pytest.raises(ExchangeError, match=why):
        ask(f"{web_server({('GET', FOLDER): (status, body)}).url}/v4/task-1")


def test_an_agent_that_hangs(raw_server: Callable[..., str]) -> None:
    """Two seconds for everything, here less."""
    started = time.monotonic()
    with pytest.raises(ExchangeError, match="in time"):
        ask(raw_server(stays=True), 0.3)
    assert time.monotonic() - started < patience(2)
