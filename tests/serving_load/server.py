"""A model server as a process of its own, in front of a daemon."""

from __future__ import annotations

import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import environment, eventually, patience


@dataclass
class ModelServer:
    """A running `accel serve`.

    Attributes:
        log: the file its log goes to.
    """

    process: subprocess.Popen[bytes]
    port: int
    rest_port: int
    log: Path

    def url(self, path: str) -> str:
        """Of the REST port."""
        return f"http://127.0.0.1:{self.rest_port}{path}"

    def get(self, path: str) -> bytes | None:
        """What is there; None where nobody listens, or where it is not well."""
        try:
            with urllib.request.urlopen(self.url(path), timeout=patience(30)) as answer:
                return bytes(answer.read())
        except urllib.error.URLError:
            return None


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def model_server(home: Path, log: Path, *flags: str) -> Iterator[ModelServer]:
    """One that is ready; at the end it is killed, if it still runs.

    Args:
        home: the daemon's, whose accelerators it uses.
        log: gets what it logs.
        flags: besides its ports.
    """
    port, rest_port = _free_port(), _free_port()
    ports = f"--port={port}", f"--rest_api_port={rest_port}"
    command = [sys.executable, "-m", "client_runtime.cli.main", "serve", *ports, *flags]
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment(home), stderr=output)
    running = ModelServer(process, port, rest_port, log)
    try:
        eventually(lambda: process.poll() is not None or running.get("/readyz"), 60)
        assert process.poll() is None, log.read_text()
        yield running
    finally:
        process.kill()
        process.wait()
