"""Serves one accelerator until it is told to stop: engine, gate, server and the supervisor's pipes.

Imported by `__main__` once the sandbox is in force, because gRPC and the engine start threads.
"""

from __future__ import annotations

import asyncio
import logging
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
from accel_daemon.sandbox.enter import seal
from accel_daemon.sandbox.levels import SandboxReport
from accel_protocol.limits import Limits

_log = logging.getLogger(__name__)
_DRAIN_SECONDS = 10.0
_STATUS_SECONDS = 0.5


async def serve(order: LaunchOrder, sandbox: SandboxReport, reports: BinaryIO) -> int:
    """Serve; gives the exit status.

    Args:
        order: what to serve, and where.
        sandbox: what confines this process.
        reports: where the supervisor reads.

    Raises:
        ConfigurationError: there is no such engine, or the port cannot be had.
    """
    limits = Limits(**order.limits)
    engine = await asyncio.to_thread(open_engine, order.engine)
    verifier = TicketVerifier(order.ticket_public_key_pem, order.accelerator_id)
    gate = Gate(verifier, order.tenancy, limits)
    service = AcceleratorService(order, engine, limits, gate, sandbox=sandbox.to_text())
    server = AcceleratorServer(order, service, limits)
    await server.start()
    seal(sandbox)
    _report(reports, Report("ready", port=server.port, sandbox=sandbox.to_text()))
    _log.info("ready on port %d with %s", server.port, engine.version)
    status = asyncio.create_task(_report_status(service, reports))
    await _until_told_to_stop(service)
    await server.drain(_DRAIN_SECONDS)
    status.cancel()
    return 0


def _report(reports: BinaryIO, report: Report) -> None:
    reports.write(report.to_line())


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
