"""What the methods of `accel.v1.Accelerator` do, from messages to messages."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import grpc

from accel_daemon.accelerator import run_stream
from accel_daemon.accelerator.call_context import CallContext
from accel_daemon.accelerator.direct_runs import Cancellable
from accel_daemon.accelerator.emulation import Emulation, emulation_of
from accel_daemon.accelerator.gate import Gate
from accel_daemon.accelerator.graphs import GraphTable
from accel_daemon.accelerator.incoming_files import IncomingFiles, digest_of
from accel_daemon.accelerator.loaded_graph import Loaded, Outcome, resident_bytes
from accel_daemon.accelerator.memory_watch import MemoryWatch
from accel_daemon.accelerator.punctuality import each_in_time
from accel_daemon.accelerator.run_stream import Call, CallReceiver
from accel_daemon.accelerator.run_totals import RunTotals
from accel_daemon.accelerator.store import BundleStore, missing_files, principal_folder
from accel_daemon.accelerator.vigil import Vigil
from accel_daemon.accelerator.visits import Visit
from accel_daemon.engines.engine import Cost, Engine, TensorSpec
from accel_daemon.iam.tickets import Ticket
from accel_daemon.launch_order import LaunchOrder
from accel_daemon.version import VERSION
from accel_protocol import manifest as manifests
from accel_protocol.errors import (
    AcceleratorError,
    BusyError,
    InternalError,
    VersionError,
)
from accel_protocol.frames import Message
from accel_protocol.limits import PROTOCOL_VERSION, Limits
from accel_protocol.upload_frames import Chunk
from accel_protocol.v1 import accelerator_pb2 as pb

_log = logging.getLogger(__name__)
# Of the memory that there is, for all loaded graphs of type `host`; idle ones are evicted above it.
_MEMORY_SHARE = 0.6


@dataclass
class Counters:
    """Counted since the process started; the fields are those of `accel.v1.Counters`."""

    uploaded_bytes: int = 0
    uploaded_files: int = 0
    loads: int = 0
    runs: int = 0
    failed_runs: int = 0
    run_messages_in: int = 0
    run_messages_out: int = 0
    other_calls: int = 0


@dataclass
class Tenant:
    """What one principal has here."""

    store: BundleStore
    graphs: GraphTable


@dataclass
class AcceleratorService:
    """The methods of one accelerator. `gate` has admitted every call before it gets here."""

    order: LaunchOrder
    engine: Engine
    limits: Limits
    gate: Gate
    counters: Counters = field(default_factory=Counters)
    totals: RunTotals = field(default_factory=RunTotals)
    tenants: dict[str, Tenant] = field(default_factory=dict)
    pressure_bytes: int | None = None
    calls_in_progress: int = 0
    started: float = field(default_factory=time.monotonic)
    sandbox: str = "off"
    vigil: Vigil | None = None
    watch: MemoryWatch = field(default_factory=MemoryWatch)
    emulation: Emulation | None = field(init=False)
    _counting: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.emulation = emulation_of(self.order.accelerator_type, self.order.paced)

    @contextmanager
    def in_progress(self, visit: Visit) -> Iterator[None]:
        """Count a call from its first moment on: its request may be long in coming.

        Raises:
            AcceleratorError: see `Visit.identify`.
            BusyError: too many calls are in progress.
        """
        visit.identify()
        if self.calls_in_progress >= self.limits.other_calls:
            raise BusyError("Too many calls are in progress.", fields={"retry_after_ms": "1000"})
        self.counters.other_calls += 1
        self.calls_in_progress += 1
        try:
            yield
        finally:
            self.calls_in_progress -= 1

    async def admitted(self, visit: Visit, graph_id: bytes | None) -> Tenant:
        """The caller's tenant, once it may make this call.

        Raises:
            AcceleratorError: see `Visit.admit`.
        """
        ticket = await visit.admit(graph_id)
        assert ticket is not None
        return self.tenant_of(ticket)

    def tenant_of(self, ticket: Ticket) -> Tenant:
        """The tenant a ticket speaks for; its store is opened at its first call."""
        folder = principal_folder(ticket.account, ticket.principal)
        if folder not in self.tenants:
            store = BundleStore(Path(self.order.store) / folder, self.limits)
            graphs = GraphTable(
                self.engine,
                store,
                self.limits,
                int(self.watch.memory.look().total * _MEMORY_SHARE),
                self.emulation,
                self.vigil,
                self.watch,
            )
            self.tenants[folder] = Tenant(store, graphs)
            graphs.set_pressure(self.pressure_bytes)
        return self.tenants[folder]

    def set_pressure(self, pressure_bytes: int | None) -> None:
        """Leave graphs so much memory at most; None: as much as there is for them otherwise."""
        self.pressure_bytes = pressure_bytes
        for tenant in self.tenants.values():
            tenant.graphs.set_pressure(pressure_bytes)

    async def get_capabilities(
        self, tenant: Tenant, request: pb.GetCapabilitiesRequest
    ) -> pb.GetCapabilitiesResponse:
        """See GetCapabilities in the .proto file."""
        if request.max_version and not (
            request.min_version <= PROTOCOL_VERSION <= request.max_version
        ):
            raise VersionError(
                f"This accelerator speaks version {PROTOCOL_VERSION} of the protocol, "
                f"the client {request.min_version} to {request.max_version}."
            )
        return pb.GetCapabilitiesResponse(
            min_version=PROTOCOL_VERSION,
            max_version=PROTOCOL_VERSION,
            accelerator_id=self.order.accelerator_id,
            accelerator_type=self.order.accelerator_type,
            limits=pb.Limits(**asdict(self.limits)),
            engines=self.engine.version.split(", "),
            sandbox=self.sandbox,
            daemon_version=VERSION,
            allowed_ops=self.order.allowed_ops,
            **_emulated(self.emulation),
        )

    async def find_missing(
        self, tenant: Tenant, request: pb.FindMissingRequest
    ) -> pb.FindMissingResponse:
        """See FindMissing in the .proto file."""
        self.limits.check("bundle_files", len(request.blobs))
        for blob in request.blobs:
            self.limits.check("file_bytes", blob.size)
        sizes = {digest_of(blob): blob.size for blob in request.blobs}
        missing = await asyncio.to_thread(missing_files, tenant.store, sizes)
        return pb.FindMissingResponse(
            missing=[
                pb.MissingBlob(sha256=bytes.fromhex(digest), committed_bytes=committed)
                for digest, committed in missing
            ]
        )

    async def upload(self, tenant: Tenant, requests: AsyncIterator[Chunk]) -> pb.UploadResponse:
        """See Upload in the .proto file."""
        files = IncomingFiles(tenant.store, self.limits)
        in_time = each_in_time(requests, self.limits.idle_call_seconds)
        try:
            await files.receive(in_time, self._count_uploaded)
        finally:
            self.counters.uploaded_files += len(files.stored)
        stored = files.stored
        _log.info("stored %d files (%d bytes)", len(stored), sum(b.size for b in stored))
        return pb.UploadResponse(stored=stored)

    def _count_uploaded(self, size: int) -> None:
        self.counters.uploaded_bytes += size

    async def load(self, tenant: Tenant, request: pb.LoadRequest) -> AsyncIterator[pb.LoadResponse]:
        """See Load in the .proto file."""
        if request.WhichOneof("graph") == "manifest":
            manifest = manifests.parse(request.manifest, self.limits)
        else:
            manifest = tenant.store.manifest(request.graph_id)
        yield pb.LoadResponse(progress=pb.LoadProgress(stage="loading"))
        loaded = await tenant.graphs.load(manifest)
        cost = await loaded.costs.at_least()
        yield pb.LoadResponse(graph=_loaded_message(loaded, cost, tenant.graphs))

    async def unload(self, tenant: Tenant, request: pb.UnloadRequest) -> pb.UnloadResponse:
        """See Unload in the .proto file."""
        tenant.graphs.unload(request.graph_id)
        return pb.UnloadResponse()

    async def list(self, tenant: Tenant, request: pb.ListRequest) -> pb.ListResponse:
        """See List in the .proto file."""
        return pb.ListResponse(
            graphs=[_status_message(one, tenant.graphs) for one in tenant.graphs.loaded],
            counters=pb.Counters(**asdict(self.current_counters())),
            process=pb.ProcessStatus(
                memory_bytes=resident_bytes(),
                uptime_us=int((time.monotonic() - self.started) * 1e6),
                streams=len(self.gate.streams),
            ),
        )

    def current_counters(self) -> Counters:
        """The counters, with the loads that the graph tables count."""
        self.counters.loads = sum(tenant.graphs.loads for tenant in self.tenants.values())
        return self.counters

    async def run(self, ticket: Ticket, context: CallContext, visit: Visit) -> None:
        """See Run in the .proto file."""
        tenant = self.tenant_of(ticket)
        receiver = CallReceiver(self.limits)
        seen: set[bytes] = set()
        with self.gate.streams.entered(ticket):
            while (message := await self._next(receiver, context)) is not grpc.aio.EOF:
                self.count_messages((1, len(message)), (0, 0))
                call = receiver.receive(message)
                if call is not None:
                    self.log_first_use(tenant, call.graph_id, seen, visit)
                    with self.gate.streams.busy():
                        for answer in await self.answer(tenant, call, visit):
                            joined = b"".join(answer)
                            self.count_messages((0, 0), (1, len(joined)))
                            await context.write(joined)

    async def _next(self, receiver: CallReceiver, context: CallContext) -> Any:
        """The next message; the rest of a call that has begun has to come in time."""
        return await (context.next_in_time() if receiver.is_midway else context.read())

    def count_messages(self, came: tuple[int, int], left: tuple[int, int]) -> None:
        """Messages of a Run stream and their bytes, that came and that left; on any thread."""
        with self._counting:
            self.counters.run_messages_in += came[0]
            self.totals.bytes_in += came[1]
            self.counters.run_messages_out += left[0]
            self.totals.bytes_out += left[1]

    async def answer(self, tenant: Tenant, call: Call, visit: Visit) -> Iterable[Message]:
        """The messages that answer a call, whatever becomes of it."""
        try:
            visit.check_run(call.graph_id)
            was_loaded = tenant.graphs.is_loaded(call.graph_id)
            return self._result(call, await tenant.graphs.run(call), was_loaded)
        except Exception as failure:
            return self._refusal(call, failure, visit)

    def answer_directly(
        self,
        tenant: Tenant,
        call: Call,
        visit: Visit,
        loop: asyncio.AbstractEventLoop,
        cancellable: Cancellable,
    ) -> Iterable[Message] | None:
        """`answer` for the thread that received the call; None where that is not possible.

        For `loop`, the one this service lives on, and `cancellable` see DirectRuns.
        """
        if self.emulation is not None or not visit.may_run_again(call.graph_id):
            return None
        try:
            outcome = tenant.graphs.direct.run(call, loop, cancellable)
            return None if outcome is None else self._result(call, outcome, was_loaded=True)
        except Exception as failure:
            return self._refusal(call, failure, visit)

    def _result(self, call: Call, outcome: Outcome, was_loaded: bool) -> Iterable[Message]:
        with self._counting:
            self.counters.runs += 1
            self.totals.count(outcome.timing.queue, outcome.timing.compute, was_loaded)
        return run_stream.answer_parts(
            call, outcome.fetches, outcome.timing, outcome.repeatable, self.limits
        )

    def _refusal(self, call: Call, failure: Exception, visit: Visit) -> Iterable[Message]:
        call_request_id = f"{visit.request_id}-{call.call_id}"
        error = self._typed(failure, call_request_id)
        with self._counting:
            self.counters.failed_runs += error.reason != "MODEL_MISSING"
            self.totals.refuse(error.reason)
        error.request_id = call_request_id
        _log.info("refused %s: %s", call_request_id, error.reason)
        return [[run_stream.refusal(call.call_id, error)]]

    def log_first_use(
        self, tenant: Tenant, graph_id: bytes, seen: set[bytes], visit: Visit
    ) -> None:
        """Say once a stream whether its graph was here: uploads can be told from the log."""
        if graph_id in seen:
            return
        seen.add(graph_id)
        here = tenant.graphs.is_here(graph_id)
        what = "already here, 0 bytes uploaded" if here else "missing, the client has to upload it"
        _log.info("stream %s: graph %s is %s", visit.request_id, graph_id.hex()[:12], what)

    def _typed(self, failure: Exception, request_id: str) -> AcceleratorError:
        if isinstance(failure, AcceleratorError):
            return failure
        _log.error("request %s failed", request_id, exc_info=failure)
        return InternalError("The accelerator failed on this call.")


def _spec_message(spec: TensorSpec) -> pb.TensorSpec:
    return pb.TensorSpec(
        name=spec.name,
        tensor=spec.tensor,
        dtype=spec.dtype,  # type: ignore[arg-type]
        shape=spec.shape or (),
        unknown_rank=spec.shape is None,
    )


def _status_message(loaded: Loaded, graphs: GraphTable) -> pb.GraphStatus:
    return pb.GraphStatus(
        graph_id=loaded.graph_id,
        memory_bytes=graphs.memory_of(loaded.graph_id),
        engine=loaded.graph.executed_by,
        runs=loaded.runs,
        failed_runs=loaded.failed_runs,
        queue_us=int(loaded.queue_time * 1e6),
        compute_us=int(loaded.compute_time * 1e6),
    )


def _emulated(emulation: Emulation | None) -> dict[str, Any]:
    """The fields of GetCapabilitiesResponse that only emulated types have."""
    if emulation is None:
        return {}
    return {
        "emulated_memory_bytes": emulation.published.memory_bytes,
        "tera_flops_16": emulation.published.tera_flops_16,
        "tera_flops_32": emulation.published.tera_flops_32,
        "paced": emulation.paced,
    }


def _loaded_message(loaded: Loaded, cost: Cost | None, graphs: GraphTable) -> pb.LoadedGraph:
    graph = loaded.graph
    return pb.LoadedGraph(
        graph_id=loaded.graph_id,
        feeds=[_spec_message(spec) for spec in graph.feeds.values()],
        fetches=[_spec_message(spec) for spec in graph.fetches.values()],
        memory_bytes=graphs.memory_of(loaded.graph_id),
        load_us=int(loaded.load_time * 1e6),
        engine=graph.executed_by,
        repeatable=graph.repeatable,
        operations=run_stream.operations_message(cost),
    )
