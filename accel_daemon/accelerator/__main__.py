"""The accelerator's process: told everything on standard input, reports on standard output."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import signal
import sys
from dataclasses import asdict
from typing import BinaryIO

from accel_daemon.accelerator.gate import Gate
from accel_daemon.accelerator.server import AcceleratorServer
from accel_daemon.accelerator.service import AcceleratorService
from accel_daemon.engines.engine import open_engine
from accel_daemon.iam.tickets import TicketVerifier
from accel_daemon.launch_order import LaunchOrder, Notice, Report
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
    engine = await asyncio.to_thread(open_engine, order.engine, limits, order.allowed_ops)
    for op, reason in sorted(order.allowed_ops.items()):
        _log.warning("the operator allows models to use the op %s: %s", op, reason)
    verifier = TicketVerifier(order.ticket_public_key_pem, order.accelerator_id)
    service = AcceleratorService(order, engine, limits, Gate(verifier, order.tenancy, limits))
    server = AcceleratorServer(order, service, limits)
    await server.start()
    _report(reports, Report("ready", port=server.port))
    _log.info("ready on port %d with %s", server.port, engine.version)
    status = asyncio.create_task(_report_status(service, reports))
    await _until_told_to_stop(service)
    await server.drain(_DRAIN_SECONDS)
    status.cancel()
    return 0


async def _report_status(service: AcceleratorService, reports: BinaryIO) -> None:
    """Tell the supervisor the counters whenever they changed."""
    last: dict[str, int] = {}
    while True:
        tenants = service.tenants.values()
        counters = {
            **asdict(service.current_counters()),
            "graphs": sum(len(tenant.graphs.loaded) for tenant in tenants),
            "memory_bytes": sum(tenant.graphs.memory_bytes for tenant in tenants),
            "streams": len(service.gate.streams),
            "calls": service.calls_in_progress,
        }
        if counters != last:
            _report(reports, Report("status", counters=counters))
            last = counters
        await asyncio.sleep(_STATUS_SECONDS)


async def _until_told_to_stop(service: AcceleratorService) -> None:
    """Follow the supervisor's notices until it orders to drain, goes away, or SIGTERM comes."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)
    notices = asyncio.create_task(_follow_notices(reader, service, stop))
    await stop.wait()
    notices.cancel()


async def _follow_notices(
    reader: asyncio.StreamReader, service: AcceleratorService, stop: asyncio.Event
) -> None:
    while line := await reader.readline():
        notice = Notice.from_line(line)
        if notice.kind == "revoke":
            service.gate.revoke((*notice.access_key_ids, *notice.principals))
        else:
            break
    stop.set()


if __name__ == "__main__":
    sys.exit(main())
