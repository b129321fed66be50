"""What a client reads: answers of a daemon that may be hostile, metadata, invitations, profiles."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast
from unittest import mock

import grpc
import numpy as np
from google.protobuf.message import DecodeError

from accel_daemon.accelerator.run_stream import Call as FarCall
from accel_daemon.accelerator.run_stream import Timing, answer, error_message, refusal
from accel_daemon.control import status_client
from accel_protocol import upload_frames
from accel_protocol.errors import AcceleratorError, BusyError, LimitError, ModelError
from accel_protocol.invitation import Invitation
from accel_protocol.limits import DEFAULT_LIMITS
from accel_protocol.manifest import BundleFile, Manifest, Selection
from accel_protocol.methods import ERROR_METADATA, REQUEST_ID_METADATA
from accel_protocol.sigv4 import AccessKey
from accel_protocol.v1 import accelerator_pb2 as pb
from client_runtime import ei_errors
from client_runtime.cli.activity import between, read_sample
from client_runtime.cli.failures import as_fields
from client_runtime.discovery import (
    attaching,
    bounded_http,
    container_metadata,
    instance_metadata,
    listing,
    profile,
)
from client_runtime.discovery.bounded_http import ExchangeError, Reply
from client_runtime.discovery.endpoints import Endpoint, control_of
from client_runtime.models.bundle import Bundle
from client_runtime.transport import channel, exchange, grants, retrying, uploading
from client_runtime.transport.lane import Lane
from tests.fuzz.mutation import (
    change_bytes,
    change_json,
    change_message,
    change_text,
    json_bytes,
    one_of,
)
from tests.fuzz.oracle import CANARY, Setting, Target, check_told
from tests.fuzz.targets.access import ACCELERATOR, KEY_ID
from tests.fuzz.targets.wire import ARRAYS, change_stream

ENDPOINT = Endpoint("https://127.0.0.1:9443", None, "us-east-1", "a test")
GRANTED = {
    "accelerator": {
        "id": ACCELERATOR,
        "type": "eia2.large",
        "ordinal": 1,
        "endpoint": "127.0.0.1:5000",
        "serverName": ACCELERATOR,
    },
    "ticket": "a.b.c",
    "ticketExpiresIn": 900,
    "principal": "arn:aws:iam::000000000000:user/ann",
    "requestId": "r",
}
DESCRIBED = {
    "acceleratorSet": [
        {
            "acceleratorHealth": {"status": "Ok"},
            "acceleratorType": "eia2.large",
            "acceleratorId": ACCELERATOR,
            "availabilityZone": "us-east-1a",
            "attachedResource": "arn:x",
        }
    ],
    "acceleratorDetails": [
        {
            "acceleratorId": ACCELERATOR,
            "ordinal": 0,
            "state": "ready",
            "endpoint": "127.0.0.1:5000",
            "usedMemoryBytes": 5,
            "paced": True,
        }
    ],
}
REFUSED = {
    "message": "no",
    "reason": "BUSY",
    "remedy": "wait",
    "requestId": "r",
    "fields": {"retry_after_ms": "500", "name": "x"},
}


def answer_target(setting: Setting) -> Target:
    """Answers of a control endpoint: to Connect, to DescribeAccelerators, and refusals."""
    key = AccessKey(KEY_ID, setting.secret)
    seeds = [(200, GRANTED), (200, DESCRIBED), (503, REFUSED), (400, REFUSED)]

    def check(value: tuple[int, bytes]) -> None:
        status, data = value

        def answered(*_: object) -> tuple[int, Any]:
            return status, grants._json(data)

        with mock.patch.object(grants, "_exchange", answered):
            if b"Set" in data:
                for one in listing.list_accelerators(ENDPOINT, key):
                    assert isinstance(one.id, str)
                    assert isinstance(one.endpoint, str | None)
                    assert isinstance(one.used_memory_bytes, int | None)
            else:
                grant = grants.request_grant(ENDPOINT, key, None)
                texts = (grant.accelerator_id, grant.accelerator_type, grant.address)
                assert all(isinstance(one, str) for one in (*texts, grant.server_name))
                assert isinstance(grant.ticket, str)
                assert isinstance(grant.renew_at, float)
                assert isinstance(grant.ordinal, int)
                channel.metadata(grant)

    def make(chance: random.Random) -> tuple[int, bytes]:
        status, document = one_of(chance, seeds)
        return status, json_bytes(chance, document)

    return Target(make, check, travels=False)


def attach_target(setting: Setting) -> Target:
    """What `accel attach` reads: the authority's certificate and the first list."""
    pem = b"-----BEGIN CERTIFICATE-----\n" + b"QUJD" * 20 + b"\n-----END CERTIFICATE-----\n"
    digest = hashlib.sha256(b"ABC" * 20).hexdigest()
    key = AccessKey(KEY_ID, setting.secret)
    invitation = Invitation(key, "127.0.0.1:9443", f"sha256:{digest}")

    def check(value: tuple[bytes, bytes]) -> None:
        certificate, data = value

        def answered(*_: object) -> tuple[int, Any]:
            return 200, grants._json(data)

        with mock.patch.object(grants, "_exchange", answered):
            assert isinstance(attaching._try_key(invitation, b""), int | None)
        attaching.check_authority(certificate, invitation)

    def make(chance: random.Random) -> tuple[bytes, bytes]:
        return change_bytes(chance, pem), json_bytes(chance, DESCRIBED)

    return Target(make, check, share=0.3, travels=False)


class _RpcError:
    """As much of grpc's as `channel.typed` looks at."""

    def __init__(self, code: grpc.StatusCode, details: str | None, trailers: Any) -> None:
        self._code, self._details, self._trailers = code, details, trailers

    def __repr__(self) -> str:
        return f"{self._code} {self._details!r} {self._trailers!r}"

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str | None:
        return self._details

    def trailing_metadata(self) -> Any:
        return self._trailers


def trailer_target(setting: Setting) -> Target:
    """Errors of a gRPC call, and what the client makes of them: texts, fields, waiting."""
    limit = LimitError("too much", fields={"name": "x", "limit": "1", "actual": "2"})
    busy = BusyError("no room", fields={"retry_after_ms": "200"})
    seeds = [error_message(one).SerializeToString() for one in (limit, busy, ModelError("bad"))]
    details = ["no", "Handshake failed: CERTIFICATE_VERIFY_FAILED", ""]

    def make(chance: random.Random) -> _RpcError:
        trailers: Any = ((ERROR_METADATA, change_message(chance, one_of(chance, seeds))),)
        if chance.random() < 0.2:
            trailers = one_of(chance, [None, (), ((ERROR_METADATA, "text"),)])
        if chance.random() < 0.3:
            trailers = (*(trailers or ()), (REQUEST_ID_METADATA, change_text(chance, "ab12")))
        code = chance.choice(list(grpc.StatusCode))
        return _RpcError(code, change_text(chance, one_of(chance, details)), trailers)

    def check(error: _RpcError) -> None:
        typed = channel.typed(error)
        check_told(typed, travels=False)
        as_fields(typed)
        ei_errors.add_block(typed, ACCELERATOR)
        str(typed)
        seconds = retrying.wait_after(retrying.Failure(typed, 1, 60.0, reached=True))
        assert seconds is None or seconds >= 0

    return Target(make, check, refuses=False, travels=False)


class _Lane:
    """A lane that answers what it was made with."""

    def __init__(self, messages: Iterable[bytes]) -> None:
        self._messages = iter(messages)

    def send(self, messages: Iterable[bytes]) -> None:
        for _ in messages:
            pass

    def receive(self) -> bytes:
        message = next(self._messages, None)
        if message is None:
            raise ModelError("the stream ended")
        return message

    def close(self) -> None:
        pass


def run_answer_target(setting: Setting) -> Target:
    """The messages that answer a call."""
    far = FarCall(3, bytes(32), {}, None)
    small = DEFAULT_LIMITS.__class__(piece_bytes=40)
    seeds = [
        list(answer(far, ARRAYS, Timing(queue=0.1), True, limits))
        for limits in (DEFAULT_LIMITS, small)
    ]
    seeds.append([refusal(3, LimitError("no", fields={"name": "x"}))])
    call = exchange.Call(bytes(32), {"x": np.zeros(3)})

    def check(messages: list[bytes]) -> None:
        answered = exchange.exchange(cast(Lane, _Lane(messages)), 3, call)
        if isinstance(answered, Exception):
            check_told(answered, messages, travels=False)
            return
        for array in answered.fetches.values():
            array.tobytes()

    return Target(lambda chance: change_stream(chance, one_of(chance, seeds)), check, travels=False)


def upload_answer_target(setting: Setting) -> Target:
    """What an accelerator says it lacks of a bundle."""
    path = setting.folder / "file"
    path.write_bytes(b"content of a file")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    file = BundleFile("a", path.stat().st_size, digest)
    manifest = Manifest("f", (file,), Selection(signature="s"))
    bundle = Bundle(manifest, manifest.graph_id(), {digest: path})
    missing = pb.MissingBlob(sha256=bytes.fromhex(digest), committed_bytes=3)
    seeds = [pb.FindMissingResponse(missing=[missing] * count) for count in (1, 2)]

    def check(data: bytes) -> None:
        answered = [pb.FindMissingResponse.FromString(data), pb.FindMissingResponse()]

        def call(_: object, __: object, name: str, request: Any, ___: object) -> Any:
            if name == "FindMissing":
                return answered.pop(0)
            for one in map(upload_frames.decode, request):
                assert one.offset + len(one.data) <= file.size
            return pb.UploadResponse()

        with mock.patch.object(uploading.channels, "call", call):
            uploading.upload(cast(Any, None), cast(Any, None), bundle)

    def make(chance: random.Random) -> bytes:
        return change_message(chance, one_of(chance, seeds).SerializeToString())

    # gRPC turns a message that cannot be read into an error of its own.
    return Target(make, check, allowed=(DecodeError,), share=0.3)


def listed_target(setting: Setting) -> Target:
    """What `accel smi` reads of an accelerator."""
    graph = pb.GraphStatus(graph_id=bytes(32), memory_bytes=5, runs=3, queue_us=10, compute_us=9)
    listed = pb.ListResponse(
        graphs=[graph, graph], counters=pb.Counters(runs=3), process=pb.ProcessStatus(streams=1)
    )
    capabilities = pb.GetCapabilitiesResponse(accelerator_id=ACCELERATOR, engines=["a", "b"])
    seeds = (listed.SerializeToString(), capabilities.SerializeToString())

    def check(value: tuple[bytes, bytes]) -> None:
        read = pb.ListResponse.FromString(value[0])
        told = pb.GetCapabilitiesResponse.FromString(value[1])
        sample = read_sample(1.0, 0, told, read)
        between(read_sample(0.5, 0, capabilities, listed), sample)

    def make(chance: random.Random) -> tuple[bytes, bytes]:
        return change_message(chance, seeds[0]), change_message(chance, seeds[1])

    return Target(make, check, allowed=(DecodeError,))


def http_target(setting: Setting) -> Target:
    """Raw answers of web servers that have proven nothing."""
    seeds = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.0 404 Not Found\r\n\r\nnothing",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 0\r\n\r\n",
    ]

    def check(raw: bytes) -> None:
        bounded_http._is_whole(bytearray(raw))
        reply = bounded_http._parse("GET", raw)
        assert len(reply.body) <= bounded_http.MAX_BYTES
        assert isinstance(reply.text, str)

    def make(chance: random.Random) -> bytes:
        return change_bytes(chance, one_of(chance, seeds))

    return Target(make, check, allowed=(ExchangeError,))


def metadata_target(setting: Setting) -> Target:
    """Bodies of metadata services, and the endpoints that they name."""
    named = {"elastic-inference-accelerator-id": ACCELERATOR, "endpoint": "https://10.0.0.1:9443"}
    association = {"2018-04-12": {**named, "elastic-inference-accelerator-type": "eia1.medium"}}
    ids = f"{ACCELERATOR}\neia-{'0' * 32}\n"

    def make(chance: random.Random) -> tuple[int, Reply]:
        kind, status = chance.randrange(4), chance.choice((200, 200, 200, 404, 500))
        if kind == 0:
            data = change_text(chance, ids).encode("utf-8", "surrogatepass")
        elif kind == 1:
            data = change_text(chance, "us-east-1a").encode("utf-8", "surrogatepass")
        else:
            data = json_bytes(chance, association if kind == 2 else {"Associations": ["device_1"]})
        return kind, Reply(status, data)

    def check(value: tuple[int, Reply]) -> None:
        kind, reply = value
        if kind == 0:
            instance_metadata.read_ids(reply)
        elif kind == 1:
            instance_metadata.read_region(reply, zone=True)
        elif kind == 3:
            container_metadata.read_names(reply)
        else:
            one = container_metadata.read_association("device\x1b_1", reply)
            attached = container_metadata.combine([one, one])
            control_of(attached.endpoint, "it")

    return Target(make, check, allowed=(ExchangeError,))


def invitation_target(setting: Setting) -> Target:
    """Invitations: what is read is what would be printed, and no message holds a part of one."""
    key = AccessKey(KEY_ID, setting.secret)
    seeds = [
        Invitation(key, "127.0.0.1:9443", f"sha256:{'0' * 64}").to_uri(),
        Invitation(key, "[fe80::1]:9443", f"sha256:{'a' * 64}", "eu-west-1").to_uri(),
    ]

    def check(text: str) -> None:
        invitation = Invitation.from_uri(text)
        assert Invitation.from_uri(invitation.to_uri()) == invitation
        control_of(invitation.control, "it")

    return Target(lambda chance: change_text(chance, one_of(chance, seeds)), check)


def profile_target(setting: Setting) -> Target:
    """Profiles in the home, which another program may have damaged."""
    # No canary in this path: its owner, to whom alone it is shown, needs to know it.
    home = Path(setting.stack.enter_context(_plain_folder()))
    setting.stack.enter_context(mock.patch.dict(os.environ, {"ACCEL_HOME": str(home)}))
    written = {
        "control": "https://127.0.0.1:9443",
        "ca_file": "/x/ca.pem",
        "region": "us-east-1",
        "access_key_id": KEY_ID,
        "secret_access_key": setting.secret,
    }

    def check(data: bytes) -> None:
        (home / profile.DAEMONS_NAME).write_bytes(data)
        status_client._read_json(data)
        with contextlib.suppress(AcceleratorError):
            status_client._read_profile(home / profile.DAEMONS_NAME)
        read = profile.read_profile(profile.DAEMONS_NAME)
        if read is not None and CANARY not in read.control:
            control_of(read.control, "it")  # a secret that stands there is one no longer

    return Target(lambda chance: json_bytes(chance, written), check, share=0.3, travels=False)


def _plain_folder() -> Any:
    import tempfile

    return tempfile.TemporaryDirectory(prefix="profile-")


def address_target(setting: Setting) -> Target:
    """Endpoints as people and metadata write them."""
    seeds = [
        "https://127.0.0.1:9443",
        "localhost:9443",
        "https://[::1]:9443/",
        f"accel://{KEY_ID}:{setting.secret}@h:1?ca=sha256:00",
    ]

    def make(chance: random.Random) -> str:
        place = chance.randrange(len(seeds))
        # Cut within its secret, nobody could tell an invitation from an address.
        return seeds[3] if place == 3 else change_text(chance, seeds[place])

    def check(text: str) -> None:
        control_of(text, "a test")

    return Target(make, check, travels=False)


def document_target(setting: Setting) -> Target:
    """Answers as documents: many more of them are JSON than in the target above."""
    answers = answer_target(setting)

    def make(chance: random.Random) -> tuple[int, bytes]:
        document = one_of(chance, [GRANTED, DESCRIBED, REFUSED])
        status = 503 if document is REFUSED else 200
        return status, json.dumps(change_json(chance, document)).encode()

    return Target(make, answers.check, travels=False)


TARGETS = {
    "client: answers": answer_target,
    "client: answered documents": document_target,
    "client: attaching": attach_target,
    "client: gRPC errors": trailer_target,
    "client: run answers": run_answer_target,
    "client: upload answers": upload_answer_target,
    "client: listed graphs": listed_target,
    "client: raw HTTP": http_target,
    "client: metadata": metadata_target,
    "client: invitations": invitation_target,
    "client: profiles": profile_target,
    "client: addresses": address_target,
}
