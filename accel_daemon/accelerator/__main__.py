"""The accelerator's process: told everything on standard input, reports on standard output."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import sys
from dataclasses import asdict
from types import ModuleType
from typing import BinaryIO, cast

from accel_daemon.accelerator.disturbances import Disturbances
from accel_daemon.accelerator.gate import Gate
from accel_daemon.accelerator.server import AcceleratorServer
from accel_daemon.accelerator.service import AcceleratorService
from accel_daemon.audit_throttle import AuditThrottle
from accel_daemon.engines.engine import open_engine
from accel_daemon.iam.tickets import TicketVerifier
from accel_daemon.launch_order import (
    MAX_ORDER_BYTES,
    AuditedDecision,
    LaunchOrder,
    Notice,
    Report,
    left_out,
)
from accel_protocol.errors import AcceleratorError
from accel_protocol.limits import Limits

_log = logging.getLogger(__name__)
_DRAIN_SECONDS = 10.0
_STATUS_SECONDS = 0.5
_PR_SET_PDEATHSIG = 1


def main() -> int:
    """Run one accelerator until its supervisor says, or is, gone. Returns the exit status."""
    _end_with_parent()
    reports = _take_standard_output()
    # Unbuffered, because what follows the order is read from the descriptor itself.
    with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as orders:
        order = LaunchOrder.from_line(orders.readline())
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format=f"%(asctime)s {order.accelerator_id[:12]} %(levelname)s %(message)s",
    )
    try:
        return asyncio.run(_serve(order, reports))
    except AcceleratorError as error:
        _log.error("%s", error)
        _report(reports, Report("failed", message=str(error)))
        return 1


def leave_keras_out() -> None:
    """Keep TensorFlow from importing Keras, and with it whatever that finds installed.

    TensorFlow does so to the end of its own import, and works without. Graphs need no Keras, and it
    takes a third of the time until an accelerator is ready, and 80 MB.
    """
    for name in ("keras", "tf_keras"):
        sys.modules.setdefault(name, cast(ModuleType, None))  # as the import statement documents it


def _end_with_parent() -> None:
    """Ask the kernel for SIGTERM when the supervisor dies, however it dies (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _take_standard_output() -> BinaryIO:
    """Keep standard output for reports; whatever else prints, prints to standard error."""
    reports = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    return reports


def _report(reports: BinaryIO, report: Report) -> None:
    reports.write(report.to_line())


async def _serve(order: LaunchOrder, reports: BinaryIO) -> int:
    limits = Limits(**order.limits)
    leave_keras_out()
    engine = await asyncio.to_thread(open_engine, order.engine, limits, order.allowed_ops)
    for op, reason in sorted(order.allowed_ops.items()):
        _log.warning("the operator allows models to use the op %s: %s", op, reason)
    verifier = TicketVerifier(order.ticket_public_key_pem, order.accelerator_id)
    service = AcceleratorService(order, engine, limits, Gate(verifier, order.tenancy, limits))
    audit = _audit_throttle(reports)
    server = AcceleratorServer(order, service, limits, audit.submit)
    await server.start()
    _report(reports, Report("ready", port=server.port))
    _log.info("ready on port %d with %s", server.port, engine.version)
    status = asyncio.create_task(_report_status(service, server.disturbances, reports, audit))
    await _until_told_to_stop(service, server)
    await server.drain(_DRAIN_SECONDS)
    status.cancel()
    return 0


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
) -> None:
    """Tell the supervisor the counters whenever they changed, and at once which faults hold."""
    last: dict[str, int] = {}
    while True:
        audit.flush()
        tenants = service.tenants.values()
        counters = {
            **asdict(service.current_counters()),
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


async def _until_told_to_stop(service: AcceleratorService, server: AcceleratorServer) -> None:
    """Follow the supervisor's notices until it orders to drain, goes away, or SIGTERM comes."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    reader = asyncio.StreamReader(limit=MAX_ORDER_BYTES)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)
    notices = asyncio.create_task(_follow_notices(reader, service, server, stop))
    await stop.wait()
    notices.cancel()


async def _follow_notices(
    reader: asyncio.StreamReader,
    service: AcceleratorService,
    server: AcceleratorServer,
    stop: asyncio.Event,
) -> None:
    try:
        await _follow_each(reader, service, server)
    finally:  # Without notices, revocations would be missed: whatever happened, it is over.
        stop.set()


async def _follow_each(
    reader: asyncio.StreamReader, service: AcceleratorService, server: AcceleratorServer
) -> None:
    while line := await reader.readline():
        notice = Notice.from_line(line)
        if notice.kind == "revoke":
            service.gate.revoke((*notice.access_key_ids, *notice.principals))
        elif notice.kind == "policies" and notice.holder is not None:
            await service.gate.take_policies(notice.holder)
        elif notice.kind == "faults":
            await server.disturb(notice)
        else:
            break


if __name__ == "__main__":
    sys.exit(main())
