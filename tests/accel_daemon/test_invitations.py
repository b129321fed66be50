"""Whom an invitation makes, and what it says."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from accel_daemon.iam.policy import AccessRequest, evaluate, parse_policy
from accel_daemon.iam.principals import Identities, Principal, User, new_access_key
from accel_daemon.invitations import (
    INVITED_POLICY,
    is_loopback,
    read_daemons_address,
    read_fingerprint,
    with_invited,
)
from accel_daemon.pki.authority import create_authority, fingerprint
from accel_protocol.errors import ConfigurationError
from accel_protocol.invitation import Invitation

NOW = datetime(2026, 1, 31, tzinfo=UTC)
KEY = new_access_key(NOW.isoformat())
POLICY = {"Version": "2012-10-17", "Statement": []}


@pytest.mark.parametrize(
    ("action", "allowed"),
    [("Connect", True), ("DescribeAccelerators", True), ("DescribeAcceleratorTypes", True),
     ("GetStatus", False), ("TagResource", False)],
)  # fmt: skip
def test_invited_policy(action: str, allowed: bool) -> None:
    """The least that a client needs."""
    request = AccessRequest(Principal("ann", "0" * 12), f"elastic-inference:{action}", "*")
    assert evaluate([parse_policy(INVITED_POLICY)], request).allowed == allowed


def test_a_new_user() -> None:
    """With the policy that was given, else the least."""
    for policy in (None, POLICY):
        user = with_invited(Identities(), "ann", policy, KEY).find_user("ann")
        assert user == User("ann", (policy or INVITED_POLICY,), (KEY,))


def test_a_user_who_is_there_gets_one_more_key() -> None:
    """And keeps policies and keys."""
    first = new_access_key(NOW.isoformat())
    before = Identities(users=(User("ann", (POLICY,), (first,)),))
    assert with_invited(before, "ann", None, KEY).users == (User("ann", (POLICY,), (first, KEY)),)


def test_an_invitation_changes_no_policies() -> None:
    """Neither silently nor otherwise."""
    before = Identities(users=(User("ann", (POLICY,)),))
    with pytest.raises(ConfigurationError, match="does not change policies"):
        with_invited(before, "ann", POLICY, KEY)


def test_address(tmp_path: Path) -> None:
    """As the daemon wrote it for its own clients."""
    profile = tmp_path / "client.json"
    profile.write_text(json.dumps({"control": "https://gpu.example:9443", "region": "us-east-1"}))
    assert read_daemons_address(profile) == ("gpu.example:9443", "us-east-1")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"control": 5, "region": "x"}',
                                     '{"control": "", "region": "x"}'])  # fmt: skip
def test_address_that_is_none(tmp_path: Path, content: str) -> None:
    """The remedy writes it anew."""
    profile = tmp_path / "client.json"
    profile.write_text(content)
    with pytest.raises(ConfigurationError, match="does not say"):
        read_daemons_address(profile)


def test_fingerprint(tmp_path: Path) -> None:
    """Of the certificate that clients will be shown."""
    authority = create_authority(NOW, "an authority")
    (tmp_path / "ca.pem").write_bytes(authority.certificate_pem)
    assert read_fingerprint(tmp_path / "ca.pem") == fingerprint(authority.certificate)
    for content in (b"", b"PEM"):
        (tmp_path / "ca.pem").write_bytes(content)
        with pytest.raises(ConfigurationError, match="authority's certificate"):
            read_fingerprint(tmp_path / "ca.pem")


@pytest.mark.parametrize(
    ("address", "is_local"),
    [("127.0.0.1:1", True), ("127.9.9.9:1", True), ("[::1]:1", True), ("localhost:1", True),
     ("10.0.0.1:1", False), ("gpu.example:1", False), ("[2001:db8::1]:1", False)],
)  # fmt: skip
def test_is_loopback(address: str, is_local: bool) -> None:
    """Such an invitation is of use on this machine only."""
    assert is_loopback(address) == is_local


def test_invite(tmp_path: Path, tools: Any, interpreter: Path) -> None:
    """One line that a client understands; a second one has another key."""
    with tools.running_daemon(tmp_path, "--accelerator", f"host,python={interpreter}") as daemon:
        first, second = (tools.run_cli(tmp_path, "invite", "ann") for _ in range(2))
        bad = tools.run_cli(tmp_path, "invite", "no such/name")
        invitations = [Invitation.from_uri(done.stdout) for done in (first, second)]
        statuses = [
            daemon.call("POST", path, {}, key=one.key).status
            for one in invitations
            for path in ("/connect", "/describe-accelerators")
        ]
        denied = daemon.call("GET", "/status", key=invitations[0].key).json()["reason"]
        assert invitations[0].control == daemon.ready["control"]

    assert invitations[0].key != invitations[1].key
    assert statuses == [200] * 4
    assert denied == "ACCESS_DENIED"
    assert "127.0.0.1" in first.stderr
    assert invitations[0].key.secret_access_key not in first.stderr
    assert (bad.returncode, bad.stdout) == (1, "")
    listed = tools.run_cli(tmp_path, "user", "list").stdout
    assert all(one.key.access_key_id in listed for one in invitations)
