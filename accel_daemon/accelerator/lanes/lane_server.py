"""All lanes of one accelerator, over TLS and on this host, behind one door."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from accel_daemon.accelerator.lanes.hang_ups import HangUps
from accel_daemon.accelerator.lanes.lane import House
from accel_daemon.accelerator.lanes.listener import LaneListener
from accel_daemon.accelerator.lanes.listening import Listeners
from accel_daemon.accelerator.lanes.local_handshake import LocalHandshake
from accel_daemon.accelerator.lanes.tls_handshake import TlsHandshake
from accel_daemon.accelerator.service import AcceleratorService
from accel_daemon.accelerator.visits import Doorkeeper
from accel_daemon.launch_order import LaunchOrder
from accel_protocol.errors import AcceleratorError

_ENDING_SECONDS, _LOOK_SECONDS = 1.0, 0.005


class LaneServer:
    """See the module. Made on the event loop that the service lives on.

    Args:
        listeners: where lanes are accepted.
        order: says which certificate to show.
        service: answers.
        door: admits.
        closed_for: why no lane may open at present; None where they may.

    Raises:
        ConfigurationError: the certificate cannot be used.
    """

    def __init__(
        self,
        listeners: Listeners,
        order: LaunchOrder,
        service: AcceleratorService,
        door: Doorkeeper,
        closed_for: Callable[[], AcceleratorError | None],
    ) -> None:
        self.port, self.local_name = listeners.port, listeners.local_name
        house = House(service, door, asyncio.get_running_loop(), HangUps(), closed_for)
        self._tls = TlsHandshake(order.certificate_pem, order.private_key_pem)
        self._listeners = (
            LaneListener(listeners.tls, house, self._tls),
            LaneListener(listeners.local, house, LocalHandshake(listeners.uid)),
        )

    def start(self) -> None:
        """Accept lanes from now on."""
        for one in self._listeners:
            one.start()

    def stop(self) -> None:
        """Accept none any more; those that are open go on."""
        for one in self._listeners:
            one.stop()

    async def end_all(self, error: AcceleratorError) -> None:
        """End those that are open, which their clients know then; calls that are on them finish."""
        for one in self._listeners:
            one.end_all(error)
        end = time.monotonic() + _ENDING_SECONDS
        while any(one.waiting for one in self._listeners) and time.monotonic() < end:
            await asyncio.sleep(_LOOK_SECONDS)

    def show(self, certificate_pem: str, private_key_pem: str) -> None:
        """Show this certificate to new connections from now on."""
        self._tls.show(certificate_pem, private_key_pem)
