"""Everything that a run needs: models, certificates, the daemon, and each contestant's process."""

from __future__ import annotations

import contextlib
import importlib.util
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from accel_daemon.pki.authority import create_authority, issue_leaf
from benchmarks import ours
from benchmarks.processes import ROOT, Worker, WorkerError, environment

# By contestant: the process it lives in, and its way of doing it.
CONTESTANTS = {
    "memcpy": ("floors", "memcpy"),
    "tls": ("floors", "tls"),
    "grpc-stream": ("floors", "grpc-stream"),
    "session": ("tensorflow", "session"),
    "prepared": ("tensorflow", "prepared"),
    "function": ("tensorflow", "function"),
    "ours": ("ours", "tls,grpc"),
    "ours-local": ("ours", "local"),
    "grpc-session": ("grpc-session", ""),
    "triton": ("triton", ""),
}


@dataclass(frozen=True)
class Field:
    """What is there to be measured.

    Attributes:
        folder: temporary; has everything that the run makes.
        home: of the daemon and its clients.
        workers: the processes, by name.
    """

    folder: Path
    home: Path
    workers: dict[str, Worker]
    without: dict[str, str]

    @property
    def models(self) -> Path:
        """Where the SavedModels are."""
        return self.folder / "models"

    def tell(self, name: str, do: str, **given: Any) -> Any:
        """Give a contestant an order.

        Raises:
            WorkerError: it is not there, or failed.
        """
        worker, way = CONTESTANTS[name]
        if worker in self.without:
            raise WorkerError(self.without[worker])
        if do in ("calls", "load", "round"):
            given["way"] = way
        try:
            return self.workers[worker].tell(do, **given)
        except WorkerError as error:
            raise WorkerError(re.sub(r"(?<![:\w/])/[\w./-]+", "…", str(error))) from error

    def make_models(self, names: Sequence[str]) -> None:
        """Make models that are not there yet.

        Raises:
            OSError: TensorFlow cannot make them.
        """
        missing = [name for name in names if not (self.models / name).exists()]
        if not missing:
            return
        command = [sys.executable, "-m", "benchmarks.models", str(self.models), *missing]
        done = subprocess.run(
            command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise OSError(f"the models cannot be made: {done.stderr[-500:]}")


@contextlib.contextmanager
def open_field(triton_python: str | None) -> Iterator[Field]:
    """A field with a running daemon; everything is ended and removed at the end.

    Args:
        triton_python: interpreter of an environment with nvidia-pytriton and TensorFlow; by default
            this one, where it has them.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        (folder / "models").mkdir()
        certificates = _certificates(folder / "certificates")
        home = folder / "home"
        stack.enter_context(ours.daemon(home))
        workers = _workers(folder, certificates, home, triton_python or sys.executable)
        for worker in workers.values():
            stack.enter_context(worker)
        without = {}
        if triton_python is None and importlib.util.find_spec("pytriton") is None:
            without["triton"] = "nvidia-pytriton is not installed"
        yield Field(folder, home, workers, without)


def _workers(folder: Path, certificates: Path, home: Path, python: str) -> dict[str, Worker]:
    models, log = {"models": str(folder / "models")}, folder / "workers.log"
    secured = {"certificates": str(certificates)}
    peer = {**models, **secured, "folder": str(folder / "triton")}
    return {
        "floors": Worker("benchmarks.floors:Floors", secured, log),
        "tensorflow": Worker("benchmarks.local_tensorflow:LocalTensorflow", models, log),
        "ours": Worker("benchmarks.ours:Ours", models, log, home),
        "grpc-session": Worker("benchmarks.grpc_session:GrpcSession", models, log),
        "triton": Worker("benchmarks.triton:Triton", peer, log, None, python),
    }


def _certificates(folder: Path) -> Path:
    folder.mkdir(mode=0o700)
    now = datetime.now(UTC)
    authority = create_authority(now, "benchmarks")
    leaf = issue_leaf(authority, name="localhost", ip_addresses=["127.0.0.1"], now=now)
    (folder / "ca.pem").write_bytes(authority.certificate_pem)
    (folder / "server.pem").write_bytes(leaf.certificate_pem)
    (folder / "server.key").write_bytes(leaf.private_key_pem)
    return folder
