"""What an accelerator reads from its port: Run streams, tensors, uploads, manifests, messages."""

from __future__ import annotations

import asyncio
import hashlib
import json
import posixpath
import random
from collections.abc import AsyncIterator
from typing import Any, cast

import numpy as np
from google.protobuf.message import DecodeError

from accel_daemon.accelerator.gate import Gate
from accel_daemon.accelerator.handlers import readable, reader
from accel_daemon.accelerator.run_stream import CallReceiver, refusal
from accel_daemon.accelerator.service import AcceleratorService, Tenant
from accel_daemon.engines.engine import Engine
from accel_daemon.iam.callers import Principal
from accel_daemon.iam.tickets import TicketSigner, TicketVerifier
from accel_daemon.launch_order import LaunchOrder
from accel_protocol import dtypes, frames, manifest, tensors
from accel_protocol.errors import FeedError, ModelError
from accel_protocol.limits import KIB, Limits
from accel_protocol.manifest import BundleFile, Manifest, Selection
from accel_protocol.methods import METHODS
from accel_protocol.tensors import TensorHeader
from accel_protocol.v1 import accelerator_pb2 as pb
from tests.fuzz.mutation import (
    TEXTS,
    change_bytes,
    change_json,
    change_message,
    change_text,
    json_bytes,
    one_of,
)
from tests.fuzz.oracle import CANARY, Setting, Target

# Smaller than the real ones, so that inputs reach them.
LIMITS = Limits(
    message_bytes=256 * KIB,
    call_bytes=512 * KIB,
    call_tensors=64,
    file_bytes=256 * KIB,
    manifest_bytes=64 * KIB,
    bundle_files=32,
    store_bytes=2**40,
)
ARRAYS: dict[str, Any] = {
    "image": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "empty": np.zeros((0, 7), np.int64),
    "flag": np.array([True, False]),
    "words": np.array([b"", b"one", "zwei ü"], dtype=object),
    "scalar": np.float64(1.5).reshape(()),
}


def call_messages(piece_bytes: int, names: tuple[str, ...] = tuple(ARRAYS)) -> list[bytes]:
    """The messages of one good call."""
    encoded = [tensors.encode(name, ARRAYS[name]) for name in names]
    start = pb.RunStart(
        graph_id=b"g" * 32,
        timeout_us=5_000_000,
        feeds=[header_message(header) for header, _ in encoded],
    )
    payload = [data for _, data in encoded]
    return list(frames.split(7, start.SerializeToString(), payload, piece_bytes))


def header_message(header: TensorHeader) -> pb.TensorHeader:
    """A header as a message."""
    return pb.TensorHeader(
        name=header.name,
        dtype=header.dtype,  # type: ignore[arg-type]
        shape=header.shape,
        size=header.size,
    )


def change_stream(chance: random.Random, messages: list[bytes]) -> list[bytes]:
    """Messages changed, left out, doubled and in another order."""
    changed = list(messages)
    if chance.random() < 0.3:
        place = chance.randrange(len(changed))
        changed[place : place + 1] = [changed[place]] * chance.choice((0, 2, 3))
    if chance.random() < 0.2:
        chance.shuffle(changed)
    for place in range(len(changed)):
        if chance.random() < 0.5:
            changed[place] = change_message(chance, changed[place])
    return changed


def frame_target(setting: Setting) -> Target:
    """`frames.decode`, held against protobuf's own reader."""
    answer = frames.encode(9, error=refusal(3, FeedError("no such feed"))[3:])
    seeds = [*call_messages(64), *call_messages(2**20), answer, b""]

    def check(data: bytes) -> None:
        frame = frames.decode(data)
        again = frames.encode(
            frame.call_id,
            None if frame.head is None else bytes(frame.head),
            () if frame.payload is None else (frame.payload,),
            b"" if frame.error is None else bytes(frame.error),
        )
        read = frames.decode(again)
        assert (read.call_id, read.head) == (frame.call_id, frame.head)
        assert bytes(read.payload or b"") == bytes(frame.payload or b"")

    return Target(lambda chance: change_message(chance, one_of(chance, seeds)), check)


def receiver_target(setting: Setting) -> Target:
    """`CallReceiver`: whole streams."""
    seeds = [
        *(call_messages(size) for size in (32, 200, 2**20)),
        call_messages(64, ("words",)),
        call_messages(64, ("empty",)),
        call_messages(16, ("words", "flag")) + call_messages(64, ("image",)),
    ]

    def check(messages: list[bytes]) -> None:
        receiver = CallReceiver(LIMITS)
        for message in messages:
            call = receiver.receive(message)
            for array in call.feeds.values() if call is not None else ():
                array.tobytes()

    return Target(lambda chance: change_stream(chance, one_of(chance, seeds)), check)


def tensor_target(setting: Setting) -> Target:
    """`tensors.check_header` and `decode`, strings among them."""
    seeds = [tensors.encode(name, value) for name, value in ARRAYS.items()]

    def make(chance: random.Random) -> tuple[TensorHeader, bytes]:
        header, data = one_of(chance, seeds)
        message = change_message(chance, header_message(header).SerializeToString())
        try:
            read = pb.TensorHeader.FromString(message)
        except DecodeError:
            read = header_message(header)
        data = change_bytes(chance, bytes(data)) if chance.random() < 0.7 else bytes(data)
        size = read.size if chance.random() < 0.5 else len(data)
        dtype = chance.choice((read.dtype, read.dtype, dtypes.STRING, chance.randrange(-1, 30)))
        return TensorHeader(read.name, dtype, tuple(read.shape), size), data

    def check(value: tuple[TensorHeader, bytes]) -> None:
        header, data = value
        tensors.check_header(header, LIMITS)
        if header.size == len(data):
            array = tensors.decode(header, data)
            assert array.shape == header.shape
            array.tobytes()

    return Target(make, check)


def manifest_target(setting: Setting) -> Target:
    """`manifest.parse`; what it takes is what it writes, and no name leaves the folder."""
    digest = hashlib.sha256(b"").hexdigest()
    files = (BundleFile("saved_model.pb", 10, digest), BundleFile("variables/v.index", 0, digest))
    selections = (
        Selection(signature="serving_default"),
        Selection(("gpu", "serve"), None, {"x": "x:0"}, {"ü": "y:0"}),
    )
    seeds = [
        Manifest(manifest.SAVED_MODEL, files, one, {"threads": "2"}).canonical()
        for one in selections
    ]

    def make(chance: random.Random) -> bytes:
        document = json.loads(one_of(chance, seeds))
        if chance.random() < 0.3:
            return json_bytes(chance, document)
        # Canonical again, so that more than the first check is met.
        changed = change_json(chance, document)
        text = json.dumps(changed, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return text.encode("utf-8", "surrogatepass")

    def check(data: bytes) -> None:
        parsed = manifest.parse(data, LIMITS)
        assert parsed.canonical() == data
        for file in parsed.files:
            assert not file.name.startswith("/")
            assert ".." not in file.name.split("/")

    return Target(make, check)


class _NoEngine:
    version = "none 1"

    def load(self, *_: object, **__: object) -> Any:
        raise ModelError("There is no engine here.")


def _good_requests() -> list[tuple[str, list[Any]]]:
    """For each method, requests that nothing is wrong with."""
    data = b"content of a file"
    sha, other = hashlib.sha256(data).digest(), hashlib.sha256(b"").digest()
    blob, empty = pb.Blob(sha256=sha, size=len(data)), pb.Blob(sha256=other, size=0)
    file = BundleFile("saved_model.pb", len(data), sha.hex())
    shown = Manifest(manifest.SAVED_MODEL, (file,), Selection(signature="s")).canonical()
    return [
        ("GetCapabilities", [pb.GetCapabilitiesRequest(min_version=1, max_version=1)]),
        ("FindMissing", [pb.FindMissingRequest(blobs=[blob, empty])]),
        (
            "Upload",
            [
                pb.UploadRequest(blob=blob, offset=0, data=data[:7]),
                pb.UploadRequest(blob=blob, offset=7, data=data[7:]),
                pb.UploadRequest(blob=empty, offset=0, data=b""),
            ],
        ),
        ("Load", [pb.LoadRequest(manifest=shown)]),
        ("Load", [pb.LoadRequest(graph_id=hashlib.sha256(shown).digest())]),
        ("Unload", [pb.UnloadRequest(graph_id=b"g" * 32)]),
        ("List", [pb.ListRequest()]),
    ]


def service_target(setting: Setting) -> Target:
    """The requests of all methods but Run, as messages, through `AcceleratorService`.

    A store whose path holds a canary takes the uploads.
    """
    signer, loop = TicketSigner.generate(), asyncio.new_event_loop()
    setting.stack.callback(loop.close)
    store = setting.folder / "store"
    order = LaunchOrder(
        *("eia-" + "a" * 32, "host", "127.0.0.1", 0, CANARY, CANARY),
        *(signer.public_key_pem(), 1, str(store)),
    )
    verifier = TicketVerifier(signer.public_key_pem(), order.accelerator_id)
    gate = Gate(verifier, 1, LIMITS, clock=lambda: 1e9)
    service = AcceleratorService(order, cast(Engine, _NoEngine()), LIMITS, gate)
    seeds = _good_requests()

    def make(chance: random.Random) -> tuple[str, list[bytes], int]:
        name, messages = one_of(chance, seeds)
        written = [message.SerializeToString() for message in messages]
        changed = (
            change_stream(chance, written)
            if len(written) > 1
            else [change_message(chance, written[0])]
        )
        return name, changed, chance.randrange(8)

    async def call(name: str, requests: list[Any], principal: int) -> None:
        token = signer.issue(
            Principal(f"p{principal}", "0" * 12), order.accelerator_id, "AKIA" + "A" * 16, 1, 1e9
        )
        ticket = TicketVerifier(signer.public_key_pem(), order.accelerator_id).verify(token, 1e9)
        await _asked(service, service.tenant_of(ticket), name, requests)

    def check(value: tuple[str, list[bytes], int]) -> None:
        name, messages, principal = value
        read = reader(METHODS[name])
        try:
            requests = [readable(read(one)) for one in messages or [b""]]
            loop.run_until_complete(call(name, requests, principal))
        finally:
            top = {one.name for one in store.iterdir()} if store.exists() else set()
            assert all(len(one) == 32 for one in top), top
            assert {one.name for one in setting.folder.iterdir()} <= {"store"}

    return Target(make, check, share=0.1)


async def _asked(
    service: AcceleratorService, tenant: Tenant, name: str, requests: list[Any]
) -> None:
    """Let a method answer, and forget the answer."""
    match name:
        case "GetCapabilities":
            await service.get_capabilities(tenant, requests[0])
        case "FindMissing":
            await service.find_missing(tenant, requests[0])
        case "Upload":
            await service.upload(tenant, _each(requests))
        case "Load":
            async for _ in service.load(tenant, requests[0]):
                pass
        case "Unload":
            await service.unload(tenant, requests[0])
        case _:
            await service.list(tenant, requests[0])


async def _each(requests: list[Any]) -> AsyncIterator[Any]:
    for request in requests:
        yield request


def gate_target(setting: Setting) -> Target:
    """The accelerator's door: paths of methods and metadata of calls."""
    signer, accelerator = TicketSigner.generate(), "eia-" + "a" * 32
    verifier = TicketVerifier(signer.public_key_pem(), accelerator)
    token = signer.issue(Principal("ann", "0" * 12), accelerator, "AKIA" + "A" * 16, 1, 1e9)
    paths = [method.path for method in METHODS.values()] + ["/grpc.health.v1.Health/Check"]

    def make(chance: random.Random) -> tuple[str, list[tuple[str, str | bytes]]]:
        path = one_of(chance, paths)
        path = change_text(chance, path) if chance.random() < 0.1 else path
        value: str | bytes = f"Bearer {token}"
        if chance.random() < 0.9:
            value = change_text(chance, cast(str, value))
        if chance.random() < 0.05:
            value = cast(str, value).encode("utf-8", "surrogatepass")
        pairs = [("authorization", value)] * chance.choice((0, 1, 1, 1, 1, 1, 2))
        return path, [("user-agent", chance.choice(TEXTS)), *pairs]

    def check(value: tuple[str, list[tuple[str, str | bytes]]]) -> None:
        Gate(verifier, 1, LIMITS, clock=lambda: 1e9).admit(*value)

    return Target(make, check)


def ids_target(setting: Setting) -> Target:
    """Names inside a bundle: what is called safe stays in its folder."""
    names = ["saved_model.pb", "variables/variables.data-00000-of-00001", "a/b/c", "assets/ü.txt"]

    def check(name: str) -> None:
        if manifest.is_safe_name(name):
            assert posixpath.normpath("/x/" + name) == "/x/" + name
            assert "\0" not in name

    def make(chance: random.Random) -> str:
        return change_text(chance, one_of(chance, names))

    return Target(make, check, refuses=False)


TARGETS = {
    "frames": frame_target,
    "run stream": receiver_target,
    "tensors": tensor_target,
    "manifest": manifest_target,
    "store names": ids_target,
    "requests": service_target,
    "call metadata": gate_target,
}
