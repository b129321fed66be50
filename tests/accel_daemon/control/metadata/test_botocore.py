"""The real botocore, as it finds and refreshes credentials; only clocks are moved."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import botocore.session
import botocore.utils
import pytest

from accel_daemon.control.metadata.options import MetadataOptions
from tests.accel_daemon.control.metadata.stand_ins import TOKEN, Served

Serve = Callable[..., Served]


@pytest.fixture(autouse=True)
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is configured."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "ECS_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


def follow_clock(found: Any, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let botocore see the service's time."""
    issuer = served.issuer
    monkeypatch.setattr(found, "_time_fetcher", lambda: issuer.now)
    monkeypatch.setattr(
        botocore.utils, "get_current_datetime", lambda: issuer.now.replace(tzinfo=None)
    )


def check_refresh(found: Any, served: Served) -> None:
    """Over three hours credentials are always good, and are asked for a few times only."""
    keys = set()
    for _ in range(180):
        served.issuer.now += timedelta(minutes=1)
        key = found.get_frozen_credentials()
        (issued,) = [one for one in served.issuer.issued if one.access_key_id == key.access_key]
        assert (key.secret_key, key.token) == (issued.secret_access_key, issued.session_token)
        assert issued.expires_at - served.issuer.now >= timedelta(minutes=10)
        keys.add(key.access_key)
    assert 3 <= len(keys) <= 6
    assert len(served.issuer.issued) <= 6


@pytest.mark.parametrize("tokens", ["optional", "required"])
def test_instance_role(serve: Serve, monkeypatch: pytest.MonkeyPatch, tokens: str) -> None:
    """Found by the metadata address alone, and refreshed in time."""
    served = serve(MetadataOptions(tokens=tokens))
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", served.url)
    found = botocore.session.get_session().get_credentials()
    assert found.method == "iam-role"
    follow_clock(found, served, monkeypatch)
    check_refresh(found, served)


@pytest.mark.parametrize("shows", ["nothing", "a token", "a token's file"])
def test_container_role(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, shows: str
) -> None:
    """Found by the full URI, with and without the authorization token."""
    served = serve(peer_user=lambda _: os.getuid() if shows == "nothing" else None)
    identifier = served.service.container.credentials_id
    monkeypatch.setenv(
        "AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{served.url}/v2/credentials/{identifier}"
    )
    if shows == "a token":
        monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", TOKEN)
    if shows == "a token's file":
        (tmp_path / "token").write_text(TOKEN)
        monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(tmp_path / "token"))
    found = botocore.session.get_session().get_credentials()
    assert found.method == "container-role"
    follow_clock(found, served, monkeypatch)
    check_refresh(found, served)


@pytest.mark.parametrize("why", ["another user", "no role", "role issues nothing"])
def test_refused(serve: Serve, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    """It goes on to its next source, and finds nothing."""
    options = MetadataOptions(role="none" if why == "no role" else "accel-instance")
    served = serve(options, peer_user=lambda _: os.getuid() + (why == "another user"))
    served.issuer.refuses = why == "role issues nothing"
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", served.url)
    assert botocore.session.get_session().get_credentials() is None


def test_region(serve: Serve) -> None:
    """Asked with a slash at the end."""
    fetcher = botocore.utils.InstanceMetadataRegionFetcher(base_url=serve().url)
    assert fetcher.retrieve_region() == "us-east-1"
