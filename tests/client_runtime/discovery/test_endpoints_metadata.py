"""The whole order of discovery: what metadata services add, and the trail of what was asked."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_protocol.errors import ConfigurationError
from client_runtime.discovery.endpoints import Found, discover, first_found, look
from tests.conftest import patience

A = "eia-" + "a" * 32
DATA = "/latest/meta-data"
PROFILE = {
    "control": "https://gpu.example:9443",
    "ca_file": "/ca.pem",
    "region": "us-east-1",
    "access_key_id": "AKIA" + "T" * 16,
    "secret_access_key": "t" * 40,
}


def imds(web_server: Callable[..., Any], control: str) -> str:
    """Instance metadata that names a control endpoint."""
    routes = {
        ("GET", f"{DATA}/elastic-inference/associations"): (200, A),
        ("GET", f"{DATA}/elastic-inference/endpoint"): (200, control),
        ("GET", f"{DATA}/placement/availability-zone"): (200, "eu-west-1c"),
    }
    url: str = web_server(routes).url
    return url


def ecs(web_server: Callable[..., Any], control: str) -> str:
    """Container metadata that names a control endpoint."""
    value = {"elastic-inference-accelerator-id": A, "endpoint": control}
    routes = {
        ("GET", "/v4/associations/elastic-inference"): (200, '{"Associations": ["d"]}'),
        ("GET", "/v4/associations/elastic-inference/d"): (200, json.dumps(value)),
    }
    return f"{web_server(routes).url}/v4"


@given(st.lists(st.booleans(), max_size=9))
def test_the_first_that_says_something_counts(answers: list[bool]) -> None:
    """None after it is asked, and the trail ends with it."""
    asked: list[int] = []

    def source(number: int, says: bool) -> Any:
        def ask() -> Found | str:
            asked.append(number)
            return Found(f"https://h:{number + 1}") if says else f"nothing in {number}"

        return (f"source {number}", ask)

    found, trail = first_found(source(number, says) for number, says in enumerate(answers))
    first = answers.index(True) if True in answers else None
    assert asked == list(range(len(answers) if first is None else first + 1))
    assert (found.url if found else None) == (None if first is None else f"https://h:{first + 1}")
    assert [step.source for step in trail] == [f"source {number}" for number in asked]
    assert [step.outcome == "used" for step in trail] == answers[: len(asked)]


def test_instance_metadata(
    nowhere: Path, web_server: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Endpoint, accelerators and region; the region of the metadata counts."""
    monkeypatch.setenv("AWS_REGION", "us-west-2")
    monkeypatch.setenv(
        "AWS_EC2_METADATA_SERVICE_ENDPOINT", imds(web_server, "https://gpu.example:9443")
    )
    found = discover()
    assert (found.control, found.accelerators) == ("https://gpu.example:9443", (A,))
    assert (found.region, found.source) == ("eu-west-1", "EC2 instance metadata")
    assert (found.ca_file, found.profile) == (None, None)
    monkeypatch.setenv("ACCEL_CA_FILE", "/its.pem")
    assert discover().ca_file == "/its.pem"


def test_container_metadata_comes_last(
    nowhere: Path, web_server: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is used when instance metadata is of no use."""
    monkeypatch.setenv("ECS_CONTAINER_METADATA_URI_V4", ecs(web_server, "https://ecs.example:1"))
    assert discover().control == "https://ecs.example:1"
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", imds(web_server, "http://plain:1"))
    found = discover()
    assert (found.source, found.accelerators) == ("ECS container metadata", (A,))
    outcomes = {step.source: step.outcome for step in found.trail}
    assert "only https:// endpoints" in outcomes["EC2 instance metadata"]
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", imds(web_server, "https://imds:1"))
    assert discover().control == "https://imds:1"


def test_profiles_come_before_metadata(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The attached one first, then the daemon's; metadata is not asked then."""
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1")
    nowhere.mkdir()
    (nowhere / "client.json").write_text(json.dumps(PROFILE))
    assert discover().source == str(nowhere / "client.json")
    other = {**PROFILE, "control": "https://attached.example:9443"}
    (nowhere / "attached.json").write_text(json.dumps(other))
    found = discover()
    assert (found.control, found.source) == (other["control"], str(nowhere / "attached.json"))
    assert len(found.trail) == 4
    assert discover(PROFILE["control"]).profile is not None


@pytest.mark.parametrize("name", ["attached.json", "client.json"])
def test_either_profile_vouches_for_its_own_endpoint(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """However the host is written and wherever the endpoint was found."""
    nowhere.mkdir()
    (nowhere / name).write_text(json.dumps(PROFILE))
    monkeypatch.setenv("ACCEL_ENDPOINT", "https://GPU.example:9443")
    found = discover()
    assert found.profile is not None
    assert (found.ca_file, found.source) == ("/ca.pem", "ACCEL_ENDPOINT")


@pytest.mark.parametrize(
    "control",
    ["http://127.0.0.1:9443", "ftp://h", "https://", "https://user:secret@h:1", "https://h/path",
     "https://h?x=1", "https://h\\evil", "https://h:0", "https://h:99999", "javascript:alert(1)",
     "https://h\x1b[2J", "https://h h", "h\nX: y"],
)  # fmt: skip
def test_what_metadata_says_is_not_trusted(
    nowhere: Path, web_server: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, control: str
) -> None:
    """An endpoint that is none is skipped, and the error says so without terminal codes."""
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", imds(web_server, control))
    with pytest.raises(ConfigurationError) as caught:
        discover()
    assert caught.value.reason == "NOT_CONFIGURED"
    assert "EC2 instance metadata (asked at http://127.0.0.1:" in caught.value.message
    assert caught.value.message.isprintable()
    assert "secret" not in caught.value.message


def test_the_error_lists_all_that_was_tried(
    nowhere: Path, web_server: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sources in their order, each with what came of it."""
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", web_server({}).url)
    with pytest.raises(ConfigurationError) as caught:
        discover()
    text = caught.value.message
    places = [text.index(name) for name in (
        "the call's arguments (no endpoint given)", "ACCEL_ENDPOINT (not set)",
        "AWS_ENDPOINT_URL_ELASTIC_INFERENCE (not set)", f"{nowhere}/attached.json (no such file)",
        f"{nowhere}/client.json (no such file)", "no accelerator is associated",
        "ECS container metadata (not asked",
    )]  # fmt: skip
    assert places == sorted(places)
    endpoint, trail = look()
    assert endpoint is None
    assert [step.source for step in trail][-1] == "ECS container metadata"


def test_a_laptop_does_not_wait(nowhere: Path) -> None:
    """Without variables no metadata service is asked."""
    started = time.monotonic()
    with pytest.raises(ConfigurationError, match="this is no EC2 instance"):
        discover()
    assert time.monotonic() - started < patience(0.3)


def test_metadata_addresses_hold_no_secret_in_errors(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody should write one there, and if somebody does it stays there."""
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://user:hidden@127.0.0.1:1")
    with pytest.raises(ConfigurationError) as caught:
        discover()
    assert "hidden" not in str(caught.value)
