"""The accelerator's process: told everything on standard input, reports on standard output.

It confines itself first. Until then nothing is imported that starts a thread, which gRPC, NumPy and
the engines do: a sandbox holds for the thread that entered it and for those started afterwards.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
import sys
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from accel_daemon.accelerator.lanes.listening import Listeners, open_listeners
from accel_daemon.launch_order import LaunchOrder, Report
from accel_daemon.sandbox.enter import end_with_parent, enter
from accel_daemon.sandbox.facts import find_facts
from accel_daemon.sandbox.levels import Level, SandboxReport
from accel_daemon.sandbox.plan import Wanted, make_plan
from accel_protocol.errors import AcceleratorError, ConfigurationError
from accel_protocol.limits import Limits

_log = logging.getLogger(__name__)


def main() -> int:
    """Run one accelerator until its supervisor says, or is, gone. Returns the exit status."""
    end_with_parent()
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
        order = _with_address(order)
        listeners = _listen_for_lanes(order)
        sandbox = confine(order, reports, listeners)
        return _serve(order, sandbox, reports, listeners)
    except AcceleratorError as error:
        _log.error("%s", error)
        reports.write(Report("failed", message=str(error)).to_line())
        return 1


def _listen_for_lanes(order: LaunchOrder) -> Listeners | None:
    """The sockets where lanes will be accepted: the sandbox allows none to be made for them.

    None where there are to be none, or where they cannot be had: clients then use gRPC.
    """
    if order.lane_port is None or sys.platform != "linux":
        return None
    try:
        return open_listeners(order.host, order.lane_port)
    except OSError as error:
        where = f"{order.host}:{order.lane_port}"
        _log.warning("no lanes: %s cannot be listened on: %s", where, error.strerror)
    return None


def confine(
    order: LaunchOrder, reports: BinaryIO, listeners: Listeners | None = None
) -> SandboxReport:
    """Enter the sandbox that the order asks for.

    Raises:
        ConfigurationError: it cannot be had.
    """
    store = Path(order.store).absolute()
    wanted = Wanted(
        level=Level(order.sandbox),
        accelerator_id=order.accelerator_id,
        store=str(store),
        scratch=order.scratch or str(store.parent / "scratch"),
        host=order.host,
        port=order.port,
        file_bytes=Limits(**order.limits).file_bytes,
    )
    try:
        return enter(
            make_plan(wanted, find_facts(order.memory_bytes)),
            kept_descriptors=(reports.fileno(), *(listeners.filenos() if listeners else ())),
        )
    except OSError as error:
        raise ConfigurationError(
            f"The sandbox cannot be entered: {error.strerror or error}.",
            remedy="See docs/sandbox.md; --sandbox=off shows whether the sandbox is to blame.",
        ) from error


def _serve(
    order: LaunchOrder,
    sandbox: SandboxReport,
    reports: BinaryIO,
    listeners: Listeners | None,
) -> int:
    import asyncio

    from accel_daemon.accelerator.serving import serve

    return asyncio.run(serve(order, sandbox, reports, listeners))


def _take_standard_output() -> BinaryIO:
    """Keep standard output for reports; whatever else prints, prints to standard error."""
    reports = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    return reports


def _with_address(order: LaunchOrder) -> LaunchOrder:
    """The order with an address to listen on, since names are not looked up in the sandbox."""
    try:
        ipaddress.ip_address(order.host)
    except ValueError:
        if order.host and order.host != "localhost":
            return replace(order, host=_address_of(order.host))
    return order


def _address_of(host: str) -> str:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return host  # The server then says that it cannot listen there.
    return str(found[0][4][0])


if __name__ == "__main__":
    sys.exit(main())
