"""A frozen graph, compiled by OpenVINO for this host's processors.

OpenVINO reads a GraphDef by itself. Of its Python package only the runtime is imported: its
converter would tell its maker who uses it.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.metadata
import importlib.util
import os
import tempfile
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from accel_daemon.engines.tensorflow_frozen import FED_NAME, FETCHED_NAME
from accel_protocol.errors import CancelledError, DeadlineError
from accel_protocol.tensors import Array

_PACKAGE = "openvino"


class NotCompiledError(Exception):
    """OpenVINO cannot compile the graph, or not for these shapes alone."""


@functools.cache
def installed_version() -> str | None:
    """Name and version, told without importing it; None where it is not installed."""
    if importlib.util.find_spec(_PACKAGE) is None:
        return None
    try:
        return f"openvino {importlib.metadata.version(_PACKAGE)}"
    except importlib.metadata.PackageNotFoundError:
        return None


class OpenVinoModel:
    """One graph for one set of shapes. `run` may be called from several threads at once.

    Args:
        frozen: what `tensorflow_frozen.freeze` gave.
        fetches: how many tensors it answers with.

    Raises:
        NotCompiledError: see there.
    """

    def __init__(self, frozen: Any, fetches: int) -> None:
        try:
            self._compiled = _compile(frozen)
            self._inputs = _by_number(self._compiled.inputs, FED_NAME)
            self._outputs = [
                _by_number(self._compiled.outputs, FETCHED_NAME)[i] for i in range(fetches)
            ]
        except (RuntimeError, ImportError, KeyError, OSError) as error:
            raise NotCompiledError(type(error).__name__) from error
        self._idle: deque[Any] = deque()
        self._running: set[Any] = set()
        self._lock = threading.Lock()
        self._closed = False

    def run(self, feeds: Mapping[int, Array], timeout: float | None) -> list[Array]:
        """All fetches, in their order.

        Args:
            feeds: by number.
            timeout: seconds until it is stopped, None for no bound.

        Raises:
            DeadlineError: the time ran out.
            CancelledError: it was closed.
            RuntimeError: OpenVINO failed.
        """
        with self._request() as request:
            for number, port in self._inputs.items():
                # Copied: what is fed may be read-only, and gone before a cancelled run has ended.
                request.get_tensor(port).data[...] = feeds[number]
            request.start_async()
            self._wait(request, timeout)
            return [np.array(request.get_tensor(one).data) for one in self._outputs]

    def close(self) -> None:
        """Stop all runs."""
        with self._lock:
            self._closed = True
            running = list(self._running)
            self._idle.clear()
        for request in running:
            request.cancel()

    @contextlib.contextmanager
    def _request(self) -> Iterator[Any]:
        """A request of its own; kept for the next run when it ends well."""
        with self._lock:
            if self._closed:
                raise CancelledError("The graph was stopped.")
            request = self._idle.pop() if self._idle else None
        request = request or self._compiled.create_infer_request()
        with self._lock:
            self._running.add(request)
        try:
            yield request
        except BaseException:
            with self._lock:
                self._running.discard(request)
            raise
        with self._lock:
            self._running.discard(request)
            if not self._closed:
                self._idle.append(request)

    def _wait(self, request: Any, timeout: float | None) -> None:
        try:
            if self._closed:  # between being counted and being started nobody could cancel it
                request.cancel()
            if timeout is None:
                request.wait()
            elif not request.wait_for(max(1, int(timeout * 1000))):
                request.cancel()
                with contextlib.suppress(RuntimeError):
                    request.wait()
                raise DeadlineError("The graph was stopped: the call's time ran out.")
        except RuntimeError:
            if self._closed:
                raise CancelledError("The graph was stopped.") from None
            raise


def _import_openvino() -> Any:
    # Here, because it takes half a second, which not every accelerator has to wait for.
    return importlib.import_module(_PACKAGE)


def _compile(frozen: Any) -> Any:
    core = _import_openvino().Core()
    with tempfile.NamedTemporaryFile(suffix=".pb") as file:
        file.write(frozen.SerializeToString())
        file.flush()
        model = core.read_model(file.name)
    if any(port.partial_shape.is_dynamic for op in model.get_ops() for port in op.outputs()):
        raise NotCompiledError("its shapes do not follow from those of its feeds")
    return core.compile_model(model, "CPU", _settings())


def _settings() -> Mapping[str, Any]:
    return {
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": len(os.sched_getaffinity(0)),
        # Several accelerators share a host, and each would take the same processors.
        "ENABLE_CPU_PINNING": False,
        "ENABLE_MMAP": False,
    }


def _by_number(ports: Sequence[Any], name: str) -> dict[int, Any]:
    """Ports by the number in their names."""
    prefix = name.format("")
    return {
        int(text.removeprefix(prefix).partition(":")[0]): port
        for port in ports
        for text in port.get_names()
        if text.startswith(prefix)
    }
