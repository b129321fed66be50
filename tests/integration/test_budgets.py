"""What a call may cost, in counts."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from client_runtime import EIPredictor, connect
from client_runtime.transport.lane_choice import VARIABLE
from tests.conftest import Daemon, environment, patience
from tests.integration.conftest import make_model

FEEDS = {"x": np.ones((1, 4), np.float32)}


@pytest.mark.usefixtures("each_lane")
def test_one_message_each_way_per_warm_inference(daemon: Daemon, home: Path, model: Path) -> None:
    """A warm inference is one message each way: no other call, no new ticket."""
    with connect() as observer, EIPredictor(model) as predictor:
        predictor(FEEDS)
        before, tickets = observer.list().counters, tickets_issued(daemon)
        for _ in range(25):
            predictor(FEEDS)
        after = observer.list().counters

    assert after.run_messages_in - before.run_messages_in == 25
    assert after.run_messages_out - before.run_messages_out == 25
    assert after.other_calls - before.other_calls == 1  # the observer's own
    assert tickets_issued(daemon) == tickets


def tickets_issued(daemon: Daemon) -> int:
    """How often anyone connected so far."""
    return (daemon.home / "daemon" / "audit.log").read_text().count("A ticket was issued")


@pytest.mark.usefixtures("each_lane")
def test_fresh_process_with_the_model_there_makes_two_calls(
    daemon: Daemon, home: Path, model: Path
) -> None:
    """When the accelerator has the model, the first inference is one Connect and one Run."""
    EIPredictor(model)(FEEDS)
    with connect() as observer:
        before, tickets = observer.list().counters, tickets_issued(daemon)
        with EIPredictor(model) as predictor:
            predictor(FEEDS)
        after = observer.list().counters

    assert after.run_messages_in - before.run_messages_in == 1
    assert after.other_calls - before.other_calls == 1  # the observer's own
    assert tickets_issued(daemon) - tickets == 1


def test_first_result_takes_two_round_trips(
    home: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside TLS's own, when the model is there: Connect, and the lane's opening with the call."""
    EIPredictor(model)(FEEDS)
    monkeypatch.setenv(VARIABLE, "tls")  # and so nothing over gRPC, whose sockets are not ours
    events = record_sockets(monkeypatch)
    with EIPredictor(model) as predictor:
        predictor(FEEDS)
    turns = [one for one, before in zip(events, ["", *events], strict=False) if one != before]

    assert turns == ["send", "receive"] * 2


def record_sockets(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is sent and received through TLS from now on, handshakes left out."""
    events: list[str] = []

    def record(name: str, event: str) -> None:
        method = getattr(ssl.SSLSocket, name)

        def recorded(*arguments: Any, **named: Any) -> Any:
            events.append(event)
            return method(*arguments, **named)

        monkeypatch.setattr(ssl.SSLSocket, name, recorded)

    record("sendall", "send")
    record("recv_into", "receive")
    return events


def test_how_often_the_bytes_of_a_model_are_read_and_written(
    daemon: Daemon, home: Path, model: Path, tmp_path: Path
) -> None:
    """Read for its digest and for sending; written as it arrives, and read once, to be loaded."""
    with EIPredictor(model) as predictor:
        predictor(FEEDS)  # so that everything is imported
    large = make_model(tmp_path / "large", seed=int.from_bytes(os.urandom(3)), rows=1_000_000)
    size = sum(path.stat().st_size for path in large.rglob("*") if path.is_file())
    processes = [os.getpid(), daemon.accelerator_pid()]
    before = [read_and_written(pid) for pid in processes]
    with EIPredictor(large) as predictor:
        predictor({"x": np.ones((1, 1_000_000), np.float32)})
    after = [read_and_written(pid) for pid in processes]
    here, there = (np.subtract(b, a) / size for a, b in zip(before, after, strict=True))

    assert size > 8_000_000
    assert here[0] < 2.3
    assert there[0] < 1.3
    assert there[1] < 1.3


def read_and_written(pid: int) -> tuple[int, int]:
    """Bytes that a process has read from and written to files; what sockets carry is not in it."""
    lines = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    return int(lines["rchar"]), int(lines["wchar"])


def test_supervisor_never_imports_tensorflow(daemon: Daemon) -> None:
    """The process that holds the secrets has no engine in it."""
    maps = Path(f"/proc/{daemon.process.pid}/maps").read_text()

    assert "python" in maps
    assert "tensorflow" not in maps


def test_accelerator_has_an_empty_environment(daemon: Daemon) -> None:
    """Nothing of the daemon's environment reaches an accelerator but what it needs."""
    pid = daemon.accelerator_pid()
    names = {
        entry.split(b"=")[0].decode()
        for entry in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        if entry
    }

    assert not {name for name in names if name.startswith(("AWS_", "ACCEL_", "SSH_"))}
    assert names <= {
        "PATH", "HOME", "TMPDIR", "LANG", "PYTHONPATH", "PYTHONSAFEPATH", "PYTHONNOUSERSITE",
        "TF_CPP_MIN_LOG_LEVEL",
        "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "XLA_FLAGS",
    }  # fmt: skip


def test_client_never_imports_tensorflow(daemon: Daemon, model: Path) -> None:
    """A whole inference loads no TensorFlow in the client, though it is installed here."""
    script = (
        "import sys, numpy as np\n"
        "from client_runtime import EIPredictor\n"
        "EIPredictor(sys.argv[1])({'x': np.ones((1, 4), 'f4')})\n"
        "sys.exit(any(name.split('.')[0] == 'tensorflow' for name in sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(model)],
        env=environment(daemon.home),
        timeout=patience(120),
    )

    assert done.returncode == 0
