"""All versions of all models, what happens to them, and what is to be done.

Pure: no threads, no clock, no disk. Whoever holds a ledger carries out its orders and tells it how
they ended. Times are time.monotonic().
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from accel_protocol.errors import Status
from client_runtime.serving.models.lifecycle import News, State, Version
from client_runtime.serving.models.plan import Swap, next_step
from client_runtime.serving.servable import Servable, ServableId
from client_runtime.serving.statuses import ServingError
from client_runtime.transport.exchange import Cancellation


@dataclass(frozen=True)
class LoadRules:
    """How loads and unloads go; seconds where nothing else is said.

    Attributes:
        retries: of a load that failed; None: without end.
        retry_interval: before each of them; 0 or less: at once.
        swap: what comes first when versions follow each other.
        stuck: how long a newer version waits for the load of one that was given up, or for the
            close of one that nobody uses.
        users: how long unloading waits for requests that use the version.
        ended_kept: versions that ended and stay listed, per model; the newest of them.
    """

    retries: int | None = 5
    retry_interval: float = 60.0
    swap: Swap = Swap.LOAD_FIRST
    stuck: float = 60.0
    users: float = 300.0
    ended_kept: int = 1000


class Task(enum.Enum):
    """What an order asks for.

    Attributes:
        LOAD: load the version and call `load_ended`.
        CANCEL: cancel its load; nothing is to be told.
        CLOSE: close its servable and call `close_ended`.
    """

    LOAD = enum.auto()
    CANCEL = enum.auto()
    CLOSE = enum.auto()


class Order(NamedTuple):
    """Something to be done, by whoever holds the ledger.

    Attributes:
        cancellation: of this load, where the task is LOAD or CANCEL.
    """

    task: Task
    version: Version
    cancellation: Cancellation


@dataclass
class Model:
    """The versions of one model, by number.

    Attributes:
        versions: all that are listed.
        serving: those that are available.
    """

    versions: dict[int, Version] = field(default_factory=dict)
    serving: dict[int, Version] = field(default_factory=dict)

    def latest(self) -> Version | None:
        """The available version with the highest number."""
        return self.serving[max(self.serving)] if self.serving else None


class Ledger:
    """The versions of all models. Not thread-safe.

    Attributes:
        models: by name, those too that are not to be served any more.
        events: what happened, the oldest first; to be taken away by the holder.
    """

    def __init__(self, rules: LoadRules) -> None:
        self.models: dict[str, Model] = {}
        self.news: deque[News] = deque()
        self._rules = rules
        self._cancels: list[Order] = []
        self._users_until: float | None = None

    def aspire(self, name: str, folders: Mapping[int, Path], now: float) -> None:
        """From now on these versions of a model are to be served and no others."""
        model = self.models.setdefault(name, Model())
        for number, version in model.versions.items():
            if number not in folders and version.aspired:
                self._give_up(version, now)
        for number, folder in folders.items():
            if (known := model.versions.get(number)) is None:
                known = Version(ServableId(name, number), folder, now)
                model.versions[number] = known
                self.news.append(known.news(0.0))
            else:
                self._want(known, folder, now)
        self._forget_ended(model)

    def orders(self, now: float) -> list[Order]:
        """What is to be done now; each order is given once."""
        orders, self._cancels = self._cancels, []
        for model in self.models.values():
            self._plan(model, now)
        for version in self._versions():
            if version.is_busy:
                continue
            if version.state is State.LOADING and (version.retry_at or 0.0) <= now:
                version.is_busy, version.retry_at = True, None
                version.cancellation = Cancellation()
                orders.append(Order(Task.LOAD, version, version.cancellation))
            elif version.state is State.UNLOADING and _may_close(version, now):
                version.is_busy = True
                orders.append(Order(Task.CLOSE, version, version.cancellation))
        return orders

    def next_due(self, now: float) -> float | None:
        """When `orders` is to be asked again though nothing happened; None: never."""
        return min((due for v in self._versions() for due in self._dues(v, now)), default=None)

    def load_ended(self, version: Version, end: Servable | ServingError, now: float) -> None:
        """A LOAD order has been carried out, or has failed."""
        version.is_busy = False
        if isinstance(end, ServingError):
            self._load_failed(version, end, now)
            return
        version.servable = end
        if version.aspired:
            version.error = version.abandoned_at = None
            self.models[version.id.name].serving[version.id.version] = version
            self.news.append(replace(version.enter(State.AVAILABLE, now), ends_load=True))
        else:
            version.error = _cancelled()
            self._unload(version, now)

    def close_ended(self, version: Version, now: float) -> None:
        """A CLOSE order has been carried out."""
        version.is_busy, version.servable = False, None
        self._end(version, now)

    def available(self, name: str, number: int | None) -> Version | None:
        """The version that answers requests for this one, or for the latest; None: none does."""
        if (model := self.models.get(name)) is None:
            return None
        return model.latest() if number is None else model.serving.get(number)

    def stop(self, users_until: float, now: float) -> None:
        """Serve nothing any more; users of what is loaded are waited for until then."""
        self._users_until = users_until
        for name in self.models:
            self.aspire(name, {}, now)
        for version in self._versions():
            if version.wait_for_users_until is not None:
                version.wait_for_users_until = min(version.wait_for_users_until, users_until)

    def is_empty(self) -> bool:
        """Whether nothing is loaded, nor being loaded or unloaded."""
        return all(v.state in (State.START, State.END) for v in self._versions())

    def _versions(self) -> Iterator[Version]:
        for model in self.models.values():
            yield from model.versions.values()

    def _plan(self, model: Model, now: float) -> None:
        rules = self._rules
        versions = list(model.versions.values())
        while step := next_step(versions, rules.swap, now, rules.stuck):
            if step.action is State.UNLOADING:
                self._unload(step.version, now)
            else:
                self.news.append(step.version.enter(State.LOADING, now))

    def _want(self, version: Version, folder: Path, now: float) -> None:
        """It is to be served; one that failed is tried again only from another folder."""
        is_new = not version.aspired or version.folder != folder
        version.aspired, version.folder = True, folder
        if is_new and version.state is State.END:
            self.news.append(version.begin_again(now))

    def _give_up(self, version: Version, now: float) -> None:
        version.aspired = False
        if version.state is State.START or (version.state is State.LOADING and not version.is_busy):
            self._end(version, now)
        elif version.state is State.LOADING:
            version.abandoned_at = now
            self._cancels.append(Order(Task.CANCEL, version, version.cancellation))

    def _load_failed(self, version: Version, error: ServingError, now: float) -> None:
        version.error = error
        retries = self._rules.retries
        if version.abandoned_at is not None:
            version.error = _cancelled()
            self._end(version, now)
        elif retries is not None and version.tries >= retries:
            version.tries += 1
            self._end(version, now, ends_load=True)
        else:
            version.tries += 1
            version.retry_at = now + self._rules.retry_interval
            self.news.append(replace(version.news(now - version.since), ends_load=True))

    def _unload(self, version: Version, now: float) -> None:
        self.models[version.id.name].serving.pop(version.id.version, None)
        until = now + self._rules.users
        version.wait_for_users_until = (
            until if self._users_until is None else min(until, self._users_until)
        )
        self.news.append(version.enter(State.UNLOADING, now))

    def _end(self, version: Version, now: float, *, ends_load: bool = False) -> None:
        version.retry_at = version.wait_for_users_until = None
        was_abandoned = version.abandoned_at is not None
        had_servable = version.state is State.UNLOADING
        self.news.append(replace(version.enter(State.END, now), ends_load=ends_load))
        version.abandoned_at = None
        if version.aspired and (was_abandoned or had_servable):
            self.news.append(version.begin_again(now))

    def _forget_ended(self, model: Model) -> None:
        ended = [n for n, v in model.versions.items() if v.state is State.END and not v.aspired]
        for number in sorted(ended)[: max(len(ended) - self._rules.ended_kept, 0)]:
            del model.versions[number]

    def _dues(self, version: Version, now: float) -> Iterator[float]:
        leaves_until = version.leaves_until(self._rules.stuck)
        if leaves_until is not None and leaves_until > now:
            yield leaves_until
        if version.is_busy:
            return
        if version.retry_at is not None:
            yield version.retry_at
        if version.wait_for_users_until is not None:
            yield version.wait_for_users_until


def _may_close(version: Version, now: float) -> bool:
    until = version.wait_for_users_until
    return version.users == 0 or (until is not None and now >= until)


def _cancelled() -> ServingError:
    return ServingError(Status.CANCELLED, "Loading of servable cancelled")
