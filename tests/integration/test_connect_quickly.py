"""Asking for tickets faster than a signature's clock ticks."""

from __future__ import annotations

from pathlib import Path

import pytest

from client_runtime.discovery.credentials import find_credentials
from client_runtime.discovery.endpoints import discover
from client_runtime.transport.grants import request_grant


@pytest.mark.usefixtures("daemon")
def test_connects_within_one_second_are_no_replays(home: Path) -> None:
    """Each is signed with a nonce, so the daemon can tell them from a replay."""
    endpoint = discover(None, None)
    key = find_credentials(endpoint)

    grants = [request_grant(endpoint, key, None) for _ in range(5)]

    assert {grant.accelerator_id for grant in grants} == {grants[0].accelerator_id}
