"""Carries out a ledger's orders, in threads."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial

from accel_protocol.errors import AcceleratorError, Status
from client_runtime.serving.models.jobs import Jobs, guarded
from client_runtime.serving.models.ledger import Order, Task
from client_runtime.serving.models.lifecycle import Version
from client_runtime.serving.models.options import CatalogOptions, threads
from client_runtime.serving.servable import Bounds, Loader, Servable
from client_runtime.serving.statuses import ServingError, from_accelerator
from client_runtime.transport.exchange import Cancellation

_log = logging.getLogger(__name__)


class Crew:
    """Loads and unloads, so many at a time; tells in the same threads how it ended."""

    def __init__(
        self,
        loader: Loader,
        options: CatalogOptions,
        load_ended: Callable[[Version, Servable | ServingError], None],
        close_ended: Callable[[Version], None],
    ) -> None:
        self._loader, self._load_seconds = loader, options.load_seconds
        self._loads = Jobs("model-load", threads(options.load_threads))
        self._closes = Jobs("model-unload", threads(options.unload_threads))
        self._load_ended, self._close_ended = load_ended, close_ended

    def carry_out(self, order: Order) -> None:
        """Begin what an order asks for."""
        match order.task:
            case Task.LOAD:
                self._loads.submit(partial(self._load, order.version, order.cancellation))
            case Task.CANCEL:
                order.cancellation.cancel()
            case Task.CLOSE:
                self._closes.submit(partial(self._close, order.version))

    def _load(self, version: Version, cancellation: Cancellation) -> None:
        self._load_ended(version, self._loaded(version, cancellation))

    def _loaded(self, version: Version, cancellation: Cancellation) -> Servable | ServingError:
        seconds = self._load_seconds
        bounds = Bounds(None if seconds is None else time.monotonic() + seconds, cancellation)
        if cancellation.cancelled:
            return ServingError(Status.CANCELLED, "Loading of servable cancelled")
        try:
            return self._loader.load(version.id, version.folder, bounds)
        except ServingError as error:
            return error
        except AcceleratorError as error:
            return from_accelerator(error)
        except Exception as error:  # a defect of a loader must not stop the models of others
            _log.exception("%s could not be loaded", version.id)
            return ServingError(Status.INTERNAL, f"{type(error).__name__}: {error}")

    def _close(self, version: Version) -> None:
        if version.servable is not None:
            guarded(version.servable.close)
        self._close_ended(version)
