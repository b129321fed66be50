"""Selection among two real accelerators, and everything that finds them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accel_protocol.errors import (
    AcceleratorError,
    ConfigurationError,
    CredentialsError,
    PeerIdentityError,
)
from accel_protocol.invitation import Invitation
from client_runtime import EIPredictor, accelerators, connect
from client_runtime.discovery.attaching import attach
from client_runtime.discovery.credentials import find_credentials
from client_runtime.discovery.endpoints import discover
from client_runtime.discovery.profile import remove_attached
from client_runtime.transport import grants
from tests.conftest import Daemon, environment, patience, start_daemon, use_home

SCRIPT = "from client_runtime.cli.main import main; main()"


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with two accelerators."""
    home = tmp_path_factory.mktemp("two")
    running = start_daemon(home, "--port", "0", "--accelerator", "host", "--accelerator", "host")
    yield running
    assert running.stop() == 0


@pytest.fixture
def ids(two: Daemon, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The accelerators' ids; this process is a client of theirs."""
    use_home(monkeypatch, two.home)
    for name in list(os.environ):
        if name.startswith(("EI_", "ECS_")):
            monkeypatch.delenv(name)
    return [one["id"] for one in two.ready["accelerators"]]


@pytest.fixture
def stranger(two: Daemon, ids: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home that knows nothing, on a machine that is told nothing."""
    home = tmp_path / "client"
    monkeypatch.setenv("ACCEL_HOME", str(home))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("client_runtime.discovery.instance_metadata.is_ec2_instance", lambda: False)
    return home


def accel(home: Path, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    """Run `accel` as a program of its own."""
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments],
        env={**environment(home), "AWS_EC2_METADATA_DISABLED": "true"},
        input=text,
        capture_output=True,
        text=True,
        timeout=patience(60),
        check=False,
    )


def grant(accelerator: str | int | None) -> Any:
    """What Connect gives, without using the accelerator."""
    endpoint = discover()
    return grants.request_grant(endpoint, find_credentials(endpoint), accelerator)


# EI_VISIBLE_DEVICES


@pytest.mark.parametrize(
    ("variable", "requested", "place", "ordinal"),
    [
        (None, None, 0, 0),
        (None, 1, 1, 1),
        (None, "1", 1, 1),
        (None, "B", 1, 1),
        ("1", None, 1, 0),
        ("1", 0, 1, 0),
        ("1", "B", 1, 0),
        ("B", None, 1, 0),
        ("1,0", None, 1, 0),
        ("1,0", 1, 0, 1),
        ("1,A", "A", 0, 1),
        ("0,1", None, 0, 0),
    ],
)
def test_selection(
    ids: list[str],
    monkeypatch: pytest.MonkeyPatch,
    variable: str | None,
    requested: str | int | None,
    place: int,
    ordinal: int,
) -> None:
    """The accelerator that is meant, under its new ordinal; "A" and "B" stand for the ids."""
    if variable is not None:
        text = variable.replace("A", ids[0]).replace("B", ids[1])
        monkeypatch.setenv("EI_VISIBLE_DEVICES", text)
    wanted = ids["AB".index(requested)] if requested in ("A", "B") else requested
    given = grant(wanted)
    assert (given.accelerator_id, given.ordinal) == (ids[place], ordinal)
    assert grant(given.accelerator_id).ordinal == ordinal  # as when a ticket is renewed


@pytest.mark.parametrize(
    ("variable", "requested", "told"),
    [
        ("", None, "EI_VISIBLE_DEVICES is empty"),
        ("1", "A", "not among the visible ones: 1 (B)"),
        ("1", 1, "makes 1 visible"),
        ("B", "A", "does not list"),
        ("7", None, "no accelerator '7', only 0 (A), 1 (B)"),
        ("0,7", None, "no accelerator '7', only 0 (A), 1 (B)"),
        ("1,B", None, "twice"),
        ("0,0", None, "twice"),
        (None, 5, "no accelerator '5', only 0 (A), 1 (B)"),
        (None, "eia-" + "0" * 32, "only 0 (A), 1 (B)"),
    ],
)
def test_hidden_accelerators(
    ids: list[str],
    monkeypatch: pytest.MonkeyPatch,
    variable: str | None,
    requested: str | int | None,
    told: str,
) -> None:
    """Refused, and the message says what there is."""
    if variable is not None:
        text = variable.replace("A", ids[0]).replace("B", ids[1])
        monkeypatch.setenv("EI_VISIBLE_DEVICES", text)
    with pytest.raises(AcceleratorError) as caught:
        grant(ids[0] if requested == "A" else requested)
    expected = told.replace("(A)", f"({ids[0]})").replace("(B)", f"({ids[1]})")
    assert expected in caught.value.message


def test_predictors_side_by_side(
    ids: list[str], model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two predictors on two accelerators, by their new ordinals."""
    monkeypatch.setenv("EI_VISIBLE_DEVICES", "1,0")
    feeds = {"x": np.ones((1, 4), np.float32)}
    with EIPredictor(model, accelerator_id=0) as one, EIPredictor(model, accelerator_id=1) as two:
        np.testing.assert_array_equal(one(feeds)["y"], two(feeds)["y"])
        assert one.uploaded_bytes == two.uploaded_bytes > 0
    with connect(accelerator_id=0) as first, connect(accelerator_id=1) as second:
        assert [first.accelerator_id, second.accelerator_id] == ids[::-1]


def test_accelerators(ids: list[str], two: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list is renumbered in the same way."""
    assert [(one.ordinal, one.id) for one in accelerators()] == [(0, ids[0]), (1, ids[1])]
    monkeypatch.setenv("EI_VISIBLE_DEVICES", "1")
    (one,) = accelerators()
    assert (one.id, one.ordinal, one.type, one.status) == (ids[1], 0, "host", "Ok")
    assert one.endpoint == two.ready["accelerators"][1]["endpoint"]
    assert one.control == two.ready["control"]


# Metadata


def test_instance_metadata(
    stranger: Path, two: Daemon, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address of the metadata service, the CA and AWS credentials are all that is needed."""
    profile = json.loads((two.home / "client.json").read_text())
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", two.ready["metadata"])
    monkeypatch.setenv("ACCEL_CA_FILE", two.ready["ca_file"])
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", profile["access_key_id"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", profile["secret_access_key"])
    found = discover()
    assert (found.control, found.accelerators) == (two.ready["control"], tuple(ids))
    assert found.region == two.ready["region"]
    with connect(accelerator_id=1) as attachment:
        assert attachment.accelerator_id == ids[1]
    monkeypatch.setenv("EI_VISIBLE_DEVICES", "1")
    assert [one.id for one in accelerators()] == [ids[1]]
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(ConfigurationError, match="AWS_EC2_METADATA_DISABLED is true"):
        discover()


def test_without_its_authority(
    stranger: Path, two: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What plain HTTP names must still prove itself by TLS."""
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", two.ready["metadata"])
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA" + "T" * 16)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "t" * 40)
    with pytest.raises(PeerIdentityError):
        connect()


# Invitations


def test_invite_and_attach(stranger: Path, two: Daemon, ids: list[str]) -> None:
    """From a pasted URI to a list of accelerators; and back."""
    attached = accel(stranger, "attach", "-", text=two.command("invite", "ann"))
    assert attached.returncode == 0, attached.stderr
    assert two.ready["control"] in attached.stdout
    assert "offers 2" in attached.stdout

    listed = accel(stranger, "ls")
    assert listed.returncode == 0, listed.stderr
    assert all(one in listed.stdout for one in ids)
    assert f"{stranger}/attached.json: used" in listed.stdout
    document = json.loads(accel(stranger, "ls", "--json").stdout)
    assert [one["id"] for one in document["accelerators"]] == ids
    assert document["error"] is None

    assert accel(stranger, "attach", "--detach").returncode == 0
    gone = accel(stranger, "ls")
    assert gone.returncode == 1
    assert "No accelerator was found" in gone.stderr
    assert "Traceback" not in gone.stderr


def test_attach_as_json(stranger: Path, two: Daemon) -> None:
    """What a program needs to know, and not the secret."""
    uri = two.command("invite", "fred")
    attached = accel(stranger, "attach", "--json", text=uri)
    assert attached.returncode == 0, attached.stderr
    assert json.loads(attached.stdout) == {
        "control": two.ready["control"],
        "region": two.ready["region"],
        "access_key_id": Invitation.from_uri(uri).key.access_key_id,
        "accelerators": 2,
        "path": str(stranger / "attached.json"),
        "error": None,
    }


def test_attached_profile_beside_the_daemons_own(ids: list[str], two: Daemon) -> None:
    """In one home neither loses what the other wrote."""
    own = (two.home / "client.json").read_bytes()
    outcome = attach(Invitation.from_uri(two.command("invite", "bob")))
    try:
        assert outcome.accelerators == 2
        found = discover()
        assert found.source == str(two.home / "attached.json")
        assert found.profile == outcome.profile
        assert [one.id for one in accelerators()] == ids
    finally:
        assert remove_attached()
    assert (two.home / "client.json").read_bytes() == own
    assert discover().source == str(two.home / "client.json")


def test_wrong_pin(stranger: Path, two: Daemon) -> None:
    """Both fingerprints are told, nothing is kept, and the key was shown to nobody."""
    good = Invitation.from_uri(two.command("invite", "carl"))
    log = two.home / "daemon" / "audit.log"
    before = log.read_text().count(good.key.access_key_id)
    wrong = "sha256:" + "0" * 64
    with pytest.raises(PeerIdentityError) as caught:
        attach(replace(good, ca=wrong))
    assert wrong in caught.value.message
    assert good.ca in caught.value.message
    assert not stranger.exists()
    assert log.read_text().count(good.key.access_key_id) == before


def test_key_that_the_daemon_does_not_know(stranger: Path, two: Daemon) -> None:
    """An invitation that was revoked attaches nothing."""
    good = Invitation.from_uri(two.command("invite", "dora"))
    two.command("key", "revoke", good.key.access_key_id)
    with pytest.raises(CredentialsError):
        attach(good)
    assert not stranger.exists()


def test_user_who_may_only_connect(stranger: Path, two: Daemon, tmp_path: Path) -> None:
    """Is attached too, though nothing can be listed."""
    statement = {"Effect": "Allow", "Action": "elastic-inference:Connect", "Resource": "*"}
    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    uri = two.command("invite", "erin", "--policy", str(policy))
    assert attach(Invitation.from_uri(uri)).accelerators is None
    assert discover().profile is not None
