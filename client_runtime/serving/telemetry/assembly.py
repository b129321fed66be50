"""All that observes the server, put together as its flags say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from client_runtime.serving.events import Observer, all_of
from client_runtime.serving.telemetry.access_log import AccessLog
from client_runtime.serving.telemetry.metrics import Metrics
from client_runtime.serving.telemetry.profiler_service import ProfilerService
from client_runtime.serving.telemetry.profiling import Profiling
from client_runtime.serving.telemetry.request_log import RequestLog


@dataclass(frozen=True)
class Telemetry:
    """What a server tells about itself.

    Attributes:
        observe: takes every event.
        metrics: for the page of metrics, and for counters that a reload asks for.
        profiler: the service, where it is wanted.
    """

    observe: Observer
    metrics: Metrics
    profiler: ProfilerService | None
    _request_log: RequestLog
    _access_log: AccessLog | None

    def close(self) -> None:
        """End profiles and write what the logs have, for some seconds at most."""
        if self.profiler is not None:
            self.profiler.close()
        self._request_log.close()
        if self._access_log is not None:
            self._access_log.close()


def assemble(
    *,
    with_profiler: bool = True,
    write_access: Callable[[str], None] | None = None,
    request_log_folder: Path | None = None,
) -> Telemetry:
    """Put observers together.

    Args:
        with_profiler: whether profiles can be made.
        write_access: takes the access log's lines, for instance `access_log.to_stderr`; None for
            no access log.
        request_log_folder: that request logs must be in; None for anywhere.
    """
    metrics = Metrics()
    profiling = Profiling() if with_profiler else None
    request_log = RequestLog(metrics.observe, folder=request_log_folder)
    access_log = None if write_access is None else AccessLog(write_access)
    observers = [one.observe for one in (metrics, profiling, request_log, access_log) if one]
    profiler = None if profiling is None else ProfilerService(profiling)
    return Telemetry(all_of(*observers), metrics, profiler, request_log, access_log)
