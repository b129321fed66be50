"""TensorFlow's ProfilerService: what TensorBoard's capture button and profiler_client.trace call.

A request names a folder for the result. Nothing is written there, whoever asks: the answer holds
the profile, and the client writes it.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Any

import grpc

from client_runtime.serving.events import status_name
from client_runtime.serving.telemetry.profiling import MOST_EVENTS, Profiling, Recording
from client_runtime.serving_wire import profiler_pb2

SERVICE = "tensorflow.ProfilerService"
LONGEST_SECONDS = 600.0


class ProfilerService:
    """Answers the service's calls with what `profiling` records. Thread-safe."""

    def __init__(self, profiling: Profiling) -> None:
        self._profiling = profiling
        self._lock = threading.Lock()
        self._ends: dict[str, threading.Event] = {}
        self._is_closed = False

    def handler(self) -> grpc.GenericRpcHandler:
        """The service, for a server of gRPC."""
        methods: dict[str, tuple[Any, Any]] = {
            "Profile": (self.profile, profiler_pb2.ProfileRequest),
            "Terminate": (self.terminate, profiler_pb2.TerminateRequest),
            "Monitor": (self.monitor, profiler_pb2.MonitorRequest),
        }
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                name: grpc.unary_unary_rpc_method_handler(
                    method,
                    request_deserializer=request.FromString,
                    response_serializer=lambda response: response.SerializeToString(),
                )
                for name, (method, request) in methods.items()
            },
        )

    def profile(
        self, request: profiler_pb2.ProfileRequest, context: grpc.ServicerContext
    ) -> profiler_pb2.ProfileResponse:
        """What happened in the time that is asked for, or until the session is terminated."""
        most = min(request.max_events or MOST_EVENTS, MOST_EVENTS)
        recording = self._recorded(request.session_id, request.duration_ms, most, context)
        space = recording.profile(time.monotonic())
        response = profiler_pb2.ProfileResponse(empty_trace=recording.is_empty)
        if request.emit_xspace:
            response.xspace.CopyFrom(space)
        elif not recording.is_empty:
            response.tool_data.add(name="xplane.pb", data=space.SerializeToString())
        return response

    def terminate(
        self, request: profiler_pb2.TerminateRequest, context: grpc.ServicerContext
    ) -> profiler_pb2.TerminateResponse:
        """End a session's profile; it is answered with what it has."""
        with self._lock:
            end = self._ends.get(request.session_id)
        if end is not None:
            end.set()
        return profiler_pb2.TerminateResponse()

    def monitor(
        self, request: profiler_pb2.MonitorRequest, context: grpc.ServicerContext
    ) -> profiler_pb2.MonitorResponse:
        """A text about the requests in the time that is asked for."""
        recording = self._recorded("", request.duration_ms, MOST_EVENTS, context)
        return profiler_pb2.MonitorResponse(data=summary(recording, time.monotonic()))

    def close(self) -> None:
        """End what is under way, and at once what may still come, so that the server can stop."""
        with self._lock:
            self._is_closed = True
            for end in self._ends.values():
                end.set()

    def _recorded(
        self, session: str, duration_ms: int, most: int, context: grpc.ServicerContext
    ) -> Recording:
        if not self._profiling.begin(most):
            context.abort(grpc.StatusCode.ALREADY_EXISTS, "Another profiling session is active.")
        end = threading.Event()
        with self._lock:
            self._ends[session] = end
            if self._is_closed:
                end.set()
        try:
            # A client that is gone waits for nothing.
            context.add_callback(end.set)
            asked = duration_ms / 1000 if duration_ms else LONGEST_SECONDS
            end.wait(min(asked, LONGEST_SECONDS))
        finally:
            with self._lock:
                del self._ends[session]
            recording = self._profiling.end()
        return recording


def summary(recording: Recording, ended_at: float) -> str:
    """Some lines about the requests of a recording."""
    seconds = ended_at - recording.began_at
    statuses = Counter(status_name(one.status) for one in recording.requests)
    lines = [f"Seconds: {seconds:.3f}", f"Requests: {len(recording.requests)}"]
    lines += [f"  {name}: {count}" for name, count in sorted(statuses.items())]
    for title, times in (
        ("Request", [one.seconds for one in recording.requests]),
        ("Queue", [one.queue_seconds for one in recording.runs]),
        ("Compute", [one.compute_seconds for one in recording.runs]),
    ):
        if times:
            mean, most = 1000 * sum(times) / len(times), 1000 * max(times)
            lines.append(f"{title} time (ms): mean {mean:.3f}, max {most:.3f}")
    return "\n".join(lines) + "\n"
