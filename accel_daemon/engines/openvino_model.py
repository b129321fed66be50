"""A frozen graph, compiled by OpenVINO for this host's processors.

OpenVINO reads a GraphDef by itself. Of its Python package only the runtime is imported: its
converter would tell its maker who uses it.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import importlib.util
import math
import os
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np

from accel_daemon.engines.alarms import ALARMS, Alarm
from accel_daemon.engines.precisions import F32
from accel_daemon.engines.tensorflow_frozen import FED_NAME, FETCHED_NAME
from accel_protocol.errors import CancelledError, DeadlineError
from accel_protocol.tensors import Array

_PACKAGE = "openvino"
_CAPABILITIES = {"bf16": "BF16", "f16": "FP16"}


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

    Each run has all processors, and runs take turns: then one run takes least.

    Args:
        frozen: what `tensorflow_frozen.freeze` gave.
        fetches: how many tensors it answers with.
        precision: one of PRECISIONS that it computes in.

    Raises:
        NotCompiledError: see there.
    """

    least_seconds = 0.0
    """A run with less time than this cannot be stopped in time."""

    def __init__(self, frozen: Any, fetches: int, precision: str = F32) -> None:
        self._requests: SimpleQueue[_Request] = SimpleQueue()
        self._closed = False
        self._alarms: set[Alarm] = set()
        try:
            self._compiled = _compile(frozen, precision)
            inputs = _by_number(self._compiled.inputs, FED_NAME)
            outputs = _by_number(self._compiled.outputs, FETCHED_NAME)
            self._outputs = [outputs[i] for i in range(fetches)]
            self._inputs = [(number, inputs[number]) for number in sorted(inputs)]
            self._requests.put(self._new_request())
        except (RuntimeError, ImportError, KeyError, OSError) as error:
            raise NotCompiledError(type(error).__name__) from error

    def run(self, feeds: Sequence[Array], timeout: float | None) -> list[Array]:
        """All fetches, in their order.

        Args:
            feeds: in the order of their numbers.
            timeout: seconds until it is stopped, None for no bound.

        Raises:
            DeadlineError: the time ran out.
            CancelledError: it was closed.
            RuntimeError: OpenVINO failed.
        """
        end = math.inf if timeout is None else time.monotonic() + timeout
        try:
            request = self._requests.get(timeout=timeout)
        except Empty:
            raise _too_late() from None
        try:
            self._infer(request, feeds, end)
            answer = [np.array(one) for one in request.answered]
        except BaseException:
            request = self._new_request()  # one that failed is not used again
            raise
        finally:
            self._requests.put(request)
        return answer

    def close(self) -> None:
        """Stop all runs."""
        self._closed = True
        for alarm in self._alarms.copy():
            ALARMS.hasten(alarm)

    def _new_request(self) -> _Request:
        return _Request(self._compiled.create_infer_request(), self._inputs, self._outputs)

    def _infer(self, request: _Request, feeds: Sequence[Array], end: float) -> None:
        alarm = ALARMS.set(end, request.cancel)
        self._alarms.add(alarm)
        try:
            if self._closed:
                raise CancelledError("The graph was stopped.")
            for number, view in request.fed:
                # Copied: what is fed may be read-only, and OpenVINO wants its own alignment.
                view[...] = feeds[number]
            request.infer()
        except RuntimeError:
            if self._closed:
                raise CancelledError("The graph was stopped.") from None
            if time.monotonic() >= end:
                raise _too_late() from None
            raise
        finally:
            self._alarms.discard(alarm)
            ALARMS.clear(alarm)


class _Request:
    """What OpenVINO needs for a run, and views of its memory, which are made once.

    Attributes:
        cancel: makes it end, from any other thread.
        fed: what is to be written before, by the feed's number.
        answered: what can be read afterwards.
    """

    def __init__(
        self, request: Any, inputs: Iterable[tuple[int, Any]], outputs: Iterable[Any]
    ) -> None:
        self._request, self.cancel = request, request.cancel
        self.fed = [(number, request.get_tensor(port).data) for number, port in inputs]
        self.answered = [request.get_tensor(port).data for port in outputs]

    def infer(self) -> None:
        """Run it in the caller's thread."""
        self._request.infer(share_outputs=True)


def _too_late() -> DeadlineError:
    return DeadlineError("The graph was stopped: the call's time ran out.")


def _import_openvino() -> Any:
    # Here, because it takes half a second, which not every accelerator has to wait for.
    return importlib.import_module(_PACKAGE)


def _compile(frozen: Any, precision: str) -> Any:
    core = _import_openvino().Core()
    if precision != F32 and not _has(core, precision):
        raise NotCompiledError(f"this processor does not compute in {precision}")
    with tempfile.NamedTemporaryFile(suffix=".pb") as file:
        file.write(frozen.SerializeToString())
        file.flush()
        model = core.read_model(file.name)
    if any(port.partial_shape.is_dynamic for op in model.get_ops() for port in op.outputs()):
        raise NotCompiledError("its shapes do not follow from those of its feeds")
    compiled = core.compile_model(model, "CPU", _settings(precision))
    if compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name() != precision:
        raise NotCompiledError(f"it cannot be computed in {precision} here")
    return compiled


def _has(core: Any, precision: str) -> bool:
    return _CAPABILITIES[precision] in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _settings(precision: str) -> Mapping[str, Any]:
    return {
        "INFERENCE_PRECISION_HINT": precision,
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
