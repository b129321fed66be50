"""A real daemon with two accelerators and users of its own, for tests about who may do what."""

from __future__ import annotations

import json
import os
import signal
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import grpc
import urllib3

from accel_daemon.control.identity_store import IdentityStore
from accel_daemon.iam.principals import Identities, Key, User, new_access_key
from accel_protocol.errors import BusyError, ConnectionLostError
from accel_protocol.sigv4 import AccessKey, HttpRequest, sign
from client_runtime.discovery.endpoints import Endpoint
from client_runtime.transport import channel as channels
from client_runtime.transport.grants import Grant, request_grant
from tests.conftest import Daemon, eventually, patience

ALL = {"Effect": "Allow", "Action": "*", "Resource": "*"}


def new_key() -> Key:
    """A fresh access key."""
    return new_access_key(datetime.now(UTC).isoformat())


@dataclass
class Realm:
    """A daemon with two accelerators, the user `good` with two keys, and another user."""

    daemon: Daemon
    good: Key = field(default_factory=new_key)
    revoked: Key = field(default_factory=new_key)
    other: Key = field(default_factory=new_key)

    def change(self, change: Callable[[Identities], Identities]) -> None:
        """Change the identities, as the command line does."""
        self._store().update(change)

    def identities(self) -> Identities:
        """What the file holds."""
        return self._store().load()

    def add_users(self) -> None:
        """Add the users of this module."""
        document = {"Version": "2012-10-17", "Statement": [ALL]}
        good = User("good", (document,), (self.good, self.revoked))
        other = User("other", (document,), (self.other,))
        self.change(lambda now: now.with_user(good).with_user(other))

    @property
    def endpoint(self) -> Endpoint:
        """Where the daemon is."""
        ready = self.daemon.ready
        return Endpoint(ready["control"], ready["ca_file"], ready["region"], "the test")

    def connect(self, key: Key, ordinal: int = 0) -> Grant:
        """A ticket for an accelerator; waits while it is another's or restarts."""
        signer = AccessKey(key.access_key_id, key.secret_access_key)
        give_up = time.monotonic() + patience(120)
        while True:
            try:
                return request_grant(self.endpoint, signer, ordinal)
            except (BusyError, ConnectionLostError):
                assert time.monotonic() < give_up
                time.sleep(1)

    def tag(self, method: str, tags: dict[str, str]) -> None:
        """Add (POST) or remove (DELETE) tags of the first accelerator."""
        kind = "arn:aws:elastic-inference:us-east-1:000000000000:elastic-inference-accelerator"
        arn = f"{kind}/{self.daemon.ready['accelerators'][0]['id']}"
        path = f"/tags/{quote(arn, safe='')}"
        query = "&".join(f"tagKeys={key}" for key in tags) if method == "DELETE" else ""
        body = b"" if query else json.dumps({"tags": tags}).encode()
        host = self.endpoint.control.removeprefix("https://")
        request = HttpRequest(method, path, query, (("Host", host),), body)
        signer = AccessKey(self.good.access_key_id, self.good.secret_access_key)
        names = {"region": self.endpoint.region, "service": "elastic-inference"}
        headers = {"Host": host, **sign(request, signer, now=datetime.now(UTC), **names)}
        context = ssl.create_default_context(cafile=self.daemon.ready["ca_file"])
        with urllib3.PoolManager(ssl_context=context, retries=False) as pool:
            url = self.endpoint.control + path + ("?" + query if query else "")
            answer = pool.request(method, url, body=body, headers=headers)
        assert answer.status == 200, answer.data

    def kill_accelerator(self) -> None:
        """End the first accelerator's process, and wait until another one is ready."""
        before = self.daemon.accelerator_pid()
        os.kill(before, signal.SIGKILL)

        def is_back() -> bool:
            row = self.daemon.status()["accelerators"][0]
            return row["state"] == "ready" and row["pid"] not in (0, None, before)

        eventually(is_back, 60)

    def _store(self) -> IdentityStore:
        return IdentityStore(self.daemon.home / "daemon" / "identities.json")

    def channel(self, grant: Grant) -> grpc.Channel:
        """A channel to a grant's accelerator."""
        return channels.open_channel(self.endpoint, grant)

    def records(self) -> list[dict[str, Any]]:
        """All whole lines of the audit log."""
        text = (self.daemon.home / "daemon" / "audit.log").read_text()
        return [json.loads(line) for line in text.split("\n")[:-1]]

    def lines_of(self, request_ids: list[str]) -> list[dict[str, Any]]:
        """The lines of these requests, once all of them have one, and what comes after that."""
        wanted = set(request_ids)
        eventually(lambda: wanted <= {one["request_id"] for one in self.records()}, 10)
        time.sleep(0.2)
        return [one for one in self.records() if one["request_id"] in wanted]
