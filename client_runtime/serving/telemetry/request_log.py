"""Requests and their answers as TFRecords of PredictionLog, for models with a logging_config.

The files can be replayed: as a version's assets.extra/tf_serving_warmup_requests they warm it up.
Requests never wait for the log; what it cannot keep up with is dropped and counted.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accel_protocol.errors import Status
from client_runtime.serving.events import (
    Configured,
    Event,
    Observer,
    RequestEnded,
    RequestLogged,
    nobody,
)
from client_runtime.serving.telemetry.background import Background
from client_runtime.serving.telemetry.log_files import LogFiles
from client_runtime.serving.telemetry.request_log_settings import LogSettings, settings_of
from client_runtime.serving_wire import model_management_pb2, prediction_log_pb2

_log = logging.getLogger(__name__)
MOST_WAITING = 1000
MOST_WAITING_BYTES = 64 << 20
MOST_FILE_BYTES = 64 << 20
_CLOSE_SECONDS = 5.0
# Which part of a PredictionLog holds requests of which API. Sessions' runs are left out: warm-up
# cannot replay them.
_PARTS = {
    "predict": "predict_log",
    "classify": "classify_log",
    "regress": "regress_log",
    "multiinference": "multi_inference_log",
}


class RequestLog:
    """Observes requests and writes those that are sampled. Thread-safe."""

    def __init__(
        self,
        observer: Observer = nobody,
        *,
        folder: Path | None = None,
        max_waiting: int = MOST_WAITING,
        max_waiting_bytes: int = MOST_WAITING_BYTES,
        max_file_bytes: int = MOST_FILE_BYTES,
        max_files: int = 0,
        seed: int | None = None,
    ) -> None:
        """Log to files in `folder`, or anywhere; `observer` is told what became of each record."""
        self._observer, self._folder = observer, folder
        self._max_file_bytes, self._max_files = max_file_bytes, max_files
        self._random = random.Random(seed)  # noqa: S311 - chooses samples, nothing secret
        self._settings: Mapping[str, LogSettings] = {}
        self._files: dict[Path, LogFiles] = {}
        self._failing: set[Path] = set()  # a log that fails is said once
        self._background = Background(
            self._write,
            name="request-log",
            max_items=max_waiting,
            max_bytes=max_waiting_bytes,
        )

    def observe(self, event: Event) -> None:
        """Follow the configuration, which was found good, and log requests that succeeded."""
        match event:
            case Configured():
                self._settings = self._configured(event.config)
            case RequestEnded(status=None):
                self._sample(event)

    def close(self) -> None:
        """Write what waits, and end the files."""
        if self._background.close(_CLOSE_SECONDS):
            self._keep_only(set())

    def _configured(self, config: model_management_pb2.ModelServerConfig) -> dict[str, LogSettings]:
        return {
            model.name: settings
            for model in config.model_config_list.config
            if (settings := settings_of(model, self._folder)) is not None
        }

    def _sample(self, event: RequestEnded) -> None:
        settings = self._settings.get(event.model)
        if settings is None or event.caller.api.lower() not in _PARTS:
            return
        if self._random.random() >= settings.sampling_rate:
            return
        size = event.request.ByteSize() + event.response.ByteSize()
        if not self._background.put((event, settings, int(time.time())), size):
            self._observer(RequestLogged(event.model, Status.RESOURCE_EXHAUSTED))

    def _write(self, taken: list[tuple[RequestEnded, LogSettings, int]]) -> None:
        for event, settings, timestamp in taken:
            files = self._files.setdefault(
                settings.prefix,
                LogFiles(settings.prefix, self._max_file_bytes, self._max_files),
            )
            record = prediction_log(event, settings, timestamp).SerializeToString()
            self._observer(RequestLogged(event.model, self._append(files, settings.prefix, record)))
        self._keep_only({settings.prefix for settings in self._settings.values()})

    def _append(self, files: LogFiles, prefix: Path, record: bytes) -> Status | None:
        try:
            files.append(record)
        except OSError as error:
            if prefix not in self._failing:
                _log.warning("requests cannot be logged to %s: %s", prefix, error.strerror)
            self._failing.add(prefix)
            return Status.INTERNAL
        self._failing.discard(prefix)
        return None

    def _keep_only(self, prefixes: set[Path]) -> None:
        for prefix in set(self._files) - prefixes:
            self._files.pop(prefix).close()


def prediction_log(
    event: RequestEnded, settings: LogSettings, timestamp: int
) -> prediction_log_pb2.PredictionLog:
    """A request with its answer, of an API that is logged, as a record.

    Args:
        event: of a request that succeeded.
        settings: of its model.
        timestamp: Unix time, in seconds.
    """
    log = prediction_log_pb2.PredictionLog()
    metadata = log.log_metadata
    metadata.model_spec.name = event.model
    metadata.model_spec.signature_name = event.signature
    if event.version is not None:
        metadata.model_spec.version.value = event.version
    metadata.sampling_config.sampling_rate = settings.sampling_rate
    metadata.timestamp_secs = timestamp
    part: Any = getattr(log, _PARTS[event.caller.api.lower()])
    part.request.CopyFrom(event.request)
    part.response.CopyFrom(event.response)
    return log
