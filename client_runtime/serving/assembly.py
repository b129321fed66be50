"""Puts the rooms together: what the flags say becomes models, answers, and records of them."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from accel_protocol.errors import Status
from client_runtime.discovery import visible_devices
from client_runtime.serving import option_choices
from client_runtime.serving.access.guard import Guard
from client_runtime.serving.events import Configured, Observer, VersionChanged, all_of
from client_runtime.serving.flags.settings import Settings
from client_runtime.serving.inference.accelerator_loader import AcceleratorLoader
from client_runtime.serving.inference.local_loader import LocalLoader
from client_runtime.serving.inference.service import InferenceService
from client_runtime.serving.models.catalog import ServableCatalog
from client_runtime.serving.models.lifecycle import News, State
from client_runtime.serving.rest.application import application, runner
from client_runtime.serving.rest.hooks import Hooks, Page
from client_runtime.serving.server import Served
from client_runtime.serving.statuses import ServingError
from client_runtime.serving.telemetry import access_log, profiler_service
from client_runtime.serving.telemetry.access_log import AccessLog
from client_runtime.serving.telemetry.metrics import CONTENT_TYPE, Metrics
from client_runtime.serving.telemetry.profiler_service import ProfilerService
from client_runtime.serving.telemetry.profiling import Profiling
from client_runtime.serving.telemetry.request_log import RequestLog
from client_runtime.serving.telemetry.request_log_settings import settings_of

_STANDARD_ERROR = "-"
# Requests have ended, or were cancelled, when models are unloaded.
_UNLOAD_SECONDS = 5.0


class Assembly:
    """See program.Backend.

    Raises:
        ServingError: a file that the flags name cannot be used.
        AcceleratorError: there is no accelerator.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._metrics_path = option_choices.metrics_path_of(settings)
        self._metrics, self._profiling = Metrics(), Profiling()
        profiler = ProfilerService(self._profiling)
        self._closing = contextlib.ExitStack()
        self._observe = observe = self._observers()
        options = option_choices.inference_options(settings, observe)
        config = option_choices.model_config(settings)
        if settings.accelerator_ids:
            # Whatever looks for accelerators in this process then sees these.
            os.environ[visible_devices.VARIABLE] = settings.accelerator_ids
        loader = AcceleratorLoader(options) if settings.use_ei else LocalLoader(options)
        self._closing.callback(loader.close)
        self.catalog = ServableCatalog(
            config,
            loader,
            option_choices.catalog_options(settings),
            lambda news: observe(version_changed(news)),
            lambda config: observe(Configured(config)),
            lambda model: settings_of(model, self._log_folder()),
        )
        self._closing.callback(self.catalog.close, _UNLOAD_SECONDS)
        self._inference = InferenceService(self.catalog, options)
        self.served = Served(
            self._inference,
            self.catalog,
            self._rest,
            observe,
            self._metrics.counter,
            {profiler_service.SERVICE: profiler.handler()} if settings.enable_profiler else {},
            profiler.close,
        )

    def load(self) -> None:
        """See Backend."""
        self.catalog.start()
        if self._settings.serve_ready_models:
            return
        settled = self.catalog.wait_until_settled(None)
        if settled.failed:
            raise ServingError(Status.INTERNAL, settled.message())

    def close(self) -> None:
        """See Backend."""
        self._closing.close()

    def _observers(self) -> Observer:
        """Everyone who is told what happens."""
        told: list[Observer] = [self._metrics.observe, self._profiling.observe]
        requests = RequestLog(
            self._metrics.observe,
            folder=self._log_folder(),
            max_files=self._settings.max_request_log_files,
        )
        self._closing.callback(requests.close)
        told.append(requests.observe)
        if where := self._settings.access_log:
            to_stderr = where == _STANDARD_ERROR
            log = AccessLog(access_log.to_stderr if to_stderr else access_log.to_file(Path(where)))
            self._closing.callback(log.close)
            told.append(log.observe)
        return all_of(*told)

    def _log_folder(self) -> Path | None:
        folder = self._settings.request_log_folder
        return Path(folder) if folder else None

    def _rest(self, guard: Guard) -> Callable[[threading.Event], web.AppRunner]:
        settings = self._settings

        def make(draining: threading.Event) -> web.AppRunner:
            editor = self.catalog if settings.rest_model_management else None
            hooks = Hooks(self._pages(), guard, self._observe, draining, editor)
            options = option_choices.rest_options(settings)
            app = application(self._inference, self.catalog, options, hooks)
            return runner(app, max(0.0, settings.drain_seconds))

        return make

    def _pages(self) -> dict[str, Callable[[], Page]]:
        if self._metrics_path is None:
            return {}
        kind = CONTENT_TYPE.partition(";")[0]
        return {self._metrics_path: lambda: Page(self._metrics.exposition(), kind)}


def version_changed(news: News) -> VersionChanged:
    """What the catalog tells of a version, as all observers know it."""
    error, is_available = news.error, news.state is State.AVAILABLE
    return VersionChanged(
        news.id,
        news.state.name,
        str(news.folder),
        "" if error is None else error.message,
        None if error is None else error.status,
        news.seconds if news.ends_load else None,
        _weight_bytes(news.folder) if is_available else 0,
    )


def _weight_bytes(folder: Path) -> int:
    files = (folder / "variables").glob("*")
    with contextlib.suppress(OSError):  # it may be gone by now
        return sum(file.stat().st_size for file in files)
    return 0
