"""What stands in for a daemon in tests of metadata, and a service that runs in this process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import urllib3
from aiohttp import web

from accel_daemon.control.metadata.app import build_metadata_app
from accel_daemon.control.metadata.container import Container
from accel_daemon.control.metadata.identity_signatures import DocumentSigner
from accel_daemon.control.metadata.instance import Instance
from accel_daemon.control.metadata.options import MetadataOptions
from accel_daemon.control.metadata.role_credentials import Role, RoleCredentials, RoleFacts
from accel_daemon.control.metadata.service import MetadataService, RoleSessions
from accel_daemon.control.server import serving
from accel_daemon.iam.temporary_credentials import TemporaryCredentials
from accel_daemon.pki.authority import Authority
from accel_protocol.errors import ConfigurationError

ACCOUNT = "000000000000"
ROLE = "accel-instance"
FIRST, SECOND = "eia-" + "a1" * 16, "eia-" + "b2" * 16
TOKEN = "t" * 43
FACTS = RoleFacts(f"arn:aws:iam::{ACCOUNT}:role/{ROLE}", "AROA" + "A" * 17)


def stand_in_fleet() -> Any:
    """As much of a fleet as metadata reads."""
    accelerators = [
        SimpleNamespace(id=one, placement=SimpleNamespace(spec=SimpleNamespace(type=kind)))
        for one, kind in ((FIRST, "eia1.medium"), (SECOND, "eia2.large"))
    ]
    return SimpleNamespace(accelerators=accelerators)


def stand_in_instance(control: str = "https://127.0.0.1:9443") -> Instance:
    """An instance with two accelerators, started at a fixed time."""
    started = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    return Instance(stand_in_fleet(), "us-east-1", control, ACCOUNT, "x86_64", started)


@dataclass
class Issuer:
    """A role that numbers what it issues, and the clock by which it does."""

    now: datetime = field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))
    facts: RoleFacts | None = FACTS
    life: int | None = None
    issued: list[TemporaryCredentials] = field(default_factory=list)
    refuses: bool = False

    @property
    def role(self) -> Role:
        """The role for metadata."""
        return Role(ROLE, lambda: self.facts, self.issue)

    def issue(self, session: str, now: datetime, seconds: int) -> TemporaryCredentials:
        """The next credentials."""
        if self.refuses:
            raise ConfigurationError("The role issues nothing.", remedy="")
        number = len(self.issued)
        made = TemporaryCredentials(
            f"ASIA{number:016}",
            f"{number:040}",
            f"token of {session} {number}",
            now,
            now + timedelta(seconds=self.life or seconds),
        )
        self.issued.append(made)
        return made


@dataclass
class Served:
    """The running service."""

    service: MetadataService
    issuer: Issuer
    port: int = 0

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def fetch(self, path: str, method: str = "GET", **headers: str) -> urllib3.BaseHTTPResponse:
        """One request; `_` in a header's name stands for "-"."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        with urllib3.PoolManager(retries=False, timeout=5) as pool:
            return pool.request(method, self.url + path, headers=named)

    def get(self, path: str, **headers: str) -> str:
        """The text at a path."""
        answer = self.fetch(path, **headers)
        assert answer.status == 200, (answer.status, answer.data)
        return answer.data.decode()


def build_service(
    options: MetadataOptions, authority: Authority, peer_user: Callable[[web.Request], int | None]
) -> Served:
    """A service with a stand-in role, not yet running."""
    issuer, instance = Issuer(), stand_in_instance()
    sessions = [RoleCredentials(issuer.role, name, lambda: issuer.now) for name in ("i-0", "task")]
    service = MetadataService(
        instance=instance,
        options=options,
        signer=DocumentSigner(authority, instance.id, lambda: issuer.now),
        container=Container(instance, TOKEN),
        roles=None if options.role == "none" else RoleSessions(*sessions),
        user=os.getuid(),
        peer_user=peer_user,
    )
    return Served(service, issuer)


@contextlib.contextmanager
def running(served: Served) -> Iterator[None]:
    """Serve it in a thread."""
    loop, stop, ready = asyncio.new_event_loop(), asyncio.Event(), threading.Event()

    async def run() -> None:
        app, hops = build_metadata_app(served.service), served.service.options.hop_limit
        async with serving(app, "127.0.0.1", 0, hop_limit=hops) as port:
            served.port = port
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    assert ready.wait(10)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()
