"""The far ends of floors and of TensorFlow's session: `python -m benchmarks.servers KIND FOLDER`.

Each prints its port on a line and serves until standard input ends. FOLDER has the certificates.
"""

from __future__ import annotations

import os
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.work import ANSWER_BYTES

HEADER_BYTES = 8
METHOD = "/benchmarks.Floor/Run"
UNBOUNDED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


def receive(connection: ssl.SSLSocket, into: memoryview) -> bool:
    """Fill the buffer; whether the other side sent that much."""
    while len(into):
        count = connection.recv_into(into)
        if not count:
            return False
        into = into[count:]
    return True


def tls(folder: Path) -> int:
    """Length-prefixed payloads over TLS, each answered with `ANSWER_BYTES`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            plain, _ = listener.accept()
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            secure = context.wrap_socket(plain, server_side=True)
            threading.Thread(target=_answer, args=(secure,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return int(listener.getsockname()[1])


def _answer(connection: ssl.SSLSocket) -> None:
    header, kept = memoryview(bytearray(HEADER_BYTES)), bytearray()
    while receive(connection, header):
        size = int.from_bytes(header, "little")
        if size > len(kept):
            kept = bytearray(size)
        if not receive(connection, memoryview(kept)[:size]):
            return
        connection.sendall(bytes(ANSWER_BYTES))


def grpc_stream(folder: Path) -> int:
    """A gRPC stream over TLS; a message of `ANSWER_BYTES` for each empty one received."""
    import grpc

    def run(messages: Iterator[bytes], _: Any) -> Iterator[bytes]:
        for message in messages:
            if not message:
                yield bytes(ANSWER_BYTES)

    handler = grpc.stream_stream_rpc_method_handler(run)
    service, name = METHOD.strip("/").split("/")
    server = grpc.server(ThreadPoolExecutor(64), options=UNBOUNDED)
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler(service, {name: handler})]
    )
    pair = ((folder / "server.key").read_bytes(), (folder / "server.pem").read_bytes())
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    server.start()
    _KEPT.append(server)
    return int(port)


def tensorflow(_: Path) -> int:
    """TensorFlow's own server for sessions over the network."""
    import tensorflow as tf

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    server = tf.distribute.Server({"local": [f"127.0.0.1:{port}"]}, job_name="local", task_index=0)
    _KEPT.append(server)
    return port


_KEPT: list[Any] = []
_KINDS: Mapping[str, Callable[[Path], int]] = {
    "tls": tls,
    "grpc": grpc_stream,
    "tensorflow": tensorflow,
}


def main(kind: str, folder: str) -> None:
    """Serve."""
    answers = os.dup(1)
    os.dup2(2, 1)
    port = _KINDS[kind](Path(folder))
    os.write(answers, f"{port}\n".encode())
    while os.read(0, 4096):
        pass
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
