"""A connection to one accelerator that heals itself.

An Attachment holds only what was checked: an endpoint whose certificate was verified, a grant whose
ticket was issued to us, a channel that accepts that accelerator alone. It renews the grant before
the ticket ends, attaches again when the accelerator was restarted, and repeats a call only when
that cannot do harm.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import grpc

from accel_protocol.elapsed import elapsed_seconds
from accel_protocol.errors import (
    AcceleratorError,
    AnswerLostError,
    BusyError,
    ConnectionLostError,
    CredentialsError,
)
from accel_protocol.sigv4 import AccessKey
from accel_protocol.v1 import accelerator_pb2 as pb
from client_runtime.discovery.credentials import KeySource
from client_runtime.discovery.endpoints import Endpoint, discover
from client_runtime.models.bundle import Bundle
from client_runtime.transport import channel as channels
from client_runtime.transport import grants
from client_runtime.transport.exchange import Answer, Call, Sending, exchange
from client_runtime.transport.grants import Grant
from client_runtime.transport.lane import Lane
from client_runtime.transport.lane_choice import LaneChoice
from client_runtime.transport.retrying import RetryBudget, Ride, renewable
from client_runtime.transport.socket_lane import NoLaneError
from client_runtime.transport.uploading import Upload

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_PATIENCE_SECONDS = 60.0
_RENEW_AGAIN_SECONDS = 15.0


class Attachment:
    """See the module. Thread-safe; each calling thread gets a stream of its own.

    Args:
        endpoint: the control endpoint.
        keys: give the access key to sign with; asked whenever a ticket is.
        accelerator: id, ordinal, or None for whichever is free.
        patience: seconds to wait for an accelerator that is restarting or busy.
        budget: of the retries of all threads together; a full one by default.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        keys: KeySource,
        accelerator: str | int | None = None,
        patience: float = _PATIENCE_SECONDS,
        budget: RetryBudget | None = None,
    ) -> None:
        self._endpoint, self._keys, self._accelerator = endpoint, keys, accelerator
        self._patience, self._budget = patience, budget or RetryBudget()
        self._lanes = LaneChoice(endpoint)
        self._lock = threading.Lock()
        self._idle: list[Lane] = []
        self._grant: Grant | None = None
        self._channel: grpc.Channel | None = None
        self._call_ids = itertools.count(1)
        self._stale = False
        self._closed = False

    @property
    def accelerator_id(self) -> str:
        """The id of the accelerator, attaching first where that has not happened."""
        return self._attached()[0].accelerator_id

    @property
    def known_accelerator_id(self) -> str | None:
        """The id of the accelerator that was attached to last; None before the first."""
        grant = self._grant
        return None if grant is None else grant.accelerator_id

    def capabilities(self) -> Any:
        """The accelerator's GetCapabilitiesResponse."""
        request = pb.GetCapabilitiesRequest(min_version=1, max_version=1)
        return self._patiently(lambda: self._call("GetCapabilities", request))

    def list(self) -> Any:
        """The accelerator's ListResponse: our loaded graphs, and its counters."""
        return self._patiently(lambda: self._call("List", pb.ListRequest()))

    def prepare(self, bundle: Bundle, call: Call | None = None) -> int:
        """Upload what the accelerator lacks of a bundle and load it; answers the bytes sent.

        Args:
            bundle: the model.
            call: for whose sake, which bounds the time.
        """
        left = call.left if call is not None else lambda: None
        files = Upload(bundle, left)
        self._patiently(lambda: files.attempt(*self._reached()), call, lambda: files.progress)
        request = pb.LoadRequest(manifest=bundle.manifest.canonical())
        self._patiently(lambda: self._call("Load", request, left()), call)
        _log.info("model %s: %d bytes uploaded", bundle.graph_id.hex()[:12], files.sent)
        return files.sent

    def unload(self, graph_id: bytes, timeout: float | None = None) -> None:
        """Let the accelerator forget a loaded graph; its files stay. Tried once.

        Args:
            graph_id: 32 bytes; nothing happens where it is not loaded.
            timeout: seconds after which it is given up.

        Raises:
            AcceleratorError: unreachable, or refused.
        """
        self._call("Unload", pb.UnloadRequest(graph_id=graph_id), timeout)

    def run(self, call: Call, *, repeatable: bool = False) -> Answer:
        """One inference.

        Args:
            call: what to run.
            repeatable: whether the call may be repeated when its answer was lost.

        Raises:
            ModelMissingError: the accelerator lacks the graph: `prepare` it and call again.
            DeadlineError, CancelledError: the call's time ran out, or it was cancelled.
            AcceleratorError: refused, failed, or unreachable for longer than `patience`.
        """
        return self._patiently(lambda: self._run_once(call, repeatable), call)

    def _run_once(self, call: Call, repeatable: bool) -> Answer:
        lane = self._take_lane(call.left)
        try:
            return self._run_on(lane, call, repeatable)
        except NoLaneError as error:  # it never opened
            self._lanes.could_not_be_had(lane, error)
        return self._run_on(self._take_lane(call.left), call, repeatable)

    def _run_on(self, lane: Lane, call: Call, repeatable: bool) -> Answer:
        sending = Sending(cautious=not repeatable)
        try:
            answer = exchange(lane, next(self._call_ids), call, sending)
        except (ConnectionLostError, CredentialsError) as error:
            lane.close()
            # What has never been there as a whole cannot have run.
            if sending.whole and not repeatable:
                self._detach()
                raise AnswerLostError(error.message, request_id=error.request_id) from error
            raise
        except BaseException:
            lane.close()  # which cancels the call
            raise
        self._give_back(lane)
        if isinstance(answer, AcceleratorError):
            raise answer
        return answer

    def _take_lane(self, left: Callable[[], float | None]) -> Lane:
        grant, channel = self._attached()
        with self._lock:
            lanes, self._idle = self._idle, []
            usable = [
                lane for lane in lanes if lane.grant.ticket == grant.ticket and lane.is_open()
            ]
            chosen = usable.pop() if usable else None
            self._idle = usable
        for lane in lanes:
            if lane is not chosen and lane not in usable:
                lane.close()
        return chosen or self._lanes.open(channel, grant, left)

    def _give_back(self, lane: Lane) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(lane)
                return
        lane.close()

    def _attached(self) -> tuple[Grant, grpc.Channel]:
        """The grant and channel in use, renewed when the ticket has lived most of its life."""
        with self._lock:
            if self._closed:
                raise ConnectionLostError("The connection was closed.", remedy="Open a new one.")
            grant = self._grant
            if grant is None or self._stale:
                self._attach(grant)
            elif elapsed_seconds() >= grant.renew_at:
                self._renew(grant)
            assert self._grant is not None
            assert self._channel is not None
            return self._grant, self._channel

    def _renew(self, grant: Grant) -> None:
        """Replace a grant that is still good, or keep it a little when nobody answers."""
        try:
            self._attach(grant)
        except (ConnectionLostError, BusyError, CredentialsError) as error:
            if isinstance(error, CredentialsError) and error.reason != "MISSING_CREDENTIALS":
                raise  # the daemon refuses; that it could not be asked may pass
            _log.warning("the ticket could not be renewed yet: %s", error.message)
            later = elapsed_seconds() + _RENEW_AGAIN_SECONDS
            self._grant = replace(grant, renew_at=later)

    def _reached(self) -> tuple[grpc.Channel, Grant]:
        grant, channel = self._attached()
        return channel, grant

    def _attach(self, old: Grant | None) -> None:
        grant = self._request_grant()
        same = old is not None and (old.address, old.server_name) == (
            grant.address,
            grant.server_name,
        )
        if not same or self._channel is None:
            if self._channel is not None:
                self._channel.close()
            self._channel = channels.open_channel(self._endpoint, grant)
            _log.info(
                "using accelerator %s (%s, ordinal %d) at %s",
                grant.accelerator_id,
                grant.accelerator_type,
                grant.ordinal,
                grant.address,
            )
        # Stay with this accelerator: the model is there now.
        self._accelerator = grant.accelerator_id
        self._grant = grant
        self._stale = False

    def _request_grant(self) -> Grant:
        key = self._keys.current()
        try:
            return grants.request_grant(self._endpoint, key, self._accelerator)
        except CredentialsError:
            # For instance a daemon that was set up anew: where the key came from may know another.
            if not self._keys.look_again(key):
                raise
        return grants.request_grant(self._endpoint, self._keys.current(), self._accelerator)

    def _call(self, name: str, request: Any, timeout: float | None = None) -> Any:
        channel, grant = self._reached()
        return channels.call(channel, grant, name, request, timeout)

    def _patiently(
        self,
        attempt: Callable[[], _T],
        call: Call | None = None,
        progress: Callable[[], int] = lambda: 0,
    ) -> _T:
        """Attempt until it succeeds, cannot succeed, or time or retries end; see `retrying`.

        Args:
            attempt: what to do; harmless to repeat after the errors caught here.
            call: for whose sake, which bounds the time and may be cancelled.
            progress: how far it came; while that grows, patience begins anew.
        """
        ride = Ride(self._budget, self._patience, call.give_up_at if call is not None else None)
        while True:
            try:
                result = attempt()
            except (ConnectionLostError, BusyError, CredentialsError) as error:
                ride.came(progress())
                wait = self._wait_before_next(error, ride)
                if wait is None:
                    raise
                _pause(wait, call)
            else:
                self._budget.succeeded()
                return result

    def _wait_before_next(self, error: AcceleratorError, ride: Ride) -> float | None:
        """Seconds to wait; None when waiting is no use."""
        if renewable(error) or isinstance(error, ConnectionLostError):
            self._detach()
        if self._closed:
            return None
        now = time.monotonic()
        wait = ride.next_wait(error, now, reached=self._grant is not None)
        if wait and ride.first:
            _log.warning("%s Trying again for %.0f s.", error.message, ride.left(now))
        return wait

    def _detach(self) -> None:
        """Ask for a new grant before the next call; lanes of the old one are not used again."""
        with self._lock:
            self._stale = True

    def close(self) -> None:
        """Close all streams and the channel."""
        with self._lock:
            self._closed = True
            lanes, self._idle = self._idle, []
            channel, self._channel = self._channel, None
        for lane in lanes:
            lane.close()
        if channel is not None:
            channel.close()

    def __enter__(self) -> Attachment:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _pause(seconds: float, call: Call | None) -> None:
    """Wait, at most until the call is cancelled."""
    if call is None or call.cancellation is None:
        time.sleep(seconds)
    else:
        call.cancellation.wait(seconds)


def connect(
    endpoint: str | None = None,
    accelerator_id: str | int | None = None,
    *,
    ca_file: str | None = None,
    credentials: AccessKey | None = None,
) -> Attachment:
    """Attach to an accelerator; everything left out is discovered.

    Args:
        endpoint: control endpoint, "https://HOST:PORT".
        accelerator_id: "eia-…" or an ordinal.
        ca_file: PEM file of the authority that must have signed the endpoint's certificate.
        credentials: the access key; by default the profile's, else the AWS chain's.

    Raises:
        ConfigurationError: nothing to connect to.
        CredentialsError, AccessDeniedError, PeerIdentityError, ConnectionLostError, BusyError
    """
    found = discover(endpoint, ca_file)
    keys = KeySource(found.profile, credentials)
    attachment = Attachment(found, keys, accelerator_id)
    try:
        attachment._patiently(attachment._attached)
    except BaseException:
        attachment.close()
        raise
    return attachment
