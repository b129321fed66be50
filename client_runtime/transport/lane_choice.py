"""Which lane a call takes: the fastest that there is, that can be had and that the user allows.

gRPC is what always works.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

import grpc

from accel_protocol.elapsed import elapsed_seconds
from accel_protocol.errors import ConfigurationError, ConnectionLostError
from accel_protocol.lanes import KINDS
from client_runtime.discovery.endpoints import Endpoint
from client_runtime.transport.grants import Grant
from client_runtime.transport.lane import GrpcLane, Lane
from client_runtime.transport.socket_lane import (
    OPEN_SECONDS,
    NoLaneError,
    open_local_lane,
    open_tls_lane,
)

VARIABLE = "ACCEL_LANES"
# A lane that could not be had is not asked for again so soon.
_AGAIN_SECONDS = 10.0
_log = logging.getLogger(__name__)


def allowed_lanes(value: str | None) -> tuple[str, ...]:
    """The kinds of lanes that the environment variable ACCEL_LANES allows; all when it is not set.

    Raises:
        ConfigurationError: it names what is none, or nothing.
    """
    if value is None:
        return KINDS
    names = [name.strip() for name in value.split(",") if name.strip()]
    if not names or not set(names) <= set(KINDS):
        raise ConfigurationError(
            f"{VARIABLE} is {value[:40]!r}.",
            remedy=f"Name one or more of {', '.join(KINDS)}, or leave it out.",
        )
    return tuple(name for name in KINDS if name in names)


class LaneChoice:
    """Opens lanes to the accelerators of one endpoint. Thread-safe.

    Args:
        endpoint: whose authority is trusted.
        kinds: those that are allowed; by default those of the environment.

    Raises:
        ConfigurationError: see `allowed_lanes`.
    """

    def __init__(self, endpoint: Endpoint, kinds: tuple[str, ...] | None = None) -> None:
        self._endpoint = endpoint
        self._kinds = allowed_lanes(os.environ.get(VARIABLE)) if kinds is None else kinds
        self._not_before = 0.0

    def open(
        self, channel: grpc.Channel, grant: Grant, left: Callable[[], float | None] = lambda: None
    ) -> Lane:
        """A new lane, which may still turn out not to be had: see `could_not_be_had`.

        Args:
            channel: for gRPC.
            grant: whose ticket is shown on it.
            left: tells how many seconds the call still has for which it is opened.

        Raises:
            AcceleratorError: the accelerator refused it, or the network failed.
            DeadlineError: as `left` raises it.
            ConnectionLostError: no lane that is allowed can be had.
        """
        if elapsed_seconds() >= self._not_before:
            for kind, offered in (("local", grant.local_lane), ("tls", grant.lane_address)):
                if offered and kind in self._kinds and (lane := self._try(kind, grant, left())):
                    return lane
            self._wait_a_while()
        if "grpc" not in self._kinds:
            raise ConnectionLostError(
                "None of the allowed lanes can be had.", remedy=f"Let {VARIABLE} allow more."
            )
        return GrpcLane(channel, grant)

    def could_not_be_had(self, lane: Lane, error: NoLaneError) -> None:
        """A lane failed before it was open; the next one is of the kind that always works."""
        _log.info("no lane to %s: %s", lane.grant.accelerator_id, error)
        self._wait_a_while()

    def _wait_a_while(self) -> None:
        self._not_before = elapsed_seconds() + _AGAIN_SECONDS

    def _try(self, kind: str, grant: Grant, left: float | None) -> Lane | None:
        seconds = OPEN_SECONDS if left is None else min(left, OPEN_SECONDS)
        try:
            if kind == "local":
                return open_local_lane(grant, seconds)
            return open_tls_lane(self._endpoint, grant, seconds)
        except NoLaneError as error:
            _log.info("no lane of kind %s to %s: %s", kind, grant.accelerator_id, error)
        return None
