"""Messages that released versions wrote keep their meaning: see protos/golden/README.md."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from google.protobuf.message import Message

from accel_protocol import frames
from accel_protocol.methods import METHODS
from accel_protocol.v1 import accelerator_pb2 as pb

FOLDER = Path(__file__).parents[2] / "protos" / "golden" / "v1"
SHA256 = bytes(range(32))
GRAPH_ID = bytes(range(32, 64))
MANIFEST = (
    b'{"files":[{"name":"saved_model.pb","sha256":"' + SHA256.hex().encode() + b'","size":5}],'
    b'"format":"tensorflow.saved_model","options":{},'
    b'"selection":{"signature":"serving_default","tags":["serve"]},"version":1}'
)
BLOB = pb.Blob(sha256=SHA256, size=5)
ERROR = pb.Error(
    reason="LIMIT_EXCEEDED",
    message="call_tensors is limited to 1024, and this call has 1025.",
    remedy="Stay under the limit, which GetCapabilities reports.",
    request_id="0123456789abcdef-7",
    fields={"limit": "1024"},
    status=8,
)
LIMITS = pb.Limits(
    message_bytes=1,
    piece_bytes=2,
    call_bytes=3,
    call_tensors=4,
    tensor_rank=5,
    tensor_elements=2**32,
    file_bytes=2**33,
    bundle_files=8,
    manifest_bytes=9,
    concurrent_runs=10,
    queued_runs=11,
    streams=12,
    ticket_characters=13,
    metadata_bytes=14,
    store_bytes=2**36,
)
FEED = pb.TensorHeader(name="größe", dtype=pb.DATA_TYPE_FLOAT32, shape=(1, 2), size=8)
WORDS = pb.TensorHeader(name="words", dtype=pb.DATA_TYPE_STRING, shape=(), size=7)
TIMING = pb.Timing(queue_us=1, compute_us=2000, load_us=300_000)
OPERATIONS = pb.Operations(flops_16=2**40, flops_32=7, incomplete=True)
IMAGE = pb.TensorSpec(
    name="image", tensor="image_tensor:0", dtype=pb.DATA_TYPE_UINT8, shape=(1, -1, -1, 3)
)
ANY_RANK = pb.TensorSpec(name="y", tensor="y:0", dtype=pb.DATA_TYPE_BFLOAT16, unknown_rank=True)
GRAPH = pb.LoadedGraph(
    graph_id=GRAPH_ID,
    feeds=[IMAGE],
    fetches=[ANY_RANK],
    memory_bytes=123_456_789,
    load_us=1_500_000,
    engine="tensorflow 2.21.0",
    repeatable=True,
)

GOLDEN: dict[str, Message] = {
    "error": ERROR,
    "get_capabilities_request": pb.GetCapabilitiesRequest(min_version=1, max_version=2),
    "get_capabilities_response": pb.GetCapabilitiesResponse(
        min_version=1,
        max_version=1,
        accelerator_id="eia-0123456789abcdef0123456789abcdef",
        accelerator_type="eia1.medium",
        limits=LIMITS,
        engines=["tensorflow 2.21.0"],
        sandbox="none",
        daemon_version="0.1.0",
    ),
    "get_capabilities_response_emulated": pb.GetCapabilitiesResponse(
        accelerator_type="eia2.medium",
        emulated_memory_bytes=2**31,
        tera_flops_16=8,
        tera_flops_32=1,
        paced=True,
    ),
    "find_missing_request": pb.FindMissingRequest(blobs=[BLOB]),
    "find_missing_response": pb.FindMissingResponse(
        missing=[pb.MissingBlob(sha256=SHA256, committed_bytes=3)]
    ),
    "upload_request": pb.UploadRequest(blob=BLOB, offset=3, data=b"ph"),
    "upload_response": pb.UploadResponse(stored=[BLOB]),
    "load_request_manifest": pb.LoadRequest(manifest=MANIFEST),
    "load_request_graph_id": pb.LoadRequest(graph_id=GRAPH_ID),
    "load_response_progress": pb.LoadResponse(progress=pb.LoadProgress(stage="loading")),
    "load_response_graph": pb.LoadResponse(graph=GRAPH),
    "load_response_operations": pb.LoadResponse(
        graph=pb.LoadedGraph(graph_id=GRAPH_ID, operations=OPERATIONS)
    ),
    "run_request_first": pb.RunRequest(
        call_id=300,
        start=pb.RunStart(graph_id=GRAPH_ID, feeds=[FEED, WORDS], timeout_us=2_500_000),
        payload=b"\x00\x00\x80?\x00\x00",
    ),
    "run_request_next": pb.RunRequest(call_id=300, payload=b"\x00@\x03\x00\x00\x00abc"),
    "run_response_result": pb.RunResponse(
        call_id=300,
        result=pb.RunResult(fetches=[FEED], timing=TIMING, repeatable=True),
        payload=b"\x00\x00\x80?\x00\x00\x00@",
    ),
    "run_response_paced": pb.RunResponse(
        call_id=300,
        result=pb.RunResult(
            timing=pb.Timing(
                compute_us=2000, paced_us=7_000, emulated_us=9_000, operations=OPERATIONS
            )
        ),
    ),
    "run_response_next": pb.RunResponse(call_id=300, payload=b"rest"),
    "run_response_error": pb.RunResponse(call_id=301, error=ERROR),
    "unload_request": pb.UnloadRequest(graph_id=GRAPH_ID),
    "unload_response": pb.UnloadResponse(),
    "list_request": pb.ListRequest(),
    "list_response": pb.ListResponse(
        graphs=[
            pb.GraphStatus(
                graph_id=GRAPH_ID, memory_bytes=123_456_789, engine="tensorflow 2.21.0", runs=17
            )
        ],
        counters=pb.Counters(
            uploaded_bytes=1,
            uploaded_files=2,
            loads=3,
            runs=4,
            failed_runs=5,
            run_messages_in=6,
            run_messages_out=7,
            other_calls=8,
        ),
    ),
    "list_response_process": pb.ListResponse(
        graphs=[
            pb.GraphStatus(
                graph_id=GRAPH_ID, runs=17, failed_runs=2, queue_us=300_000, compute_us=4_000_000
            )
        ],
        process=pb.ProcessStatus(memory_bytes=900_000_000, uptime_us=3_600_000_000, streams=3),
    ),
}


def write_missing() -> None:
    """Write the golden files that are not there yet; those that are there stay as they are."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, message in GOLDEN.items():
        path = FOLDER / f"{name}.bin"
        if not path.exists():
            path.write_bytes(message.SerializeToString(deterministic=True))


if os.environ.get("ACCEL_WRITE_GOLDEN") == "1":
    write_missing()


def golden(name: str) -> bytes:
    """The bytes of a golden file."""
    return (FOLDER / f"{name}.bin").read_bytes()


@pytest.mark.parametrize("name", GOLDEN)
def test_a_golden_message_keeps_its_content(name: str) -> None:
    """The bytes that were released still mean what they meant, and nothing is unknown in them."""
    expected = GOLDEN[name]
    read = type(expected).FromString(golden(name))
    assert read == expected
    assert read.ByteSize() == len(golden(name))


def test_every_golden_file_is_checked() -> None:
    """No file was added or removed without its content being stated here."""
    assert {path.stem for path in FOLDER.iterdir()} == set(GOLDEN)


def test_every_message_of_every_method_has_a_golden_file() -> None:
    """A method that is added needs golden messages for both directions."""
    wanted = {c.DESCRIPTOR.name for m in METHODS.values() for c in (m.request, m.response)}
    assert wanted <= {message.DESCRIPTOR.name for message in GOLDEN.values()}


@pytest.mark.parametrize("name", [name for name in GOLDEN if name.startswith("run_request")])
def test_the_hot_path_reads_golden_requests(name: str) -> None:
    """The reader that knows no protobuf finds the same parts."""
    expected, frame = GOLDEN[name], frames.decode(golden(name))
    assert isinstance(expected, pb.RunRequest)
    head = expected.start.SerializeToString() if expected.HasField("start") else None
    assert (frame.call_id, frame.head) == (expected.call_id, head)
    assert (frame.payload, frame.error) == (expected.payload, None)


@pytest.mark.parametrize("name", [name for name in GOLDEN if name.startswith("run_response")])
def test_the_hot_path_reads_golden_answers(name: str) -> None:
    """Result, payload and error of an answer are found where they are."""
    expected, frame = GOLDEN[name], frames.decode(golden(name))
    assert isinstance(expected, pb.RunResponse)
    head = expected.result.SerializeToString() if expected.HasField("result") else None
    error = expected.error.SerializeToString() if expected.HasField("error") else None
    assert (frame.call_id, frame.head, frame.error) == (expected.call_id, head, error)
    assert bytes(frame.payload or b"") == expected.payload


@pytest.mark.parametrize("name", ["run_request_first", "run_request_next"])
def test_the_hot_path_writes_golden_requests(name: str) -> None:
    """The writer that knows no protobuf writes the released bytes."""
    expected = GOLDEN[name]
    assert isinstance(expected, pb.RunRequest)
    head = expected.start.SerializeToString() if expected.HasField("start") else None
    assert frames.encode(expected.call_id, head, [expected.payload]) == golden(name)


def test_the_promise_is_stated() -> None:
    """For how long released messages keep parsing stands beside them."""
    text = " ".join((FOLDER.parent / "README.md").read_text("utf-8").split())
    assert "at least 24 months" in text
    assert "2026-11" in text
