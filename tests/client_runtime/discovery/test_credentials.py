"""Whose key signs: the profile's, else the AWS chain's."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from accel_protocol.errors import CredentialsError
from accel_protocol.sigv4 import AccessKey
from client_runtime.discovery.credentials import KeySource, find_credentials
from client_runtime.discovery.endpoints import Endpoint
from client_runtime.discovery.profile import Profile

BARE = Profile("https://h:1", "/ca.pem", "us-east-1")


def endpoint(profile: Profile | None) -> Endpoint:
    """An endpoint with or without a profile."""
    return Endpoint("https://h:1", "/ca.pem", "us-east-1", "the test", profile)


@pytest.fixture(autouse=True)
def no_metadata(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The chain ends before it asks instance metadata."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def set_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key where every AWS tool finds it."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA" + "E" * 16)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "e" * 40)
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")


def test_the_profile_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another account's key in the environment is not sent to the daemon."""
    set_key(monkeypatch)
    full = Profile("https://h:1", "/ca.pem", "us-east-1", "AKIA" + "P" * 16, "p" * 40)
    assert find_credentials(endpoint(full)).access_key_id == "AKIA" + "P" * 16


@pytest.mark.parametrize("profile", [None, BARE])
def test_the_aws_chain(monkeypatch: pytest.MonkeyPatch, profile: Profile | None) -> None:
    """Without a profile, or with one that holds no key."""
    set_key(monkeypatch)
    key = find_credentials(endpoint(profile))
    assert (key.access_key_id, key.session_token) == ("AKIA" + "E" * 16, "token")


def test_none() -> None:
    """With a remedy."""
    with pytest.raises(CredentialsError) as caught:
        find_credentials(endpoint(None))
    assert caught.value.reason == "MISSING_CREDENTIALS"


@pytest.mark.parametrize(
    "variables",
    [{"AWS_PROFILE": "nobody"}, {"AWS_ACCESS_KEY_ID": "AKIA"}],
    ids=["unknown profile", "half a key"],
)
def test_a_broken_chain(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    """An error of ours that says what botocore says."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(CredentialsError, match="AWS configuration") as caught:
        find_credentials(endpoint(None))
    assert caught.value.reason == "MISSING_CREDENTIALS"


ROLE_PATH = "/latest/meta-data/iam/security-credentials/"


def role_service(web_server: Callable[..., Any], key_id: str = "ASIA" + "R" * 16) -> Any:
    """Instance metadata with a role's credentials that are good for an hour."""
    ends = datetime.now(UTC) + timedelta(hours=1)
    document = {
        "AccessKeyId": key_id,
        "SecretAccessKey": "r" * 40,
        "Token": "token",
        "Expiration": ends.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    routes = {
        ("PUT", "/latest/api/token"): (200, "session"),
        ("GET", ROLE_PATH): (200, "the-role"),
        ("GET", ROLE_PATH + "the-role"): (200, json.dumps(document)),
    }
    return web_server(routes)


@pytest.fixture
def metadata(web_server: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """The chain ends at instance metadata, which has a role."""
    server = role_service(web_server)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "false")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", server.url)
    return server


def test_metadata_is_asked_once(metadata: Any) -> None:
    """However often the key is asked for."""
    keys = KeySource()
    assert {keys.current() for _ in range(5)} == {AccessKey("ASIA" + "R" * 16, "r" * 40, "token")}
    assert metadata.asked.count(ROLE_PATH) == 1


def test_a_refused_key_is_looked_for_again(metadata: Any) -> None:
    """Another one helps; the same one does not."""
    keys = KeySource()
    first = keys.current()
    assert not keys.look_again(first)
    changed = metadata.routes["GET", ROLE_PATH + "the-role"][1].replace("RRRR", "SSSS")
    metadata.routes["GET", ROLE_PATH + "the-role"] = (200, changed)
    assert keys.look_again(first)
    assert keys.current() != first


def test_a_refused_key_of_a_source_that_is_gone(metadata: Any) -> None:
    """Looking again finds nothing, and says so without an error of its own."""
    keys = KeySource()
    first = keys.current()
    metadata.routes.clear()
    assert not keys.look_again(first)


def test_a_given_key_stays(metadata: Any) -> None:
    """The caller's before the profile's; neither is looked for again, and nothing is asked."""
    full = Profile("https://h:1", "/ca.pem", "us-east-1", "AKIA" + "P" * 16, "p" * 40)
    given = AccessKey("AKIA" + "G" * 16, "g" * 40)
    assert KeySource(full, given).current() == given
    assert not KeySource(full, given).look_again(given)
    assert not KeySource(full).look_again(KeySource(full).current())
    assert not metadata.asked


@pytest.mark.parametrize(
    "variables",
    [
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://other.example/x"},
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9/x",
         "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/nothing/here"},
    ],
    ids=["foreign host", "no token file"],
)  # fmt: skip
def test_unusable_container(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    """What botocore raises of its own kinds becomes an error of ours."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(CredentialsError, match="AWS configuration") as caught:
        find_credentials(endpoint(None))
    assert caught.value.reason == "MISSING_CREDENTIALS"
