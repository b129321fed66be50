"""Clients that are told nothing but where metadata is, and which authority to trust."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import botocore.utils
import numpy as np
import pytest

from accel_daemon.control.identity_store import IdentityStore
from accel_daemon.home import Home
from accel_daemon.iam.principals import Role, new_role_id
from accel_daemon.invitations import INVITED_POLICY
from accel_protocol.errors import CredentialsError
from client_runtime import connect
from client_runtime.discovery.credentials import KeySource
from client_runtime.discovery.endpoints import discover
from client_runtime.transport import grants
from client_runtime.transport.attachment import Attachment
from tests.conftest import Daemon, environment, eventually, patience, start_daemon, use_home
from tests.integration.conftest import local_answer

ROLE = "accel-instance"
FEED = {"x": np.arange(8, dtype=np.float32).reshape(2, 4)}
SCRIPT = """
import json, sys
import numpy as np
from client_runtime import EIPredictor, accelerators
answer = EIPredictor(sys.argv[1])({"x": np.arange(8, dtype=np.float32).reshape(2, 4)})
ids = [one.id for one in accelerators()]
print(json.dumps({"source": accelerators()[0].source, "ids": ids, "y": answer["y"].tolist()}))
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with two accelerators: instance and task are two principals."""
    home = tmp_path_factory.mktemp("machine")
    running = start_daemon(home, "--port", "0", "--accelerator", "host", "--accelerator", "host")
    yield running
    assert running.stop() == 0


def variables(machine: Daemon, kind: str) -> dict[str, str]:
    """All that a client is told."""
    ready = machine.ready
    told = {
        "EC2": {"AWS_EC2_METADATA_SERVICE_ENDPOINT": ready["metadata"]},
        "ECS": {
            "ECS_CONTAINER_METADATA_URI_V4": ready["container_metadata"],
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": ready["container_credentials"],
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": ready["container_token_file"],
        },
    }
    return {"ACCEL_CA_FILE": ready["ca_file"], **told[kind]}


@pytest.fixture
def client(machine: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Daemon:
    """This process is a client that is told where instance metadata is."""
    use_home(monkeypatch, tmp_path / "accel")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, value in variables(machine, "EC2").items():
        monkeypatch.setenv(name, value)
    return machine


@pytest.mark.parametrize("kind", ["EC2", "ECS"])
def test_metadata_alone(machine: Daemon, model: Path, tmp_path: Path, kind: str) -> None:
    """A process in an empty home finds accelerators and credentials, and gets its answer."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(model)],
        env={
            **environment(tmp_path / "accel"),
            "HOME": str(tmp_path),
            **variables(machine, kind),
        },
        capture_output=True,
        text=True,
        timeout=patience(120),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["source"].startswith(kind)
    assert told["ids"] == [one["id"] for one in machine.ready["accelerators"]]
    np.testing.assert_allclose(told["y"], local_answer(model, FEED)["y"], rtol=1e-5)
    assert not (tmp_path / ".aws").exists()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What botocore got from metadata whenever it asked."""
    answers: list[Any] = []
    fetcher = botocore.utils.InstanceMetadataFetcher
    real = fetcher.retrieve_iam_role_credentials

    def counting(self: Any) -> Any:
        answers.append(real(self))
        return answers[-1]

    monkeypatch.setattr(fetcher, "retrieve_iam_role_credentials", counting)
    return answers


def pass_time(attachment: Attachment, minutes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a client's botocore see a later time, and its ticket be due for renewal."""
    later = timedelta(minutes=minutes)
    monkeypatch.setattr(attachment._keys._found, "_time_fetcher", lambda: datetime.now(UTC) + later)
    monkeypatch.setattr(
        botocore.utils,
        "get_current_datetime",
        lambda: datetime.now(UTC).replace(tzinfo=None) + later,
    )
    assert attachment._grant is not None
    attachment._grant = replace(attachment._grant, renew_at=0.0)


def ticket(attachment: Attachment) -> str:
    """The ticket in use after one more call."""
    attachment.list()
    assert attachment._grant is not None
    return attachment._grant.ticket


def test_long_living_process(
    client: Daemon, asked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tickets are renewed without asking metadata, until the credentials are about to end."""
    with connect() as attachment:
        tickets = {ticket(attachment)}
        for minutes, times in ((0, 1), (20, 1), (50, 2)):
            pass_time(attachment, minutes, monkeypatch)
            tickets.add(ticket(attachment))
            assert len(asked) == times
    assert len(tickets) == 4


def test_metadata_that_is_away(client: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the ticket is good, calls go on although there are no credentials to renew it with."""
    with connect() as attachment:
        first = ticket(attachment)
        found: Any = attachment._keys._found
        monkeypatch.setattr(found, "_refresh_using", lambda: {})
        pass_time(attachment, 50, monkeypatch)
        assert ticket(attachment) == first
        with pytest.raises(CredentialsError) as caught:
            attachment._keys.current()
        assert caught.value.reason == "MISSING_CREDENTIALS"


def test_role_that_was_made_anew(client: Daemon, asked: list[Any]) -> None:
    """Credentials of the old one are refused; metadata is asked once more, and that helps."""
    endpoint = discover()
    keys = KeySource()
    old = keys.current()
    new = Role(ROLE, new_role_id(), (INVITED_POLICY,))
    store = IdentityStore(Home(client.home).identities)
    store.update(lambda known: known.without_role(ROLE).with_role(new))

    def is_refused() -> bool:
        try:
            grants.request_grant(endpoint, old, None)
        except CredentialsError:
            return True
        return False

    eventually(is_refused)
    with Attachment(endpoint, keys) as attachment:
        attachment.list()
    assert len(asked) == 2
    assert keys.current() != old
