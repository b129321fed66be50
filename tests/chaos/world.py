"""A daemon for a campaign: with users and keys, a proxy before each accelerator, a disk."""

from __future__ import annotations

import contextlib
import hashlib
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from accel_daemon.control.identity_store import IdentityStore
from accel_daemon.control.status_client import call_daemon
from accel_daemon.faults.fault import parse_fault
from accel_daemon.iam.principals import Identities, Key, User
from accel_protocol.lanes import KINDS
from accel_protocol.sigv4 import AccessKey
from client_runtime.discovery.credentials import KeySource
from client_runtime.discovery.endpoints import Endpoint
from client_runtime.transport.attachment import Attachment
from client_runtime.transport.grants import Grant
from client_runtime.transport.lane_choice import LaneChoice
from tests.chaos.history import History
from tests.chaos.proxy import Proxy
from tests.conftest import Daemon, eventually, start_daemon
from tests.integration.realm import ALL, new_key

ACCELERATORS = 2
_DISK_MEBIBYTES = 384
_LOOK_SECONDS = 0.3
# Clients take turns with them.
_KINDS = (("grpc",), ("tls", "grpc"), KINDS)


class Roads:
    """The proxies before one accelerator: of gRPC, and of lanes. What befalls one befalls both."""

    def __init__(self) -> None:
        self.grpc, self.lanes = Proxy(), Proxy()
        self._all = (self.grpc, self.lanes)

    def cut(self) -> None:
        """See `Proxy.cut`."""
        for one in self._all:
            one.cut()

    def cut_after(self, count: int) -> None:
        """See `Proxy.cut_after`."""
        for one in self._all:
            one.cut_after(count)

    def stall(self) -> None:
        """See `Proxy.stall`."""
        for one in self._all:
            one.stall()

    def refuse(self) -> None:
        """See `Proxy.refuse`."""
        for one in self._all:
            one.refuse()

    def go_on(self) -> None:
        """See `Proxy.go_on`."""
        for one in self._all:
            one.go_on()

    def close(self) -> None:
        """See `Proxy.close`."""
        for one in self._all:
            one.close()


class ProxiedAttachment(Attachment):
    """An attachment whose ways to its accelerator lead through proxies, but on its own host.

    Args:
        kinds: the lanes that it may use.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        keys: KeySource,
        ordinal: int,
        roads: Roads,
        kinds: tuple[str, ...],
    ) -> None:
        super().__init__(endpoint, keys, ordinal)
        self._roads, self._lanes = roads, LaneChoice(endpoint, kinds)

    def _request_grant(self) -> Grant:
        grant, roads = super()._request_grant(), self._roads
        roads.grpc.upstream, roads.lanes.upstream = grant.address, grant.lane_address
        address = roads.lanes.address if grant.lane_address else ""
        return replace(grant, address=roads.grpc.address, lane_address=address)


@dataclass
class World:
    """What a campaign happens to.

    Attributes:
        daemon: with ACCELERATORS accelerators, each used by one user.
        disk: where its file system is mounted; None when it has none of its own.
        roads: to each accelerator.
        history: where process changes are noted.
        pids: of the accelerators' processes, 0 while there is none.
        keys: of each client.
        revoked: clients whose key is revoked at present.
        rotten: files that were damaged on purpose, and what they were damaged to.
    """

    daemon: Daemon
    disk: Path | None
    roads: list[Roads]
    history: History
    pids: list[int] = field(default_factory=lambda: [0] * ACCELERATORS)
    keys: dict[int, Key] = field(default_factory=dict)
    revoked: set[int] = field(default_factory=set)
    rotten: dict[Path, str] = field(default_factory=dict)
    _stopped: threading.Event = field(default_factory=threading.Event)

    def ask(self, method: str, path: str, document: object = None) -> Any:
        """A call of the administrator's to the control endpoint."""
        body = b"" if document is None else json.dumps(document).encode()
        return call_daemon(self.daemon.home / "client.json", method, path, body)

    def inject(self, text: str) -> str:
        """Inject a fault; its id."""
        fault = parse_fault(text).to_document()
        return str(self.ask("POST", "/faults", fault)["fault"]["id"])

    def add_client(self, number: int) -> None:
        """Give a client a key of its accelerator's user."""
        key = self.keys[number] = new_key()
        self.change(lambda now: now.with_key(user_of(number), key))

    def attach(self, number: int, key: Key) -> Attachment:
        """A client's connection through the proxy, with this key."""
        ready = self.daemon.ready
        endpoint = Endpoint(ready["control"], ready["ca_file"], ready["region"], "the campaign")
        keys = KeySource(None, AccessKey(key.access_key_id, key.secret_access_key))
        ordinal = accelerator_of(number)
        kinds = _KINDS[number // ACCELERATORS % len(_KINDS)]
        return ProxiedAttachment(endpoint, keys, ordinal, self.roads[ordinal], kinds)

    def change(self, change: Callable[[Identities], Identities]) -> None:
        """Change the identities, as the command line does."""
        IdentityStore(self.daemon.home / "daemon" / "identities.json").update(change)

    def blobs(self) -> list[Path]:
        """All stored files under the name of their digest."""
        root = self.daemon.home / "daemon" / "accelerators"
        return sorted(root.glob("*/store/*/blobs/*"))

    def rot(self, path: Path, chance: float) -> None:
        """Change one byte of a stored file, as a disk does in its old age."""
        with contextlib.suppress(OSError), path.open("r+b") as stream:
            content = bytearray(stream.read())
            content[int(chance * len(content))] ^= 0x55
            self.rotten[path] = hashlib.sha256(content).hexdigest()
            stream.seek(0)
            stream.write(content)

    def watch(self) -> None:
        """Note each accelerator process that is another one than before, until `stop`."""
        seen = [time.monotonic()] * ACCELERATORS
        while not self._stopped.wait(_LOOK_SECONDS):
            # Whatever faults there are: the next look tells.
            with contextlib.suppress(Exception):
                rows = self.ask("GET", "/status")["accelerators"]
                now = time.monotonic()
                for ordinal, row in enumerate(rows):
                    pid = int(row["pid"] or 0)
                    if pid and pid != self.pids[ordinal]:
                        self.history.note("process", ordinal, seen[ordinal], now, str(pid))
                    if pid:
                        self.pids[ordinal], seen[ordinal] = pid, now

    def stop(self) -> None:
        """End the watching."""
        self._stopped.set()


def accelerator_of(client: int) -> int:
    """The ordinal of the accelerator that a client uses."""
    return client % ACCELERATORS


def user_of(client: int) -> str:
    """The user whose keys a client has."""
    return f"user-{accelerator_of(client)}"


def damage(world: World) -> dict[str, str]:
    """What is wrong with the files of the stores, by name; without what was damaged on purpose."""
    found = {}
    for path in world.blobs():
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if digest not in (path.name, world.rotten.get(path)):
            found[path.name] = f"holds {digest}"
    return found


@contextmanager
def running(folder: Path, history: History) -> Iterator[World]:
    """A world in this folder, watched; everything in it ends with the block."""
    with ExitStack() as stack:
        home = folder / "home"
        disk = stack.enter_context(_own_disk(folder, home))
        accelerators = ["--accelerator", "host"] * ACCELERATORS
        daemon = start_daemon(home, "--port", "0", "--allow-faults", *accelerators)
        stack.callback(_stopped, daemon)
        roads = [Roads() for _ in range(ACCELERATORS)]
        for one in roads:
            stack.callback(one.close)
        world = World(daemon, disk, roads, history)
        for number in range(ACCELERATORS):
            user = User(user_of(number), ({"Version": "2012-10-17", "Statement": [ALL]},), ())
            world.change(lambda now, user=user: now.with_user(user))  # type: ignore[misc]
        watcher = threading.Thread(target=world.watch, daemon=True)
        watcher.start()
        stack.callback(watcher.join)
        stack.callback(world.stop)
        eventually(lambda: all(world.pids), 60)
        yield world


def _stopped(daemon: Daemon) -> None:
    status = daemon.stop()
    assert status == 0, f"the daemon ended with {status}: {daemon.log.read_text()[-2000:]}"


@contextmanager
def _own_disk(folder: Path, home: Path) -> Iterator[Path | None]:
    """A file system in a file, which can be filled and frozen; None where none can be mounted."""
    image = folder / "disk"
    home.mkdir()
    with image.open("wb") as stream:
        stream.truncate(_DISK_MEBIBYTES << 20)
    commands = (["mkfs.ext4", "-q", "-F", str(image)], ["mount", "-o", "loop", image, home])
    try:
        for command in commands:
            subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        yield None
        return
    try:
        yield home
    finally:
        subprocess.run(["umount", "--lazy", str(home)], check=True)
