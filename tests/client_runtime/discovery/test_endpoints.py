"""Where a client connects to: arguments, then the environment, then the home's profile."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from accel_protocol.errors import ConfigurationError
from client_runtime.discovery.endpoints import discover

PROFILE = {
    "control": "https://127.0.0.1:8443",
    "ca_file": "/home/alice/.accel/ca.pem",
    "region": "eu-central-1",
    "access_key_id": "AKIATESTTESTTESTTEST",
    "secret_access_key": "not-a-real-secret-of-forty-characters-ab",
}
SECRET = PROFILE["secret_access_key"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of this test alone, and an environment that says nothing else."""
    for name in os.environ:
        if name.startswith(("ACCEL_", "AWS_", "ECS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("ACCEL_HOME", str(tmp_path))
    return tmp_path


def write(home: Path, content: Any) -> Path:
    """The home's client profile."""
    path = home / "client.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return path


def set_all(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every source says something else."""
    monkeypatch.setenv("ACCEL_ENDPOINT", "https://accel.example:1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_ELASTIC_INFERENCE", "https://aws.example:2")
    write(home, PROFILE)


def test_the_call_s_arguments_come_first(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else is set."""
    set_all(home, monkeypatch)
    monkeypatch.setenv("ACCEL_CA_FILE", "/other.pem")
    found = discover("https://argument.example:3", "/mine.pem")
    assert (found.control, found.ca_file) == ("https://argument.example:3", "/mine.pem")


def test_our_variable_comes_second(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the one that AWS's SDKs read."""
    set_all(home, monkeypatch)
    found = discover()
    assert (found.control, found.source) == ("https://accel.example:1", "ACCEL_ENDPOINT")


def test_the_sdks_variable_comes_third(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the profile; an empty variable says nothing."""
    set_all(home, monkeypatch)
    monkeypatch.setenv("ACCEL_ENDPOINT", "")
    found = discover()
    assert found.control == "https://aws.example:2"
    assert found.source == "AWS_ENDPOINT_URL_ELASTIC_INFERENCE"


def test_the_home_s_profile_comes_then(home: Path) -> None:
    """With everything that it says."""
    path = write(home, PROFILE)
    found = discover()
    assert (found.control, found.source) == (PROFILE["control"], str(path))
    assert (found.ca_file, found.region) == (PROFILE["ca_file"], PROFILE["region"])
    assert found.profile is not None
    assert found.profile.secret_access_key == SECRET


@pytest.mark.parametrize("endpoint", ["https://127.0.0.1:8443", "127.0.0.1:8443"])
def test_a_profile_helps_an_endpoint_that_is_its_own(home: Path, endpoint: str) -> None:
    """Naming the daemon of this machine needs neither its CA nor a key."""
    write(home, PROFILE)
    found = discover(endpoint)
    assert (found.ca_file, found.region) == (PROFILE["ca_file"], PROFILE["region"])
    assert found.profile is not None


def test_a_profile_is_nothing_to_another_endpoint(home: Path) -> None:
    """Its key is not shown to a stranger, and its CA does not vouch for one."""
    write(home, PROFILE)
    found = discover("https://other.example:8443")
    assert (found.profile, found.ca_file, found.region) == (None, None, "us-east-1")


def test_the_ca_file_of_the_environment_is_used(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the profile's, after the argument's."""
    write(home, PROFILE)
    monkeypatch.setenv("ACCEL_CA_FILE", "/environment.pem")
    assert discover().ca_file == "/environment.pem"
    assert discover(ca_file="/argument.pem").ca_file == "/argument.pem"


def test_the_authorities_of_aws_clients_are_the_last_choice(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was set for boto3 is enough, and never replaces what belongs to the endpoint."""
    monkeypatch.setenv("AWS_CA_BUNDLE", "/bundle.pem")
    assert discover("https://other.example:8443").ca_file == "/bundle.pem"
    write(home, PROFILE)
    assert discover().ca_file == PROFILE["ca_file"]
    monkeypatch.setenv("ACCEL_CA_FILE", "/environment.pem")
    assert discover("https://other.example:8443").ca_file == "/environment.pem"


@pytest.mark.parametrize(
    ("variables", "region"),
    [
        ({}, "us-east-1"),
        ({"AWS_DEFAULT_REGION": "eu-west-1"}, "eu-west-1"),
        ({"AWS_REGION": "eu-north-1", "AWS_DEFAULT_REGION": "eu-west-1"}, "eu-north-1"),
        ({"AWS_REGION": "", "AWS_DEFAULT_REGION": "eu-west-1"}, "eu-west-1"),
    ],
)
def test_the_region_is_the_environment_s(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], region: str
) -> None:
    """As the SDKs read it."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert discover("https://host.example").region == region


@pytest.mark.parametrize(
    ("endpoint", "control"),
    [
        ("https://host.example:8443", "https://host.example:8443"),
        ("https://host.example:8443/", "https://host.example:8443"),
        ("host.example:8443", "https://host.example:8443"),
        ("https://[::1]:8443", "https://[::1]:8443"),
    ],
)
def test_endpoints_are_written_in_one_way(endpoint: str, control: str) -> None:
    """The scheme may be left out."""
    assert discover(endpoint).control == control


BAD = ["http://host.example:8443", "ftp://host.example", "https://", "https://[::1", "file:///etc"]


@pytest.mark.parametrize("endpoint", BAD)
def test_other_schemes_and_no_hosts_are_refused(endpoint: str) -> None:
    """There is no plain-text port, and the remedy says what to give."""
    with pytest.raises(ConfigurationError) as caught:
        discover(endpoint)
    assert "https://" in caught.value.remedy


@pytest.mark.parametrize("variable", ["ACCEL_ENDPOINT", "AWS_ENDPOINT_URL_ELASTIC_INFERENCE"])
def test_a_refused_variable_is_named(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """Whoever set it finds it, and it is not skipped for the next source."""
    monkeypatch.setenv(variable, "http://host.example:8443")
    with pytest.raises(ConfigurationError, match=variable):
        discover()


@pytest.mark.parametrize(
    "endpoint", [f"accel://AKIATEST:{SECRET}@host.example:1", f"https://u:{SECRET}@host.example"]
)
def test_a_secret_in_an_address_is_not_repeated(endpoint: str) -> None:
    """Error messages end up in logs."""
    with pytest.raises(ConfigurationError) as caught:
        discover(endpoint)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        '"text"',
        "[" * 100_000,
        *({k: v for k, v in PROFILE.items() if k != name} for name in ("control", "ca_file")),
        {**PROFILE, "control": 5},
        {**PROFILE, "control": None},
        {**PROFILE, "control": "http://127.0.0.1:8443"},
    ],
    ids=range(11),
)
def test_a_broken_profile_is_named(home: Path, content: Any) -> None:
    """Its path stands in the message, its content does not."""
    path = write(home, content)
    with pytest.raises(ConfigurationError) as caught:
        discover()
    assert str(path) in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_profile_that_is_no_file_is_named(home: Path) -> None:
    """It is there and cannot be read."""
    (home / "client.json").mkdir()
    with pytest.raises(ConfigurationError, match=r"client\.json"):
        discover()


def test_when_nothing_is_found_everything_tried_is_named(home: Path) -> None:
    """The arguments, both variables and the profile's path, and what to do."""
    with pytest.raises(ConfigurationError) as caught:
        discover()
    text = str(caught.value)
    for tried in (
        "arguments",
        "ACCEL_ENDPOINT",
        "AWS_ENDPOINT_URL_ELASTIC_INFERENCE",
        str(home / "client.json"),
    ):
        assert tried in text
    assert "accel-daemon up" in caught.value.remedy


def test_a_profile_s_secret_is_not_shown(home: Path) -> None:
    """Neither the endpoint nor the profile shows it when printed."""
    write(home, PROFILE)
    assert SECRET not in repr(discover())
