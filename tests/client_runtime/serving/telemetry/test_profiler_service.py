"""The profiler over a real gRPC server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from client_runtime.serving.telemetry import profiler_service as service_module
from client_runtime.serving.telemetry.profiler_service import SERVICE, ProfilerService
from client_runtime.serving.telemetry.profiling import Profiling
from client_runtime.serving_wire import profiler_pb2, xplane_pb2
from tests.client_runtime.serving.telemetry.events_of_a_day import (
    batch_ended,
    request_ended,
    run_ended,
)
from tests.conftest import eventually, patience


@dataclass
class _Server:
    """A server with a profiler, and what it observes with."""

    profiling: Profiling
    service: ProfilerService
    channel: grpc.Channel

    def call(self, method: str, request: Any, response: Any) -> Any:
        """Begin a call; the future of its answer."""
        stub = self.channel.unary_unary(
            f"/{SERVICE}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=response.FromString,
        )
        return stub.future(request, timeout=patience(60))

    def profile(self, **fields: Any) -> Any:
        """Begin a Profile, and wait until it records."""
        request = profiler_pb2.ProfileRequest(**{"duration_ms": 600_000, **fields})
        answer = self.call("Profile", request, profiler_pb2.ProfileResponse)
        eventually(lambda: self.is_recording() or answer.done())
        return answer

    def terminate(self, session: str = "") -> None:
        """End a session."""
        request = profiler_pb2.TerminateRequest(session_id=session)
        self.call("Terminate", request, profiler_pb2.TerminateResponse).result()

    def is_recording(self) -> bool:
        """Whether a profile runs."""
        return self.profiling._recording is not None


@pytest.fixture
def server() -> Iterator[_Server]:
    """A server of its own."""
    profiling = Profiling()
    service = ProfilerService(profiling)
    running = grpc.server(futures.ThreadPoolExecutor(4))
    running.add_generic_rpc_handlers([service.handler()])
    port = running.add_insecure_port("127.0.0.1:0")
    running.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield _Server(profiling, service, channel)
    running.stop(None)


def _observe(profiling: Profiling) -> None:
    now = time.monotonic()
    profiling.observe(run_ended())
    profiling.observe(batch_ended())
    profiling.observe(request_ended(began_at=now, seconds=0.001))


def _events(space: xplane_pb2.XSpace) -> set[str]:
    return {entry.name for plane in space.planes for entry in plane.event_metadata.values()}


def test_a_profile_holds_what_happened_meanwhile(server: _Server, tmp_path: Path) -> None:
    """As the file that the client writes; the server writes none where a client says."""
    _observe(server.profiling)
    answer = server.profile(session_id="s1", repository_root=str(tmp_path))
    _observe(server.profiling)
    server.terminate("s1")
    response = answer.result()
    (data,) = response.tool_data
    assert (data.name, response.empty_trace) == ("xplane.pb", False)
    space = xplane_pb2.XSpace.FromString(data.data)
    assert _events(space) == {"Predict", "accelerator run", "queue", "compute", "batch"}
    requests = [row for row in space.planes[0].lines if row.name.startswith("requests")]
    assert sum(len(row.events) for row in requests) == 4
    assert list(tmp_path.iterdir()) == []


def test_newer_clients_take_the_space_itself(server: _Server) -> None:
    """Where they ask for it."""
    answer = server.profile(session_id="s2", emit_xspace=True)
    _observe(server.profiling)
    server.terminate("s2")
    response = answer.result()
    assert "Predict" in _events(response.xspace)
    assert not response.tool_data


def test_an_empty_profile_says_so(server: _Server) -> None:
    """It ends by itself, and clients try again."""
    response = server.profile(duration_ms=1).result()
    assert (response.empty_trace, len(response.tool_data)) == (True, 0)


def test_there_is_one_profile_at_a_time(server: _Server) -> None:
    """The first one goes on."""
    answer = server.profile(session_id="s3")
    with pytest.raises(grpc.RpcError) as caught:
        server.profile(session_id="s4").result()
    assert caught.value.code() == grpc.StatusCode.ALREADY_EXISTS
    server.terminate("another one")
    assert server.is_recording()
    server.terminate("s3")
    assert answer.result().empty_trace


@pytest.mark.parametrize(
    "end", [lambda server, answer: answer.cancel(), lambda server, _: server.service.close()]
)
def test_a_profile_ends_with_its_client_and_with_the_server(
    server: _Server, end: Callable[[_Server, Any], None]
) -> None:
    """However long it was to be."""
    answer = server.profile(session_id="s5")
    end(server, answer)
    eventually(lambda: not server.is_recording())


def test_no_profile_is_longer_than_a_bound(
    server: _Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread of the server is its own for that time."""
    monkeypatch.setattr(service_module, "LONGEST_SECONDS", 0.001)
    assert server.profile(session_id="s6").result().empty_trace


def test_events_are_kept_up_to_a_number(server: _Server) -> None:
    """The profile says that some were left out."""
    answer = server.profile(session_id="s7", max_events=2)
    _observe(server.profiling)
    server.terminate("s7")
    space = xplane_pb2.XSpace.FromString(answer.result().tool_data[0].data)
    assert list(space.warnings) == ["1 more events were left out."]
    assert "Predict" not in _events(space)


def test_monitor_sums_up(server: _Server) -> None:
    """As lines of text."""
    request = profiler_pb2.MonitorRequest(duration_ms=600_000)
    answer = server.call("Monitor", request, profiler_pb2.MonitorResponse)
    eventually(server.is_recording)
    _observe(server.profiling)
    server.terminate()
    _, *lines = answer.result().data.splitlines()
    assert lines == [
        "Requests: 1",
        "  OK: 1",
        "Request time (ms): mean 1.000, max 1.000",
        "Queue time (ms): mean 0.500, max 0.500",
        "Compute time (ms): mean 0.250, max 0.250",
    ]


def test_nothing_is_kept_while_no_profile_runs() -> None:
    """And a recording keeps no message that was sent or answered."""
    profiling = Profiling()
    profiling.observe(request_ended())
    assert profiling.begin()
    assert not profiling.begin()
    profiling.observe(request_ended())
    recording = profiling.end()
    (kept,) = recording.requests
    assert (kept.request, kept.response) == (None, None)
    with pytest.raises(RuntimeError, match="nothing"):
        profiling.end()


def test_a_closed_service_records_no_longer(server: _Server) -> None:
    """A profile that comes while the server ends is answered at once."""
    server.service.close()
    assert server.profile(session_id="late").result().empty_trace
