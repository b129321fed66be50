"""A metadata service in this process, whose clock and callers a test chooses."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from aiohttp import web

from accel_daemon.control.metadata.options import MetadataOptions
from accel_daemon.control.metadata.service import user_of_request
from accel_daemon.pki.authority import Authority, create_authority
from tests.accel_daemon.control.metadata.stand_ins import Served, build_service, running


@pytest.fixture(scope="session")
def authority() -> Authority:
    """Vouches for the identity document."""
    return create_authority(datetime.now(UTC), "tests")


@pytest.fixture
def serve(authority: Authority) -> Iterator[Callable[..., Served]]:
    """Starts services with these options."""
    with contextlib.ExitStack() as stack:

        def start(
            options: MetadataOptions | None = None,
            peer_user: Callable[[web.Request], int | None] = user_of_request,
        ) -> Served:
            served = build_service(options or MetadataOptions(), authority, peer_user)
            stack.enter_context(running(served))
            return served

        yield start
