"""Serves one accelerator until it is told to stop: engine, gate, server and the supervisor's pipes.

Imported by `__main__` once the sandbox is in force, because gRPC and the engine start threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import BinaryIO, cast

from accel_daemon.accelerator.disturbances import Disturbances
from accel_daemon.accelerator.emulation import emulation_of
from accel_daemon.accelerator.gate import Gate
from accel_daemon.accelerator.lanes.listening import Listeners
from accel_daemon.accelerator.memory_watch import MemoryWatch
from accel_daemon.accelerator.server import AcceleratorServer
from accel_daemon.accelerator.service import AcceleratorService
from accel_daemon.accelerator.vigil import Vigil, slots
from accel_daemon.audit_throttle import AuditThrottle
from accel_daemon.clock import Clock
from accel_daemon.engines.engine import Engine, compiling, open_engine
from accel_daemon.flight_record import FILE_NAME, FlightRecorder
from accel_daemon.iam.tickets import TicketVerifier
from accel_daemon.launch_order import (
    MAX_ORDER_BYTES,
    OUT_OF_MEMORY,
    AuditedDecision,
    LaunchOrder,
    Notice,
    Report,
    left_out,
)
from accel_daemon.machine_memory import MachineMemory
from accel_daemon.sandbox.enter import seal
from accel_daemon.sandbox.levels import SandboxReport
from accel_protocol.errors import ConfigurationError
from accel_protocol.limits import Limits

_log = logging.getLogger(__name__)
_DRAIN_SECONDS = 10.0
_STATUS_SECONDS = 0.5


async def serve(
    order: LaunchOrder,
    sandbox: SandboxReport,
    reports: BinaryIO,
    listeners: Listeners | None = None,
) -> int:
    """Serve; gives the exit status.

    Args:
        order: what to serve, and where.
        sandbox: what confines this process.
        reports: where the supervisor reads.
        listeners: where lanes are accepted; None for no lanes.

    Raises:
        ConfigurationError: there is no such engine, the port cannot be had, or the disk is full.
    """
    limits = Limits(**order.limits)
    leave_keras_out()
    vigil = open_vigil(order, limits)
    memory = MachineMemory(order.memory_bytes)
    engine = await asyncio.to_thread(open_ordered_engine, order, limits, vigil, memory)
    # What is there by now stays. Looking for garbage in it would take half a second each time.
    gc.freeze()
    for op, reason in sorted(order.allowed_ops.items()):
        _log.warning("the operator allows models to use the op %s: %s", op, reason)
    verifier = TicketVerifier(order.ticket_public_key_pem, order.accelerator_id)
    gate = Gate(verifier, order.tenancy, limits, Clock.start(order.clock_anchor).steady)
    watch = MemoryWatch(memory, partial(end_for_memory, reports))
    service = AcceleratorService(
        order, engine, limits, gate, sandbox=sandbox.to_text(), vigil=vigil, watch=watch
    )
    audit = _audit_throttle(reports)
    server = AcceleratorServer(order, service, limits, audit.submit, listeners)
    await server.start()
    seal(sandbox)
    _report(
        reports,
        Report(
            "ready",
            port=server.port,
            lane_port=server.lane_port,
            local_lane=server.local_lane,
            sandbox=sandbox.to_text(),
        ),
    )
    _log.info("ready on port %d with %s", server.port, engine.version)
    status = asyncio.create_task(
        _report_status(service, server.disturbances, reports, audit, vigil.recorder)
    )
    await _serve_until_told(service, server)
    status.cancel()
    return 0


def open_ordered_engine(
    order: LaunchOrder, limits: Limits, vigil: Vigil, memory: MachineMemory
) -> Engine:
    """The engine, with what makes it faster behind it where that is wanted.

    On an emulated type everything takes what TensorFlow takes, so nothing is there.

    Raises:
        ConfigurationError: see `open_engine`.
    """
    engine = open_engine(order.engine, limits, order.allowed_ops)
    if emulation_of(order.accelerator_type) is not None:
        return engine
    uncompiled = frozenset(bytes.fromhex(one) for one in order.uncompiled)
    return compiling(
        engine,
        lambda graph_id: vigil.compilation(graph_id).at_work(),
        uncompiled,
        compiles=order.compiled,
        batches=order.batched,
        precision=order.precision,
        room=lambda: memory.look().room,
    )


def leave_keras_out() -> None:
    """Keep TensorFlow from importing Keras, and with it whatever that finds installed.

    TensorFlow does so to the end of its own import, and works without. Graphs need no Keras, and it
    takes a third of the time until an accelerator is ready, and 80 MB.
    """
    for name in ("keras", "tf_keras"):
        sys.modules.setdefault(name, cast(ModuleType, None))  # as the import statement documents it


def open_vigil(order: LaunchOrder, limits: Limits) -> Vigil:
    """What the supervisor watches, in the scratch folder where there is one.

    Raises:
        ConfigurationError: the folder takes no file, for instance because the disk is full.
    """
    path = Path(order.scratch) / FILE_NAME if order.scratch else None
    try:
        recorder = FlightRecorder(path, slots(limits))
    except OSError as error:
        raise ConfigurationError(
            f"The accelerator's scratch folder cannot be written: {error.strerror}.",
            remedy="Free space on the disk of the daemon's home.",
        ) from None
    return Vigil(
        recorder,
        order.load_seconds,
        order.run_seconds,
        order.quarantined,
    )


def end_for_memory(reports: BinaryIO) -> None:
    """End this process at once, before the kernel does; the supervisor starts another one."""
    why = "memory ran out, and what took it could not be stopped"
    _log.error("%s: this process ends itself", why)
    _report(reports, Report("failed", message=why))
    os._exit(OUT_OF_MEMORY)


def _report(reports: BinaryIO, report: Report) -> None:
    reports.write(report.to_line())


def _audit_throttle(reports: BinaryIO) -> AuditThrottle[AuditedDecision]:
    """Decisions go to the supervisor as they are made, but never so many as to fill the pipe."""
    return AuditThrottle(
        write=lambda decision: _report(reports, Report("audit", decision=decision)),
        summarise=left_out,
    )


async def _report_status(
    service: AcceleratorService,
    disturbances: Disturbances | None,
    reports: BinaryIO,
    audit: AuditThrottle[AuditedDecision],
    recorder: FlightRecorder,
) -> None:
    """Tell the supervisor the counters whenever they changed, and at once which faults hold."""
    last: dict[str, int] = {}
    while True:
        recorder.beat()
        audit.flush()
        tenants = service.tenants.values()
        counters = {
            **asdict(service.current_counters()),
            **service.totals.counters(),
            "graphs": sum(len(tenant.graphs.loaded) for tenant in tenants),
            "memory_bytes": sum(tenant.graphs.memory_bytes for tenant in tenants),
            "streams": len(service.gate.streams),
            "calls": service.calls_in_progress,
            **(disturbances.counters() if disturbances is not None else {}),
        }
        if counters != last:
            _report(reports, Report("status", counters=counters))
            last = counters
        await _pause(disturbances)


async def _pause(disturbances: Disturbances | None) -> None:
    if disturbances is None:
        await asyncio.sleep(_STATUS_SECONDS)
        return
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(disturbances.changed.wait(), _STATUS_SECONDS)
    disturbances.changed.clear()


async def _serve_until_told(service: AcceleratorService, server: AcceleratorServer) -> None:
    """Serve until the supervisor orders to drain, goes away, or SIGTERM comes; and drain."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    reader = asyncio.StreamReader(limit=MAX_ORDER_BYTES)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)
    await follow_until_drained(reader, service, server, stop)


async def follow_until_drained(
    reader: asyncio.StreamReader,
    service: AcceleratorService,
    server: AcceleratorServer,
    stop: asyncio.Event,
    seconds: float = _DRAIN_SECONDS,
) -> None:
    """Follow the supervisor's notices until `stop` or the order to drain, and while it drains."""
    notices = asyncio.create_task(_follow_notices(reader, service, server, stop))
    await stop.wait()
    await server.drain(seconds)
    notices.cancel()


async def _follow_notices(
    reader: asyncio.StreamReader,
    service: AcceleratorService,
    server: AcceleratorServer,
    stop: asyncio.Event,
) -> None:
    try:
        await _follow_each(reader, service, server, stop)
    finally:  # Without notices, revocations would be missed: whatever happened, it is over.
        stop.set()


async def _follow_each(
    reader: asyncio.StreamReader,
    service: AcceleratorService,
    server: AcceleratorServer,
    stop: asyncio.Event,
) -> None:
    while line := await reader.readline():
        notice = Notice.from_line(line)
        if notice.kind == "revoke":
            service.gate.revoke((*notice.access_key_ids, *notice.principals))
        elif notice.kind == "policies" and notice.holder is not None:
            await service.gate.take_policies(notice.holder)
        elif notice.kind == "faults":
            await server.disturb(notice)
        elif notice.kind == "certificate":
            server.show(notice.certificate_pem, notice.private_key_pem)
            _log.info("new connections are shown another certificate")
        else:
            stop.set()  # and go on: what is revoked meanwhile ends calls that still run
