"""The command's side of contestants' processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parent.parent
_OURS = ("ACCEL_", "AWS_", "EI_", "ECS_")


class WorkerError(Exception):
    """A contestant could not do what it was told; the text says why, without paths."""


def environment(home: Path | None = None) -> dict[str, str]:
    """An environment for child processes in which no other accelerator is found."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(_OURS)}
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "PYTHONPATH": str(ROOT)}
    return {**kept, **quiet, **({"ACCEL_HOME": str(home)} if home is not None else {})}


class Worker:
    """A contestant in a process of its own; it starts with the first order.

    Args:
        contestant: "MODULE:CLASS".
        settings: its arguments.
        log: gets what it and its libraries say.
        home: the ACCEL_HOME it works in.
        python: the interpreter, where it needs another environment.
    """

    def __init__(
        self,
        contestant: str,
        settings: Mapping[str, Any],
        log: Path,
        home: Path | None = None,
        python: str = sys.executable,
    ) -> None:
        self._command = [python, "-m", "benchmarks.worker", contestant, json.dumps(settings)]
        self._log, self._home = log, home
        self._process: subprocess.Popen[str] | None = None
        self._broken = ""

    def tell(self, do: str, within: float = 300.0, **given: Any) -> Any:
        """Give an order and wait for its answer.

        Raises:
            WorkerError: it failed, or took longer than `within` seconds, which ends it for good.
        """
        if self._broken:
            raise WorkerError(self._broken)
        process = self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        overdue = threading.Timer(within, process.kill)
        overdue.start()
        try:
            process.stdin.write(json.dumps({"do": do, **given}) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            overdue.cancel()
        if not line:
            self._broken = "its process ended"
            raise WorkerError(self._broken)
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer["answer"]

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    cwd=ROOT,
                    env=environment(self._home),
                )
        return self._process

    def close(self) -> None:
        """End it."""
        if self._process is None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self.close()
