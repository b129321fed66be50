"""The catalog: a ledger behind a lock, a crew for its orders, and rounds to look around."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial

from accel_protocol.errors import Status
from client_runtime.serving.models import config_rules, folders, outcome
from client_runtime.serving.models.crew import Crew
from client_runtime.serving.models.herald import Herald
from client_runtime.serving.models.jobs import guarded
from client_runtime.serving.models.labels import LabelBook
from client_runtime.serving.models.ledger import Ledger
from client_runtime.serving.models.lifecycle import News, State, Version
from client_runtime.serving.models.options import CatalogOptions
from client_runtime.serving.models.outcome import Finding, Settled
from client_runtime.serving.models.rounds import Round, Rounds
from client_runtime.serving.servable import Bounds, Loader, Servable
from client_runtime.serving.statuses import ServingError, invalid
from client_runtime.serving.text_files import TextFileError, read_text_file
from client_runtime.serving_wire.inference_pb2 import ModelSpec
from client_runtime.serving_wire.model_management_pb2 import (
    GetModelStatusResponse,
    ModelConfig,
    ModelServerConfig,
)

# How often a wait looks whether its request was cancelled.
_CANCEL_SECONDS = 0.5
# What closing may take beyond the time that users have.
_CLOSE_SECONDS = 10.0

_log = logging.getLogger(__name__)


class ServableCatalog:
    """What is loaded, and what keeps it so. Thread-safe.

    `observe` is called with news of versions, in their order, never by two threads at once, and
    without a lock that the catalog's own methods take. `configured` is called with every
    configuration that was accepted; `check` before that with each of its models, and raises a
    ServingError to refuse it.
    """

    def __init__(
        self,
        config: ModelServerConfig,
        loader: Loader,
        options: CatalogOptions | None = None,
        observe: Callable[[News], None] | None = None,
        configured: Callable[[ModelServerConfig], None] | None = None,
        check: Callable[[ModelConfig], object] | None = None,
    ) -> None:
        self._configured, self._check = configured, check
        self._first_config = config
        self._options = options = options or CatalogOptions()
        self._crew = Crew(loader, options, self._load_ended, self._close_ended)
        self._herald = Herald(observe)
        # Held from reading the configuration to changing it.
        self._editing = threading.RLock()
        # Guards everything below; notified when anything of it changes.
        self._changed = threading.Condition(threading.Lock())
        self._ledger = Ledger(options.rules)
        self._labels = LabelBook()
        self._config = ModelServerConfig()
        self._models: dict[str, ModelConfig] = {}
        self._findings: dict[str, Finding] = {}
        self._looked_at: dict[str, float] = {}
        self._is_closing = False
        self._rounds = Rounds(self._changed, self._orders_due, self._changing)

    def start(self) -> None:
        """Begin to serve; returns at once. See `wait_until_settled`.

        Raises:
            ServingError: the configuration is wrong.
        """
        options = self._options
        self._accept(self._first_config)
        look = Round(0.0, options.poll_seconds, self._look_around)
        read = Round(options.config_poll_seconds, options.config_poll_seconds, self._read_config)
        asks_again = options.config_file is not None and options.config_poll_seconds > 0
        rounds = [look] if options.poll_seconds >= 0 else []
        self._rounds.start([*rounds, read] if asks_again else rounds)

    def wait_until_settled(self, give_up_at: float | None) -> Settled:
        """Wait until every model has come up or has failed, or until a time.monotonic().

        With `serve_what_is_ready` one failed load is a failure, though it is tried again, and a
        model without versions is not waited for.
        """
        return self._wait_for(None, Bounds(give_up_at))

    @contextlib.contextmanager
    def use(self, spec: ModelSpec) -> Iterator[Servable]:
        """See Catalog."""
        version, servable = self._enter(spec)
        try:
            yield servable
        finally:
            self._leave(version)

    def names(self) -> Sequence[str]:
        """See Catalog."""
        with self._changed:
            return sorted(self._models)

    def labels(self, name: str) -> Mapping[str, int]:
        """See Catalog."""
        with self._changed:
            return dict(self._labels.given.get(name, {}))

    def config(self) -> ModelServerConfig:
        """The configuration that is served."""
        config = ModelServerConfig()
        with self._changed:
            config.CopyFrom(self._config)
        return config

    def status(self, name: str, version: int | None) -> GetModelStatusResponse:
        """See Catalog."""
        with self._changed:
            return outcome.status(self._ledger.models.get(name), name, version)

    def reload(self, config: ModelServerConfig, bounds: Bounds) -> None:
        """See Catalog. Waits for models that are new or were changed, the others go on.

        What fails or is late once the configuration was accepted does not undo it.
        """
        if config.WhichOneof("config") != "model_config_list":
            raise invalid(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. Only "
                "ModelConfigList is currently supported"
            )
        self._bring_up(self._accept(config), bounds)

    def put_model(self, model: ModelConfig, bounds: Bounds) -> None:
        """See Editor."""

        def put(config: ModelServerConfig) -> None:
            _remove(config, model.name)
            config.model_config_list.config.append(model)

        self._edit(put, bounds)

    def remove_model(self, name: str, bounds: Bounds) -> None:
        """See Editor. It is unloaded when nobody uses it any more."""

        def remove(config: ModelServerConfig) -> None:
            if not _remove(config, name):
                raise ServingError(Status.NOT_FOUND, f"Model {name} is not served")

        self._edit(remove, bounds)

    def ready(self) -> bool:
        """See Catalog."""
        with self._changed:
            return not self._is_closing and all(
                self._ledger.available(name, None) for name in self._models
            )

    def close(self, grace_seconds: float = 30.0) -> bool:
        """Serve nothing more, and free all; requests under way have some time to end.

        Returns:
            Whether all is freed; False where a load or an unload hangs.
        """
        with self._changing() as now:
            self._is_closing = True
            self._ledger.stop(now + grace_seconds, now)
        self._rounds.retire()
        with self._changed:
            timeout = grace_seconds + _CLOSE_SECONDS
            is_free = self._changed.wait_for(self._ledger.is_empty, timeout)
        self._rounds.stop()
        return is_free

    @contextlib.contextmanager
    def _changing(self) -> Iterator[float]:
        """Change the ledger, and then do what follows from it; gives time.monotonic()."""
        with self._changed:
            now = time.monotonic()
            yield now
            orders = self._ledger.orders(now)
            self._take_news()
            self._changed.notify_all()
        for order in orders:
            self._crew.carry_out(order)
        self._herald.tell()

    def _take_news(self) -> None:
        while self._ledger.news:
            news = self._ledger.news.popleft()
            if news.state is State.AVAILABLE:
                self._labels = self._labels.arrived(news.id.name, news.id.version)
            self._herald.add(news)

    def _load_ended(self, version: Version, end: Servable | ServingError) -> None:
        with self._changing() as now:
            self._ledger.load_ended(version, end, now)

    def _close_ended(self, version: Version) -> None:
        with self._changing() as now:
            self._ledger.close_ended(version, now)

    def _enter(self, spec: ModelSpec) -> tuple[Version, Servable]:
        if not spec.name:
            raise invalid("ModelSpec has no name specified.")
        with self._changed:
            if self._is_closing:
                raise ServingError(Status.UNAVAILABLE, "The server is shutting down.")
            number = self._number(spec)
            version = self._ledger.available(spec.name, number)
            if version is None or version.servable is None:
                wanted = f"Servable not found for request: {_request(spec.name, number)}"
                raise ServingError(Status.NOT_FOUND, wanted)
            version.users += 1
            return version, version.servable

    def _number(self, spec: ModelSpec) -> int | None:
        match spec.WhichOneof("version_choice"):
            case "version":
                return spec.version.value
            case "version_label":
                return self._labels.version(spec.name, spec.version_label)
            case _:
                return None

    def _leave(self, version: Version) -> None:
        with self._changed:
            version.users -= 1
            was_waited_for = version.users == 0 and version.state is State.UNLOADING
        if was_waited_for:
            with self._changing():
                pass

    def _edit(self, change: Callable[[ModelServerConfig], None], bounds: Bounds) -> None:
        with self._editing:
            config = self.config()
            change(config)
            changed = self._accept(config)
        self._bring_up(changed, bounds)

    def _bring_up(self, models: Sequence[ModelConfig], bounds: Bounds) -> None:
        """Wait until these models have come up.

        Raises:
            ServingError: one has not.
        """
        self._look(models)
        settled = self._wait_for([model.name for model in models], bounds)
        if not settled.is_good:
            raise ServingError(_ending(bounds), settled.message("model(s)"))

    def _accept(self, config: ModelServerConfig) -> list[ModelConfig]:
        """Serve what this configuration says; the models of it that are new or were changed.

        Raises:
            ServingError: it is wrong, and nothing has changed.
        """
        accepted = ModelServerConfig()
        accepted.CopyFrom(config)
        with self._editing:
            with self._changing() as now:
                changed = self._replace_config(accepted, now)
            if self._configured is not None:
                guarded(partial(self._configured, accepted))
        return changed

    def _replace_config(self, config: ModelServerConfig, now: float) -> list[ModelConfig]:
        config_rules.check(config, self._config)
        models = {model.name: model for model in config.model_config_list.config}
        if self._check is not None:
            for model in models.values():
                self._check(model)
        self._labels = self._labels.assigned(
            models.values(), self._is_available, self._options.label_rule
        )
        changed = [
            model
            for name, model in models.items()
            if not config_rules.serves_alike(model, self._models.get(name))
        ]
        for name in self._models.keys() - models.keys():
            self._ledger.aspire(name, {}, now)
        self._config, self._models = config, models
        self._findings = {name: self._findings.get(name, Finding()) for name in models}
        return changed

    def _is_available(self, name: str, version: int) -> bool:
        return self._ledger.available(name, version) is not None

    def _wait_for(self, names: Collection[str] | None, bounds: Bounds) -> Settled:
        """Wait for models, all where none are named; those that were removed are left out."""
        ready_only = self._options.serve_what_is_ready
        with self._changed:
            while True:
                findings = {
                    name: finding
                    for name, finding in self._findings.items()
                    if names is None or name in names
                }
                models = self._ledger.models
                settled = outcome.settled(models, findings, serve_what_is_ready=ready_only)
                if not outcome.must_wait(settled, models, findings, ready_only=ready_only):
                    return settled
                left = _left(bounds)
                if left <= 0 or self._is_closing:
                    return settled
                self._changed.wait(left)

    def _look_around(self) -> None:
        with self._changed:
            models = list(self._models.values())
        self._look(models)

    def _look(self, models: Iterable[ModelConfig]) -> None:
        """Look at base paths; what cannot be looked at stays as it is."""
        for model in models if self._options.poll_seconds >= 0 else ():
            started = time.monotonic()
            view = folders.look(model)
            if view.trouble:
                _log.error("%s", view.trouble)
            with self._changing() as now:
                self._note(model, view, started, now)

    def _note(self, model: ModelConfig, view: folders.View, started: float, now: float) -> None:
        name = model.name
        is_asked_for = config_rules.serves_alike(model, self._models.get(name))
        if self._is_closing or not is_asked_for or started < self._looked_at.get(name, started):
            return
        self._looked_at[name] = started
        for warning in view.warnings:
            if warning not in self._findings[name].warnings:
                _log.warning("%s", warning)
        self._findings[name] = Finding(True, view.trouble, view.warnings)
        if view.versions is not None:
            self._ledger.aspire(name, view.versions, now)

    def _read_config(self) -> None:
        """Read the file again; a fault in it leaves all as it is."""
        if (file := self._options.config_file) is None:
            return
        try:
            config = read_text_file(str(file), ModelServerConfig)
        except ServingError as error:
            detail = f" ({error.detail})" if isinstance(error, TextFileError) else ""
            _log.error("Failed to read ModelServerConfig file: %s%s", error.message, detail)
            return
        if config.WhichOneof("config") is None or config == self.config():
            return
        try:
            self._look(self._accept(config))
        except ServingError as error:
            _log.error("The configuration file is not followed: %s", error.message)

    def _orders_due(self, now: float) -> float | None:
        return self._ledger.next_due(now)


def _left(bounds: Bounds) -> float:
    """Seconds to wait until the next look at the bounds, 0 when they are over."""
    if bounds.cancellation.cancelled:
        return 0.0
    if bounds.give_up_at is None:
        return _CANCEL_SECONDS
    return min(max(bounds.give_up_at - time.monotonic(), 0.0), _CANCEL_SECONDS)


def _ending(bounds: Bounds) -> Status:
    """How a wait for models ends that did not come up."""
    if bounds.cancellation.cancelled:
        return Status.CANCELLED
    return Status.INTERNAL if _left(bounds) else Status.DEADLINE_EXCEEDED


def _remove(config: ModelServerConfig, name: str) -> bool:
    """Take a model out of a configuration; whether it was there."""
    models = config.model_config_list.config
    kept = [model for model in models if model.name != name]
    was_there = len(kept) < len(models)
    del models[:]
    models.extend(kept)
    return was_there


def _request(name: str, version: int | None) -> str:
    return f"Latest({name})" if version is None else f"Specific({name}, {version})"
