"""Whose key signs: the profile's, else the AWS chain's."""

from __future__ import annotations

from pathlib import Path

import pytest

from accel_protocol.errors import CredentialsError
from client_runtime.discovery.credentials import find_credentials
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
