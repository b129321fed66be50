"""This project: a daemon as its users start it, with TLS and tickets, and `EIPredictor`."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.processes import ROOT, environment
from benchmarks.work import WORKS
from benchmarks.worker import Caller

_START_SECONDS = 180.0
VARIABLE = "ACCEL_LANES"
LANES = "tls,grpc"


@contextlib.contextmanager
def daemon(home: Path) -> Iterator[None]:
    """`accel-daemon up` in this home, on free ports.

    Raises:
        OSError: it did not become ready.
    """
    home.mkdir(mode=0o700)
    ready, log = home / "ready.json", home / "daemon.log"
    command = [
        sys.executable,
        "-m",
        "accel_daemon",
        "up",
        "--port",
        "0",
        "--ready-file",
        str(ready),
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment(home), cwd=ROOT, stdout=output, stderr=output
        )
    try:
        give_up = time.monotonic() + _START_SECONDS
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > give_up:
                raise OSError(f"the daemon did not start: {log.read_text()[-500:]}")
            time.sleep(0.05)
        json.loads(ready.read_text())
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Ours:
    """A client of the daemon whose home this process has.

    Args:
        models: folder of the SavedModels.
    """

    def __init__(self, models: str) -> None:
        from client_runtime import EIPredictor

        os.environ[VARIABLE] = LANES
        self._open, self._models = EIPredictor, Path(models)
        self._predictors: dict[tuple[str, str], Any] = {}
        self._attachments: dict[str, Any] = {}

    def _predictor(self, work: str, lanes: str) -> Any:
        """A predictor that has had an answer over these lanes, which stay its own."""
        key = (WORKS[work].model, lanes)
        if key not in self._predictors:
            os.environ[VARIABLE] = lanes
            shared = self._shared(lanes) if work.startswith("small-") else None
            path = self._models / WORKS[work].model
            self._predictors[key] = self._open(path, attachment=shared)
            self._predictors[key]({"x": WORKS[work].feed()})
        return self._predictors[key]

    def _shared(self, lanes: str) -> Any:
        """The connection of a program with many models, which it opens once."""
        from client_runtime import connect

        if lanes not in self._attachments:
            self._attachments[lanes] = connect()
        return self._attachments[lanes]

    def caller(self, work: str, way: str) -> Caller:
        """See `worker.Contestant`; the way names the lanes that may be taken."""
        predictor, feeds = self._predictor(work, way), {"x": WORKS[work].feed()}
        return lambda: predictor(feeds)

    def do_split(self, work: str, count: int) -> dict[str, list[float]]:
        """Where the seconds of so many calls went, by part of `CallTiming`."""
        predictor, feeds = self._predictor(work, LANES), {"x": WORKS[work].feed()}
        parts: dict[str, list[float]] = {}
        for _ in range(count):
            predictor(feeds)
            timing = predictor.last_timing
            for part in ("total", "serialize", "wire", "queue", "compute", "parse"):
                parts.setdefault(part, []).append(getattr(timing, part))
        return parts

    def do_first_call(self, model: str, work: str) -> float:
        """Seconds until the first answer of a model given by its folder: connecting is included."""
        feeds = {"x": WORKS[work].feed()}
        started = time.perf_counter()
        with self._open(model) as predictor:
            predictor(feeds)
            return time.perf_counter() - started

    def do_count(self, work: str, calls: int) -> dict[str, float]:
        """What a warm call costs, in counts; see `counting`."""
        from benchmarks.counting import count

        return count(self.caller(work, LANES), calls, WORKS[work].size).as_document()

    def do_memory(self, work: str, cycles: int) -> list[int]:
        """The accelerator's resident bytes after each load, call and unload of a model."""
        from accel_protocol.v1 import accelerator_pb2 as pb
        from client_runtime import connect
        from client_runtime.models.model import open_model
        from client_runtime.models.selection import Choice

        path = self._models / WORKS[work].model
        bundle = open_model(path, Choice(None, None, None, None, None)).bundle()
        feeds, resident = {"x": WORKS[work].feed()}, []
        with connect() as attachment, self._open(path, attachment=attachment) as predictor:
            for _ in range(cycles):
                attachment.prepare(bundle)
                predictor(feeds)
                attachment._call("Unload", pb.UnloadRequest(graph_id=bundle.graph_id))
                resident.append(int(attachment.list().process.memory_bytes))
        return resident
