"""What metadata is told of the daemon."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from accel_daemon.clock import Clock
from accel_daemon.control.metadata.options import MetadataOptions
from accel_daemon.home import Home, make_private_folder
from accel_daemon.iam.principals import Identities, Role, new_role_id
from accel_daemon.iam.sessions import SessionIssuer
from accel_daemon.pki.authority import create_authority
from accel_daemon.supervisor.metadata_service import (
    Surroundings,
    build_metadata_service,
    ready_entries,
    role_of,
)
from accel_protocol.errors import ConfigurationError
from tests.accel_daemon.control.metadata.stand_ins import ACCOUNT, stand_in_fleet

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ROLE = Role("the-role", new_role_id(), max_session_seconds=900)


def test_role() -> None:
    """Found while the identities have it; its sessions are as long as it lets them be."""
    identities, issuer = Identities(roles=(ROLE,)), SessionIssuer.generate()
    role = role_of("the-role", issuer, lambda: identities, Clock.start())
    facts = role.find()
    assert facts is not None
    assert (facts.arn, facts.id) == (f"arn:aws:iam::{ACCOUNT}:role/the-role", ROLE.role_id)
    issued = role.issue("i-0123", NOW, 3600)
    assert (issued.expires_at - issued.issued_at).total_seconds() == 900
    session = issuer.open(issued.access_key_id, issued.session_token, NOW, identities)
    assert (session.role, session.name) == ("the-role", "i-0123")
    identities = Identities()
    assert role.find() is None
    with pytest.raises(ConfigurationError):
        role.issue("i-0123", NOW, 3600)


@pytest.mark.parametrize("name", ["the-role", "none"])
def test_ready_entries(tmp_path: Path, name: str) -> None:
    """What users set; nothing about credentials where none are offered."""
    home = Home(tmp_path)
    make_private_folder(home.daemon)
    authority = create_authority(datetime.now(UTC), "tests")
    fleet: Any = stand_in_fleet()
    around = Surroundings(home, authority, fleet, "us-east-1", ACCOUNT, "https://h:1")
    role = role_of(name, SessionIssuer.generate(), Identities, Clock.start())
    service = build_metadata_service(MetadataOptions(role=name), around, role)
    told = ready_entries(service, "http://127.0.0.1:1", home)
    assert told["metadata"] == "http://127.0.0.1:1"
    assert told["container_metadata"].startswith("http://127.0.0.1:1/v4/")
    assert ("container_credentials" in told) == (name != "none")
    assert ("container_token_file" in told) == (name != "none")
    again = build_metadata_service(MetadataOptions(role=name), around, role)
    assert ready_entries(again, "http://127.0.0.1:1", home) == told
