"""The accelerators that the server uses: attached to once, shared by all models."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from accel_protocol.errors import (
    AcceleratorError,
    AccessDeniedError,
    BusyError,
    ConnectionLostError,
)
from client_runtime.discovery import visible_devices
from client_runtime.discovery.credentials import KeySource
from client_runtime.discovery.endpoints import discover
from client_runtime.discovery.listing import list_accelerators
from client_runtime.serving.inference import placement
from client_runtime.transport.attachment import Attachment

_log = logging.getLogger(__name__)
_UNLOAD_SECONDS = 10.0
ANY = ""  # whichever the endpoint gives, where it does not list them


@dataclass(frozen=True)
class Seat:
    """A model's place on one accelerator: its id, as it was listed, and the connection to it."""

    accelerator: str
    attachment: Attachment


class Fleet:
    """Accelerators, what is placed on them, and which graphs are held there. Thread-safe.

    Args:
        listed: tells the ids of those that are visible, at least one.
        attach: makes the connection to one of them, which need not be open yet.
    """

    def __init__(
        self, listed: Callable[[], list[str]], attach: Callable[[str], Attachment]
    ) -> None:
        self._listed, self._attach = listed, attach
        self._lock = threading.Lock()
        self._attachments: dict[str, Attachment] = {}
        self._bytes: Counter[str] = Counter()
        self._holds: Counter[tuple[str, bytes]] = Counter()

    def place(self, size: int, replicas: int) -> list[Seat]:
        """Places for a model, on the least loaded accelerators that answer.

        Args:
            size: bytes of the model.
            replicas: on how many, where there are so many; see `placement.wanted`.

        Raises:
            AcceleratorError: there is none, or none answers.
        """
        visible = self._listed()
        seats: list[Seat] = []
        tried: set[str] = set()
        while len(seats) < placement.wanted(replicas, len(visible)):
            left = [one for one in visible if one not in tried]
            if not left:
                break
            seat = self._reserve(left, size)
            tried.add(seat.accelerator)
            if _answers(seat.attachment):
                seats.append(seat)
            else:
                self.leave(seat, size)
        return seats or [self._wait_for_one(visible, size)]

    def _reserve(self, ids: list[str], size: int) -> Seat:
        with self._lock:
            chosen = placement.candidates(ids, self._bytes)[0]
            self._bytes[chosen] += size
            if chosen not in self._attachments:
                self._attachments[chosen] = self._attach(chosen)
            return Seat(chosen, self._attachments[chosen])

    def _wait_for_one(self, visible: list[str], size: int) -> Seat:
        """All are busy or restarting: be patient with one of them."""
        seat = self._reserve(visible, size)
        try:
            seat.attachment.capabilities()
        except BaseException:
            self.leave(seat, size)
            raise
        return seat

    def leave(self, seat: Seat, size: int) -> None:
        """A model is no longer there."""
        with self._lock:
            self._bytes[seat.accelerator] -= size

    def hold(self, seat: Seat, graph_id: bytes) -> None:
        """A graph is used there, once more: versions with equal files share it."""
        with self._lock:
            self._holds[seat.accelerator, graph_id] += 1

    def release(self, seat: Seat, graph_id: bytes) -> None:
        """It is used once less; unused, it is unloaded, if the accelerator can be reached."""
        if not self.forget(seat, graph_id):
            return
        try:
            seat.attachment.unload(graph_id, _UNLOAD_SECONDS)
        except AcceleratorError as error:
            _log.warning("graph %s was not unloaded: %s", graph_id.hex()[:12], error.message)

    def forget(self, seat: Seat, graph_id: bytes) -> bool:
        """It is used once less, and was perhaps never loaded; whether nobody uses it any more."""
        key = seat.accelerator, graph_id
        with self._lock:
            self._holds[key] -= 1
            if self._holds[key]:
                return False
            del self._holds[key]
            return True

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            attachments, self._attachments = self._attachments, {}
        for attachment in attachments.values():
            attachment.close()


def _answers(attachment: Attachment) -> bool:
    """Whether it can be attached to at once."""
    try:
        return bool(attachment.accelerator_id)
    except (BusyError, ConnectionLostError) as error:
        _log.info("an accelerator cannot be attached to at present: %s", error.message)
        return False


def discovered() -> Fleet:
    """The accelerators that discovery finds and EI_VISIBLE_DEVICES lets be seen.

    They are asked for their list now, and again when something is placed: an endpoint that is not
    reached yet may be reached then.

    Raises:
        ConfigurationError: there is nothing to connect to, the message lists what was tried; or the
            variable names what is not there.
        CredentialsError: the endpoint refuses the key.
    """
    endpoint = discover()
    keys = KeySource(endpoint.profile)
    visible_devices.parse_visible(os.environ.get(visible_devices.VARIABLE))

    def listed() -> list[str]:
        try:
            return [one.id for one in list_accelerators(endpoint, keys.current())]
        except AccessDeniedError as error:
            _log.info("the accelerators may not be listed, so one is used: %s", error.message)
            return [ANY]

    with contextlib.suppress(BusyError, ConnectionLostError):
        listed()
    return Fleet(listed, lambda one: Attachment(endpoint, keys, one or None))
