"""A real daemon and its accelerator stay alive and quiet, whatever arrives at their ports.

A bounded number of inputs, ACCEL_FUZZ_LIVE for each kind; parsers by themselves get far more.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import pytest

from accel_protocol import sigv4
from accel_protocol.methods import METHODS
from accel_protocol.sigv4 import AccessKey, HttpRequest
from accel_protocol.v1 import accelerator_pb2 as pb
from client_runtime.discovery.endpoints import Endpoint
from client_runtime.transport import channel as channels
from client_runtime.transport import grants
from client_runtime.transport.grants import Grant
from tests.conftest import Daemon, patience, start_daemon
from tests.fuzz.mutation import change_bytes, change_message, json_bytes, one_of
from tests.fuzz.oracle import CANARY
from tests.fuzz.targets.access import change_request
from tests.fuzz.targets.control import BODIES
from tests.fuzz.targets.metadata import PATHS
from tests.fuzz.targets.wire import call_messages, change_stream

pytest.importorskip("tensorflow", reason="the accelerator runs it")

INPUTS = int(os.environ.get("ACCEL_FUZZ_LIVE", "3"))
SECONDS = 0.3
HTTP = (
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"POST /connect HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}",
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nA=b\r\n0\r\n\r\n",
)
HTTP2 = (
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\6\4\0\0\0\0\0\0\4\0\0\xff\xff\0\0\1\1\5\0\0\0\1\x82",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0\0\0\5\0\0\0\0\0\1\0\0\0\0\0",
)


@dataclass
class Besieged:
    """The daemon, and everything that it answered."""

    daemon: Daemon
    key: AccessKey
    endpoint: Endpoint
    grant: Grant
    metadata_port: int
    heard: list[bytes] = field(default_factory=list)

    @property
    def control_port(self) -> int:
        """Of the control endpoint."""
        return urlsplit(self.endpoint.control).port or 0

    @property
    def accelerator_port(self) -> int:
        """Of the accelerator's gRPC server."""
        return int(self.grant.address.rpartition(":")[2])

    def send(self, port: int, data: bytes, tls: ssl.SSLContext | None) -> None:
        """Send bytes and hear what comes back within a moment."""
        try:
            with socket.create_connection(("127.0.0.1", port), patience(10)) as plain:
                connection = tls.wrap_socket(plain) if tls else plain
                connection.settimeout(patience(SECONDS))
                connection.sendall(data)
                while piece := connection.recv(65_536):
                    self.heard.append(piece)
        except OSError:
            pass  # cut off, or nothing more to say


@pytest.fixture(scope="module")
def besieged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Besieged]:
    """A daemon of its own, in a home whose path nobody is to hear."""
    home = tmp_path_factory.mktemp(f"{CANARY}-home")
    daemon = start_daemon(home, "--port", "0", "--metadata-port", "0", "--allow-faults")
    profile = json.loads((home / "client.json").read_text())
    key = AccessKey(profile["access_key_id"], profile["secret_access_key"])
    endpoint = Endpoint(profile["control"], profile["ca_file"], "us-east-1", "the test")
    grant = grants.request_grant(endpoint, key, None)
    port = int(daemon.ready["metadata"].rpartition(":")[2])
    yield Besieged(daemon, key, endpoint, grant, port)
    daemon.stop()


@pytest.fixture
def unharmed(besieged: Besieged) -> Iterator[Besieged]:
    """Afterwards the processes are the same, say nothing of tracebacks, and told no canary."""
    log, pid = besieged.daemon.log, besieged.daemon.accelerator_pid()
    before = len(log.read_text(errors="replace"))
    yield besieged
    assert besieged.daemon.process.poll() is None
    assert besieged.daemon.accelerator_pid() == pid
    assert grants.call(besieged.endpoint, besieged.key, "POST", "/describe-accelerators", b"{}")
    with channels.open_channel(besieged.endpoint, besieged.grant) as channel:
        channels.call(channel, besieged.grant, "List", pb.ListRequest(), patience(20))
    written = log.read_text(errors="replace")[before:]
    assert "Traceback" not in written, written[-4000:]
    assert "a defect" not in written
    heard = b"\n".join(besieged.heard)
    assert CANARY.encode() not in heard
    assert b"Traceback" not in heard


def anyone(*protocols: str) -> ssl.SSLContext:
    """TLS with whoever answers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(list(protocols))
    return context


def raw_inputs(name: str, seeds: tuple[bytes, ...], make: Callable[..., bytes]) -> Iterator[bytes]:
    """Inputs drawn from a seed."""
    for number in range(INPUTS):
        chance = random.Random(f"live/{name}/{number}")
        yield make(chance, one_of(chance, seeds))


@pytest.mark.parametrize("name", ["control", "accelerator", "metadata"])
@pytest.mark.parametrize("is_plain", [False, True])
def test_bytes_at_a_port(unharmed: Besieged, name: str, is_plain: bool) -> None:
    """Inside TLS, and where TLS belongs."""
    port = {
        "control": unharmed.control_port,
        "accelerator": unharmed.accelerator_port,
        "metadata": unharmed.metadata_port,
    }[name]
    paths = tuple(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() for path in PATHS)
    seeds = {"control": HTTP, "accelerator": HTTP2, "metadata": paths}[name]
    tls = None if is_plain or name == "metadata" else anyone("h2" if seeds is HTTP2 else "http/1.1")
    for data in raw_inputs(name, seeds, change_bytes):
        unharmed.send(port, data, tls)


def test_signed_requests(unharmed: Besieged) -> None:
    """With a good key: bodies, paths and headers, over TLS and as bytes."""
    tls, host = anyone("http/1.1"), urlsplit(unharmed.endpoint.control).netloc
    routes = ("/connect", "/describe-accelerators", "/describe-accelerator-offerings", "/faults")
    for number in range(INPUTS):
        chance = random.Random(f"live/signed/{number}")
        body = json_bytes(chance, one_of(chance, BODIES))
        headers = (("Host", host), ("Connection", "close"), ("Content-Length", str(len(body))))
        request = HttpRequest("POST", one_of(chance, routes), "", headers, body)
        signed = sigv4.sign(
            request,
            unharmed.key,
            region="us-east-1",
            service="elastic-inference",
            now=datetime.now(UTC),
        )
        request = HttpRequest("POST", request.path, "", (*headers, *signed.items()), body)
        if chance.random() < 0.3:
            request = change_request(chance, request)
        lines = [f"{request.method} {request.path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in request.headers]
        head = "\r\n".join(lines).encode("utf-8", "surrogatepass")
        unharmed.send(unharmed.control_port, head + b"\r\n\r\n" + body, tls)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("has_ticket", [True, False])
def test_messages_of_methods(unharmed: Besieged, name: str, has_ticket: bool) -> None:
    """With a good ticket and without one: messages that are none, and strange ones."""
    ticket = channels.metadata(unharmed.grant) if has_ticket else ()
    seeds: dict[str, list[bytes]] = {
        "Run": call_messages(64),
        "Upload": [_upload(b"one"), _upload(b"two")],
        "FindMissing": [
            pb.FindMissingRequest(blobs=[_upload(b"x", blob=True)]).SerializeToString()
        ],
        "Load": [pb.LoadRequest(manifest=b"{}").SerializeToString()],
    }
    with channels.open_channel(unharmed.endpoint, unharmed.grant) as channel:
        invoke = channel.stream_stream(METHODS[name].path)
        for number in range(max(10, INPUTS // 4)):
            chance = random.Random(f"live/{name}/{number}")
            messages = seeds.get(name, [b"\x08\x01"])
            if METHODS[name].client_streams:
                messages = change_stream(chance, messages)
            else:
                messages = [change_message(chance, messages[0])]
            try:
                answers = invoke(iter(messages), metadata=ticket, timeout=patience(10))
                unharmed.heard += list(answers)
            except grpc.RpcError as error:
                typed: Any = channels.typed(error)
                unharmed.heard.append(str(typed).encode())
                assert has_ticket or typed.reason == "MISSING_TICKET", str(error)


def _upload(data: bytes, *, blob: bool = False) -> Any:
    named = pb.Blob(sha256=hashlib.sha256(data).digest(), size=len(data))
    return named if blob else pb.UploadRequest(blob=named, data=data).SerializeToString()


def test_the_home_holds_a_canary(besieged: Besieged) -> None:
    """Else the tests above would look for nothing."""
    assert CANARY in str(Path(besieged.daemon.home))
