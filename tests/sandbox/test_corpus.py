"""Every hostile model, with admission switched off: inside the sandbox each of them is harmless.

The same models run once more outside of it, where they read, write and connect: what is looked for
below would be seen if it happened.
"""

from __future__ import annotations

import contextlib
import json
import select
import shutil
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.accel_daemon.engines.hostile_graphs import CORPUS
from tests.conftest import ROOT, patience
from tests.sandbox.conftest import SECRET, Host, Probe, probing

READING = [name for name, one in CORPUS.items() if one.bites == "read"]
WRITING = [name for name, one in CORPUS.items() if one.bites == "write"]
# Those that end or hold their process come last: the next one has to import TensorFlow again.
LAST = ["Abort", "Unstage", "SleepOp", "DebugIdentity to a connection"]
EVERY = [*(name for name in CORPUS if name not in LAST), *LAST]
CONNECTING = ["RegisterDataset"]
SECONDS = 2.0  # for one model to run
# What the secret looks like as text, as numbers of its bytes, and as its first byte alone.
LOOT = (SECRET[:9], ",".join(str(byte) for byte in SECRET[:4].encode()))
ATTACKERS = ("without_admission.py", "hostile_graphs.py", "hostile_ops.py", "graph_builder.py")
CODE = """
import sys
if not hasattr(sys, 'attempt'):
    sys.path.insert(0, store)
    from tests.accel_daemon.engines import without_admission
    sys.attempt = without_admission.attempting()
answer = sys.attempt(name, read, write, address, seconds)
"""


@dataclass
class Doors:
    """Where a model may try to connect to, and nothing may come in."""

    tcp: socket.socket
    local: socket.socket

    @property
    def addresses(self) -> tuple[str, str]:
        """Both, as gRPC takes them."""
        return (
            f"127.0.0.1:{self.tcp.getsockname()[1]}",
            f"unix:{self.local.getsockname()}",
        )

    def visitors(self) -> int:
        """How many connections came in since the last time."""
        count = 0
        for door in (self.tcp, self.local):
            with contextlib.suppress(BlockingIOError):
                while True:
                    door.accept()[0].close()
                    count += 1
        return count


@pytest.fixture(scope="module")
def doors(host: Host) -> Iterator[Doors]:
    """A port and a local socket that everyone may connect to."""
    path = host.folder / "door"
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as local:
        local.bind(str(path))
        path.chmod(0o777)
        local.listen()
        tcp.setblocking(False)
        local.setblocking(False)
        yield Doors(tcp, local)
    path.unlink()


def attempt(
    host: Host, folder: Path, sandbox: str, names: Sequence[str], **target: str
) -> dict[str, str]:
    """What these models answer, in as many processes as they bring down.

    It is an answer's or an error's text; "ended" where the process ended, "hangs" where no answer
    came.
    """
    answers: dict[str, str] = {}
    left = list(names)
    while left:
        _bring_attackers(folder / "store")
        with probing(folder, host.names(), sandbox=sandbox) as probe:
            assert probe.first["text"].split()[0] == sandbox, probe.first
            probe.names |= {**target, "seconds": SECONDS}
            started = False
            while left:
                name = left.pop(0)
                probe.names |= {"name": name, "write": target["write"] + f"-{len(left)}"}
                # The first of a process imports TensorFlow.
                answers[name] = _answer(probe, 8 if started else 60)
                started = True
                if answers[name] in ("ended", "hangs"):
                    break
    return answers


def _bring_attackers(store: Path) -> None:
    """Tests are no library that an accelerator may read: these come with its store."""
    package = store / "tests" / "accel_daemon" / "engines"
    package.mkdir(parents=True, exist_ok=True)
    for name in ATTACKERS:
        shutil.copyfile(ROOT / "tests" / "accel_daemon" / "engines" / name, package / name)


def _answer(probe: Probe, seconds: float) -> str:
    assert probe.process.stdin is not None
    assert probe.process.stdout is not None
    probe.process.stdin.write(json.dumps({"code": CODE, "names": probe.names}).encode() + b"\n")
    probe.process.stdin.flush()
    if not select.select([probe.process.stdout], [], [], patience(seconds))[0]:
        return "hangs"
    line = probe.process.stdout.readline()
    if not line:
        return "ended"
    reply = json.loads(line)
    assert "answer" in reply, reply
    return str(reply["answer"])


def is_loot(answer: str) -> bool:
    """Whether an answer shows anything of the canary: its text, its bytes, its name in a list."""
    if answer.startswith(("b'", '"')) and "canary" in answer:
        return True
    return any(one in answer for one in LOOT) or answer == "b'c'"


def outside(host: Host, own: Path) -> dict[str, bytes]:
    """All files of the host, but for the accelerator's own scratch folder, and what is in them."""
    files = {}
    for path in [*host.folder.rglob("*"), *Path("/").iterdir()]:
        if own not in path.parents or path.is_relative_to(own / "store"):
            files[str(path)] = path.read_bytes() if path.is_file() else b""
    return files


def _goals(host: Host, doors: Doors, number: int = 0) -> dict[str, str]:
    return {
        "read": str(host.canary),
        "write": str(host.open_folder / "written"),
        "address": doors.addresses[number],
    }


def test_inside_every_model_is_harmless(host: Host, doors: Doors) -> None:
    """Nothing of the host is read, nothing is left there, and nobody comes to its doors."""
    own = host.folder / "daemon" / "accelerators" / "eia-corpus"
    _bring_attackers(own / "store")
    (own / "scratch").mkdir()
    before = outside(host, own / "scratch")
    answers = attempt(host, own, "strict", EVERY, **_goals(host, doors))
    assert outside(host, own / "scratch") == before
    assert doors.visitors() == 0
    assert set(answers) == set(CORPUS)
    assert len(answers) >= 150
    assert [name for name, answer in answers.items() if is_loot(answer)] == []
    # They were tried: the process stood for all but few, and the kernel said no.
    assert {name for name in answers if answers[name] in ("ended", "hangs")} <= set(LAST)
    denied = [name for name in READING + WRITING if "Permission denied" in answers[name]]
    assert len(denied) >= 20, answers


def test_inside_other_tenants_and_local_sockets_are_out_of_reach(host: Host, doors: Doors) -> None:
    """Another accelerator's store instead of the canary, a local socket instead of a port."""
    own = host.folder / "daemon" / "accelerators" / "eia-corpus-2"
    goals = _goals(host, doors, 1) | {"read": str(host.neighbour / "blob")}
    answers = attempt(host, own, "strict", [*READING, *CONNECTING], **goals)
    assert [name for name, answer in answers.items() if is_loot(answer)] == []
    assert doors.visitors() == 0


def test_outside_they_read_write_and_connect(host: Host, doors: Doors) -> None:
    """So that the tests above can fail: the same models, the same way, without the sandbox."""
    own = host.folder / "daemon" / "accelerators" / "eia-free"
    try:
        goals = _goals(host, doors)
        answers = attempt(host, own, "off", [*READING, *WRITING, *CONNECTING], **goals)
        written = list(host.open_folder.glob("written*"))
        assert [name for name in READING if not is_loot(answers[name])] == []
        assert len(written) >= len(WRITING)
        assert doors.visitors() > 0
        attempt(host, own, "off", CONNECTING, **_goals(host, doors, 1))
        assert doors.visitors() > 0
    finally:
        for path in host.open_folder.glob("written*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
