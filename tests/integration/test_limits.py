"""Every limit that an accelerator reports holds on its port: below and at it a call goes on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from accel_protocol import frames
from accel_protocol.dtypes import STRING
from accel_protocol.errors import AcceleratorError, LimitError
from accel_protocol.lanes import KINDS
from accel_protocol.limits import Limits
from accel_protocol.manifest import FROZEN_GRAPH, Selection
from accel_protocol.methods import METHODS
from accel_protocol.v1 import accelerator_pb2 as pb
from client_runtime.models import bundle as bundles
from client_runtime.models.bundle import Bundle
from client_runtime.transport.channel import call, metadata, typed
from client_runtime.transport.lane_choice import LaneChoice
from client_runtime.transport.uploading import upload
from tests.accel_daemon.engines.test_tensorflow_limits import chain, nested
from tests.conftest import ROOT, patience
from tests.integration.conftest import LoneAccelerator, alone
from tests.integration.open_stream import outcome

UINT8 = pb.DATA_TYPE_UINT8
SOCKETS = [kind for kind in KINDS if kind != "grpc"]
LIMITS = {
    "call_bytes": 1000,
    "call_tensors": 3,
    "tensor_elements": 900,
    "bundle_files": 3,
    "manifest_bytes": 4096,
    "graph_nodes": 50,
    "function_depth": 8,
    "upload_small_chunks": 3,
    "run_small_frames": 3,
}
# Where the other limits are broken, one below, at and above where that has a meaning.
ELSEWHERE = {
    "piece_bytes": "tests/accel_protocol/test_frames.py",
    "concurrent_runs": "tests/accel_daemon/accelerator/test_run_queue.py",
    "queued_runs": "tests/accel_daemon/accelerator/test_run_queue.py",
    "streams": "tests/accel_daemon/accelerator/test_gate.py",
    "store_bytes": "tests/accel_daemon/accelerator/test_store.py",
    "graph_messages": "tests/accel_daemon/engines/test_tensorflow_limits.py",
    "inlined_nodes": "tests/accel_daemon/engines/test_tensorflow_limits.py",
    "attribute_bytes": "tests/accel_daemon/engines/test_tensorflow_limits.py",
    "connections": "tests/integration/test_connections.py",
    "idle_call_seconds": "tests/integration/test_held_calls.py",
    "other_calls": "tests/integration/test_held_calls.py",
    "metadata_bytes": "tests/integration/test_limits.py",
}


class Caller:
    """A client that keeps no rule."""

    def __init__(self, accelerator: LoneAccelerator, channel: grpc.Channel, folder: Path) -> None:
        self.channel, self.grant, self.folder = channel, accelerator.grant(), folder
        self.kind, self._endpoint = "grpc", accelerator.endpoint

    def run(self, messages: list[bytes]) -> None:
        """Send messages on a Run stream of this kind of lane, and raise what is answered."""
        lane = LaneChoice(self._endpoint, (self.kind,)).open(self.channel, self.grant)
        try:
            raise outcome(lane, messages)
        finally:
            lane.close()

    def feed(self, *sizes: int, cut: int | None = None) -> None:
        """Run a graph that is not there with tensors of so many bytes, the first `cut` alone."""
        shapes = [(size,) for size in sizes]
        total, cut = sum(sizes), 0 if cut is None else cut
        whole = start([pb.TensorHeader(name=str(i), dtype=UINT8, shape=s, size=s[0])
                       for i, s in enumerate(shapes)])  # fmt: skip
        small = [b"\0"] * cut
        first = [frames.encode(1, whole, small[:1])] if cut else []
        more = [frames.encode(1, None, [one]) for one in small[1:]]
        head = None if cut else whole
        self.run([*first, *more, frames.encode(1, head, [bytes(total - cut)])])

    def find(self, *blobs: pb.Blob) -> None:
        """Ask for files."""
        call(self.channel, self.grant, "FindMissing", pb.FindMissingRequest(blobs=blobs))

    def send(self, *chunks: pb.UploadRequest) -> None:
        """Upload chunks, and raise what is answered."""
        call(self.channel, self.grant, "Upload", iter(chunks))

    def load(self, graph_def: Any) -> None:
        """Upload and load a frozen graph."""
        bundle = frozen(self.folder, graph_def)
        upload(self.channel, self.grant, bundle)
        request = pb.LoadRequest(manifest=bundle.manifest.canonical())
        call(self.channel, self.grant, "Load", request, timeout=patience(60))


def frozen(folder: Path, graph_def: Any) -> Bundle:
    """A bundle of a frozen graph whose fetch is "y:0"."""
    path = folder / "graph.pb"
    path.write_bytes(graph_def.SerializeToString())
    selection = Selection((), fetches={"y": "y:0"})
    return bundles.make_bundle({"graph.pb": path}, FROZEN_GRAPH, selection)


def start(headers: list[pb.TensorHeader]) -> bytes:
    """The head of a call of a graph that is not there."""
    return pb.RunStart(graph_id=bytes(32), feeds=headers).SerializeToString()


def blob(size: int, name: str = "") -> pb.Blob:
    """A file that nobody has."""
    return pb.Blob(sha256=hashlib.sha256(f"{name}{size}".encode()).digest(), size=size)


def load_text(caller: Caller, count: int) -> None:
    """Load by a manifest that is none."""
    call(caller.channel, caller.grant, "Load", pb.LoadRequest(manifest=b" " * count))


def small_chunks(caller: Caller, count: int) -> None:
    """Send so many chunks of one byte, none of which ends its file."""
    file = blob(count + 1, "small")
    caller.send(*(pb.UploadRequest(blob=file, offset=at, data=b"x") for at in range(count)))


def long_message(caller: Caller, count: int) -> None:
    """Send one message of so many bytes."""
    request = pb.UploadRequest(blob=blob(1 << 30, f"long {count}"), data=bytes(count - 64))
    request.data = bytes(len(request.data) + count - request.ByteSize())
    assert request.ByteSize() == count
    opened = caller.channel.stream_unary(METHODS["Upload"].path)
    message = request.SerializeToString()
    try:
        opened(iter([message]), metadata=metadata(caller.grant), timeout=patience(20))
    except grpc.RpcError as error:
        raise typed(error) from error


def with_ticket(caller: Caller, count: int) -> None:
    """Come with a ticket of so many characters."""
    grant = replace(caller.grant, ticket="x" * count)
    call(caller.channel, grant, "List", pb.ListRequest())


def of_rank(caller: Caller, rank: int) -> None:
    """Send one element as a tensor of this rank."""
    header = pb.TensorHeader(name="x", dtype=UINT8, shape=[1] * rank, size=1)
    caller.run([frames.encode(1, start([header]), [b"\0"])])


BREAK: dict[str, Callable[[Caller, int], None]] = {
    "message_bytes": long_message,
    "call_bytes": lambda caller, count: caller.feed(500, count - 500),
    "call_tensors": lambda caller, count: caller.feed(*[1] * count),
    "tensor_rank": of_rank,
    "tensor_elements": lambda caller, count: caller.feed(count),
    "file_bytes": lambda caller, count: caller.find(blob(count)),
    "bundle_files": lambda caller, count: caller.find(*map(blob, range(count))),
    "manifest_bytes": load_text,
    "ticket_characters": with_ticket,
    "graph_nodes": lambda caller, count: caller.load(chain(count)),
    "function_depth": lambda caller, count: caller.load(nested(count)),
    "upload_small_chunks": small_chunks,
    "run_small_frames": lambda caller, count: caller.feed(100, cut=count),
}
# How calls below and at a limit end that cannot do well: they are about nothing that is there.
OTHERWISE = {
    "call_bytes": "MODEL_MISSING",
    "call_tensors": "MODEL_MISSING",
    "tensor_rank": "MODEL_MISSING",
    "tensor_elements": "MODEL_MISSING",
    "run_small_frames": "MODEL_MISSING",
    "manifest_bytes": "INVALID_MODEL",
    "ticket_characters": "INVALID_TICKET",
}


# Those of Run hold on every lane.
RUNS = ("call_bytes", "call_tensors", "tensor_rank", "tensor_elements", "run_small_frames")
WAYS = [(name, "grpc") for name in BREAK] + [(name, kind) for name in RUNS for kind in SOCKETS]


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoneAccelerator]:
    """An accelerator with low limits."""
    with alone(tmp_path_factory.mktemp("narrow"), limits=LIMITS) as lone:
        yield lone


@pytest.fixture
def caller(narrow: LoneAccelerator, tmp_path: Path) -> Iterator[Caller]:
    """A client of it, after which the same process still answers."""
    with narrow.channel() as channel:
        caller = Caller(narrow, channel, tmp_path)
        yield caller
        call(channel, caller.grant, "List", pb.ListRequest())
    assert narrow.process.poll() is None


@pytest.mark.parametrize("above", [-1, 0])
@pytest.mark.parametrize(("name", "kind"), WAYS)
def test_below_and_at_a_limit(caller: Caller, name: str, kind: str, above: int) -> None:
    """A call goes on as far as it can."""
    reason, caller.kind = "", kind
    try:
        BREAK[name](caller, getattr(Limits(**LIMITS), name) + above)
    except AcceleratorError as error:
        reason = error.reason
    assert reason == OTHERWISE.get(name, "")


@pytest.mark.parametrize(("name", "kind"), WAYS)
def test_above_a_limit(caller: Caller, name: str, kind: str) -> None:
    """It is refused, and told by what and by how much."""
    caller.kind = kind
    limit = getattr(Limits(**LIMITS), name)
    with pytest.raises(LimitError) as caught:
        BREAK[name](caller, limit + 1)
    if name != "message_bytes":  # which gRPC refuses itself
        fields = {"name": name, "limit": str(limit), "actual": str(limit + 1)}
        assert caught.value.fields == fields


def test_every_limit_is_broken_somewhere() -> None:
    """Here, or in the file that is named."""
    assert {*BREAK, *ELSEWHERE} == {field.name for field in fields(Limits)}
    for name, path in ELSEWHERE.items():
        assert name in (ROOT / path).read_text(), (name, path)


@pytest.mark.parametrize(("kibibytes", "admitted"), [(8, True), (64, False)])
def test_metadata(caller: Caller, kibibytes: int, admitted: bool) -> None:
    """Far above metadata_bytes a call is not looked at; near it gRPC refuses at random."""
    sent = (*metadata(caller.grant), ("more", "x" * (kibibytes << 10)))
    opened = caller.channel.unary_unary(METHODS["List"].path)
    try:
        opened(b"", metadata=sent, timeout=patience(20))
        code = grpc.StatusCode.OK
    except grpc.RpcError as error:
        code = error.code()
    assert code is (grpc.StatusCode.OK if admitted else grpc.StatusCode.RESOURCE_EXHAUSTED)


def strings(count: int, payload: bytes) -> list[bytes]:
    """A call with a string tensor of so many elements and these bytes."""
    header = pb.TensorHeader(name="x", dtype=STRING, shape=[count], size=len(payload))
    return [frames.encode(1, start([header]), [payload])]


def announced(shape: list[int], size: int, *pieces: bytes) -> list[bytes]:
    """A call with one tensor of bytes that comes in these pieces."""
    header = pb.TensorHeader(name="x", dtype=UINT8, shape=shape, size=size)
    first, *more = pieces or (b"",)
    head = frames.encode(1, start([header]), [first])
    return [head, *(frames.encode(1, None, [one]) for one in more)]


LENGTH = (2).to_bytes(4, "little")
ATTACKS = {
    "rank 1000": ("LIMIT_EXCEEDED", announced([1] * 1000, 1, b"\0")),
    "10^12 elements": ("LIMIT_EXCEEDED", announced([10**12], 10**12)),
    "10^12 elements in two": ("LIMIT_EXCEEDED", announced([10**6, 10**6], 10**12)),
    "10^12 elements in no bytes": ("LIMIT_EXCEEDED", announced([10**12, 0], 0)),
    "elements beyond 64 bits": ("LIMIT_EXCEEDED", announced([2**63, 2, 2**63], 0)),
    "fewer bytes than elements": ("INVALID_STREAM", announced([100], 1, b"\0")),
    "more bytes than elements": ("INVALID_STREAM", announced([1], 100, bytes(100))),
    "more sent than announced": ("INVALID_STREAM", announced([4], 4, b"12345")),
    "more sent later": ("INVALID_STREAM", announced([4], 4, b"123", b"45")),
    "less sent, then another call": ("INVALID_STREAM", announced([4], 4, b"12") * 2),
    "pieces of nothing": ("INVALID_STREAM", announced([4], 4, b"12", b"")),
    "a string longer than all": ("INVALID_STREAM", strings(1, b"\xff\xff\xff\xff" + bytes(8))),
    "lengths that overlap the end": ("INVALID_STREAM", strings(2, LENGTH + b"ab" + LENGTH + b"a")),
    "strings fewer than announced": ("INVALID_STREAM", strings(2, LENGTH + b"abcdef")),
    "strings more than announced": ("INVALID_STREAM", strings(1, LENGTH + b"ab" + LENGTH + b"cd")),
    "10^12 strings": ("LIMIT_EXCEEDED", strings(10**12, b"")),
    "a million strings in no bytes": ("INVALID_STREAM", strings(10**6, b"")),
}


@pytest.fixture
def victim(lone_accelerator: LoneAccelerator, tmp_path: Path) -> Iterator[Caller]:
    """A client of an accelerator with the usual limits, whose process still answers afterwards."""
    with lone_accelerator.channel() as channel:
        caller = Caller(lone_accelerator, channel, tmp_path)
        yield caller
        call(channel, caller.grant, "List", pb.ListRequest())
    assert lone_accelerator.process.poll() is None


@pytest.mark.parametrize("name", ATTACKS)
def test_tensors_that_lie(victim: Caller, name: str, kind: str) -> None:
    """Are refused as what they are."""
    victim.kind = kind
    reason, messages = ATTACKS[name]
    with pytest.raises(AcceleratorError) as caught:
        victim.run(messages)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("name", "graph_def"),
    [("function_depth", lambda: nested(5000)), ("graph_nodes", lambda: chain(100_001))],
    ids=["5000 functions deep", "100 001 nodes"],
)
def test_graphs_that_are_too_much(victim: Caller, name: str, graph_def: Callable[[], Any]) -> None:
    """Are refused by the usual limits before TensorFlow sees them."""
    with pytest.raises(LimitError) as caught:
        victim.load(graph_def())
    assert caught.value.fields["name"] == name
