"""What happens inside the server, told to whoever observes it.

The rooms that do the work make events and hand them to one observer; metrics, logs and profiles
are observers. An observer never raises and never waits. Times are of time.monotonic(), in seconds.
Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from accel_protocol.errors import Status
from client_runtime.serving.servable import Caller, ServableId
from client_runtime.serving_wire import model_management_pb2


@dataclass(frozen=True)
class RequestBegan:
    """A request was read and is about to be answered.

    Attributes:
        caller: who asked, through which door and by which method.
        model: the name that was asked for, whatever a client may have written; "" for none.
    """

    caller: Caller
    model: str


@dataclass(frozen=True)
class RequestEnded:
    """A request was answered, or has failed; also one that could not be read and never began.

    Attributes:
        caller: the same object as in its RequestBegan.
        model: as in its RequestBegan.
        version: that answered, else that was asked for by its number; None where there is neither.
        signature: that was resolved, else that was asked for; "" where there is none.
        status: None for OK.
        began_at: when it began.
        seconds: from there to its end.
        request: the message of the gRPC API; observers do not change it. None where there is none.
        response: likewise.
        bytes_out: of the answer on the wire; None where that is not known.
    """

    caller: Caller
    model: str
    version: int | None
    signature: str
    status: Status | None
    began_at: float
    seconds: float
    request: Any = None
    response: Any = None
    bytes_out: int | None = None


@dataclass(frozen=True)
class RequestRefused:
    """A door turned a request away: no key, a wrong one, too many requests, or not to be read.

    Attributes:
        caller: as far as it is known by then.
        key: name of the key as the server's own configuration has it; "" for an unknown one.
        status: how it was refused.
    """

    caller: Caller
    key: str
    status: Status


@dataclass(frozen=True)
class RunEnded:
    """One request's part of a run on the accelerator; a batch of five requests makes five of these.

    Attributes:
        caller: of the request; warm-up and the like have an empty one.
        servable: that ran.
        signature: that ran; "" for a run of chosen tensors.
        status: None for OK.
        began_at: when the run was asked for, before any queue.
        queue_seconds: waited, in the server's batching queue and at the accelerator together.
        compute_seconds: that the accelerator computed.
        seconds: from began_at to the end; the rest went into messages and their travel.
    """

    caller: Caller
    servable: ServableId
    signature: str
    status: Status | None
    began_at: float
    queue_seconds: float
    compute_seconds: float
    seconds: float


@dataclass(frozen=True)
class BatchEnded:
    """One run of the batching scheduler.

    Attributes:
        servable: that ran.
        signature: that ran.
        thread_pool_name: of the batching parameters.
        rows: of each request in it, in order.
        execution_rows: that ran, with padding: at least the sum of `rows`.
        queue_seconds: that each request waited in the batching queue, in the order of `rows`.
        began_at: when the batch was closed and its run began.
        seconds: of the run.
        status: None for OK.
    """

    servable: ServableId
    signature: str
    thread_pool_name: str
    rows: tuple[int, ...]
    execution_rows: int
    queue_seconds: tuple[float, ...]
    began_at: float
    seconds: float
    status: Status | None


@dataclass(frozen=True)
class VersionChanged:
    """A version of a model is in another state.

    Attributes:
        servable: which one.
        state: "START", "LOADING", "AVAILABLE", "UNLOADING" or "END".
        path: of the version's folder.
        error: why it ended; "" where nothing went wrong.
        status: of that error; None for OK.
        load_seconds: how long loading with warm-up took, all tries and waits for the next together,
            where one of the tries has ended; None elsewhere.
        weight_bytes: of its variables; 0 but with AVAILABLE.
    """

    servable: ServableId
    state: str
    path: str
    error: str = ""
    status: Status | None = None
    load_seconds: float | None = None
    weight_bytes: int = 0


@dataclass(frozen=True)
class WarmedUp:
    """A version was warmed up.

    Attributes:
        servable: which one.
        path: of the version's folder.
        records: that were run.
        seconds: that it took.
        status: None for OK.
    """

    servable: ServableId
    path: str
    records: int
    seconds: float
    status: Status | None


@dataclass(frozen=True)
class Configured:
    """The server's configuration was applied, at start or by a reload.

    Attributes:
        config: of all models; observers do not change it.
    """

    config: model_management_pb2.ModelServerConfig


@dataclass(frozen=True)
class RequestLogged:
    """A request that was sampled for its model's request log was written, or was not.

    Attributes:
        model: whose log it is.
        status: None when it was written, RESOURCE_EXHAUSTED when it was dropped because the log
            is behind, INTERNAL when writing failed.
    """

    model: str
    status: Status | None


Event = (
    RequestBegan
    | RequestEnded
    | RequestRefused
    | RunEnded
    | BatchEnded
    | VersionChanged
    | WarmedUp
    | Configured
    | RequestLogged
)
Observer = Callable[[Event], None]


def nobody(event: Event) -> None:
    """The observer of a server that tells nothing."""


def all_of(*observers: Observer) -> Observer:
    """One observer that hands every event on, in this order."""

    def tell(event: Event) -> None:
        for observer in observers:
            observer(event)

    return tell


def status_name(status: Status | None) -> str:
    """A status as TensorFlow Serving's metrics and logs name it."""
    return "OK" if status is None else status.name
