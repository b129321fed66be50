"""An accelerator that listens in the test's own process, with an engine that computes nothing."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import threading
import weakref
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import grpc
import numpy as np

from accel_daemon.accelerator.gate import Gate
from accel_daemon.accelerator.lanes.listening import open_listeners
from accel_daemon.accelerator.server import AcceleratorServer
from accel_daemon.accelerator.service import AcceleratorService
from accel_daemon.clock import Clock
from accel_daemon.engines.engine import Cost, TensorSpec, Weights
from accel_daemon.engines.sharing import Shared
from accel_daemon.iam.policy_set import PolicySet
from accel_daemon.iam.principals import Principal
from accel_daemon.iam.tickets import TicketSigner, TicketVerifier
from accel_daemon.launch_order import AuditedDecision, HolderPolicies, LaunchOrder
from accel_daemon.pki.authority import create_authority, issue_leaf
from accel_protocol.limits import Limits
from accel_protocol.manifest import SAVED_MODEL, BundleFile, Manifest, Selection
from accel_protocol.tensors import Array
from client_runtime.discovery.endpoints import Endpoint
from client_runtime.transport.grants import Grant
from client_runtime.transport.socket_lane import SocketLane, open_local_lane, open_tls_lane

ACCELERATOR_ID = "eia-" + "a" * 32
KEY_ID = "AKIA" + "T" * 16
TESTER = Principal("tester", "0" * 12)
SPEC = TensorSpec("x", "x:0", 1, (-1,))
_T = TypeVar("_T")


class _Answer(np.ndarray):  # type: ignore[type-arg]
    """An array that can be found in a set, by what it is and not by its elements."""

    __hash__ = object.__hash__
    __eq__ = object.__eq__  # type: ignore[assignment]


@dataclass
class LargeGraph:
    """Answers as many bytes as the first number that it is fed, none where it is not."""

    engine: LargeEngine
    repeatable: bool = True
    executed_by: str = "large 1"
    feeds: Mapping[str, TensorSpec] = field(default_factory=lambda: {"x": SPEC})
    fetches: Mapping[str, TensorSpec] = field(default_factory=lambda: {"y": SPEC})

    def run(self, feeds: Mapping[str, Array], timeout: float | None) -> dict[str, Array]:
        """See `Graph.run`."""
        self.engine.runs += 1
        self.engine.before_run()
        answer = np.zeros(int(feeds["x"][0]) if feeds else 0, np.uint8).view(_Answer)
        self.engine.answers.add(answer)
        return {"y": answer}

    def cost(self, shapes: Mapping[str, tuple[int, ...] | None]) -> Cost | None:
        """See `Graph.cost`."""
        return None

    def close(self) -> None:
        """See `Graph.close`."""


@dataclass
class LargeEngine:
    """Loads anything.

    Attributes:
        answers: those that still exist.
        runs: how many have begun.
        before_run: called at the beginning of each.
    """

    answers: weakref.WeakSet[_Answer] = field(default_factory=weakref.WeakSet)
    runs: int = 0
    before_run: Callable[[], object] = lambda: None
    version: str = "large 1"

    def weigh(self, folder: Path, manifest: Manifest) -> Weights:
        """See `Engine.weigh`."""
        return Weights(0, 0)

    def load(self, folder: Path, manifest: Manifest, shared: Shared | None = None) -> LargeGraph:
        """See `Engine.load`."""
        return LargeGraph(self)


class ServedAccelerator:
    """One listening accelerator; its service and server are there to be looked at."""

    def __init__(self, folder: Path, limits: Limits, loop: asyncio.AbstractEventLoop) -> None:
        self.loop, self.decisions = loop, list[AuditedDecision]()
        self._folder = folder
        authority = create_authority(datetime.now(UTC), "test authority")
        leaf = issue_leaf(
            authority,
            name=ACCELERATOR_ID,
            ip_addresses=["127.0.0.1"],
            now=datetime.now(UTC),
            days=1,
        )
        self.authority_pem, self._signer = authority.certificate_pem, TicketSigner.generate()
        self._clock = Clock.start()
        public = self._signer.public_key_pem()
        pair = (leaf.certificate_pem.decode(), leaf.private_key_pem.decode())
        order = LaunchOrder(
            *(ACCELERATOR_ID, "host", "127.0.0.1", 0, *pair, public, 1, str(folder / "store")),
            clock_anchor=self._clock.anchor,
        )
        self.gate = Gate(TicketVerifier(public, ACCELERATOR_ID), 1, limits, self._clock.steady)
        self.engine = LargeEngine()
        self.service = AcceleratorService(order, self.engine, limits, self.gate)
        listeners, audit = open_listeners("127.0.0.1", 0), self.decisions.append
        self.server = AcceleratorServer(order, self.service, limits, audit, listeners)

    async def start(self) -> None:
        """Listen, and know that no policy denies the tester anything."""
        await self.gate.take_policies(HolderPolicies(TESTER, KEY_ID, 0, PolicySet(), "*"))
        await self.server.start()

    def ticket(self) -> tuple[tuple[str, str], ...]:
        """The metadata of a call by the tester."""
        return (("authorization", f"Bearer {self.token()}"),)

    def token(self, accelerator_id: str = ACCELERATOR_ID) -> str:
        """A ticket of the tester's."""
        return self._signer.issue(TESTER, accelerator_id, KEY_ID, 1, self._clock.steady())

    def grant(self, ticket: str | None = None) -> Grant:
        """What the tester uses it with, or with another ticket."""
        token = self.token() if ticket is None else ticket
        address = f"127.0.0.1:{self.server.lane_port}"
        local = self.server.local_lane
        return Grant(ACCELERATOR_ID, "host", 0, "", ACCELERATOR_ID, token, 1e18, address, local)

    def lane(self, ticket: str | None = None, kind: str = "tls") -> SocketLane:
        """A lane that is open.

        Raises:
            NoLaneError, AcceleratorError: see `SocketLane.wait_until_open`.
        """
        lane = self.asked_lane(ticket, kind)
        lane.wait_until_open()
        return lane

    def asked_lane(self, ticket: str | None = None, kind: str = "tls") -> SocketLane:
        """A lane whose opening was asked for.

        Raises:
            NoLaneError, AcceleratorError: see `open_tls_lane` and `open_local_lane`.
        """
        if kind == "local":
            return open_local_lane(self.grant(ticket))
        ca_file = self._folder / "ca.pem"
        ca_file.write_bytes(self.authority_pem)
        endpoint = Endpoint("https://unused", str(ca_file), "", "the test")
        return open_tls_lane(endpoint, self.grant(ticket))

    def channel(self) -> grpc.Channel:
        """A channel with a connection of its own."""
        options = [
            ("grpc.ssl_target_name_override", ACCELERATOR_ID),
            ("grpc.use_local_subchannel_pool", 1),
        ]
        credentials = grpc.ssl_channel_credentials(self.authority_pem)
        return grpc.secure_channel(f"127.0.0.1:{self.server.port}", credentials, options)

    def store_graph(self) -> bytes:
        """Store a graph for the tester; its id."""
        content = b"graph"
        file = BundleFile("graph", len(content), hashlib.sha256(content).hexdigest())
        manifest = Manifest(SAVED_MODEL, (file,), Selection(signature="s"), {})
        verified = self.gate.admit("/accel.v1.Accelerator/Run", self.ticket())
        assert verified is not None
        store = self.service.tenant_of(verified).store
        upload = store.receive(file.sha256, len(content))
        upload.append(0, content)
        upload.close()
        store.keep_manifest(manifest)
        return manifest.graph_id()

    def do(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Let the accelerator's event loop do this."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def look(self, at: Callable[[], _T]) -> _T:
        """Look at something between two steps of the event loop."""

        async def looked() -> _T:
            return at()

        return self.do(looked())


@contextlib.contextmanager
def served(folder: Path, limits: Limits) -> Iterator[ServedAccelerator]:
    """An accelerator that listens until the end."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def made() -> ServedAccelerator:
        return ServedAccelerator(folder, limits, loop)

    accelerator = asyncio.run_coroutine_threadsafe(made(), loop).result(60)
    accelerator.do(accelerator.start())
    try:
        yield accelerator
    finally:
        accelerator.do(accelerator.server.drain(0))
        loop.call_soon_threadsafe(loop.stop)
        thread.join(60)
        loop.close()
