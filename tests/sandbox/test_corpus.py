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
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.accel_daemon.engines.hostile_graphs import CORPUS
from tests.conftest import ROOT, patience
from tests.sandbox.conftest import SECRET, Host, Probe, probing

READING = [name for name, one in CORPUS.items() if one.bites == "read"]
WRITING = [name for name, one in CORPUS.items() if one.bites == "write"]
CONNECTING = [name for name, one in CORPUS.items() if one.bites == "connect"]
# Those that end or hold their process: who comes after them has to import TensorFlow again.
LAST = (
    ("FIFOQueueV2 in a loop without end", "BatchFunction", "DumpTensor", "Abort"),
    *(("Unstage",), ("SleepOp",), *((name,) for name in CONNECTING)),
)
HARMFUL = {name for names in LAST for name in names}
FIRST = tuple(name for name in CORPUS if name not in HARMFUL)
PROCESSES = 3  # at one time, which mostly wait
SECONDS = 2.0  # for one model to run
# What the secret looks like as text, as numbers of its bytes, and as its first byte alone.
LOOT = (SECRET[:9], ",".join(str(byte) for byte in SECRET[:4].encode()))
ATTACKERS = ("without_admission.py", "hostile_graphs.py", "hostile_ops.py", "graph_builder.py")
PREPARE = """
import sys
sys.dont_write_bytecode = True
sys.path.insert(0, store)
from tests.accel_daemon.engines import without_admission
sys.attempt = without_admission.attempting()
"""
CODE = "import sys; answer = sys.attempt(name, read, write, address, seconds)"


@pytest.fixture(scope="module")
def door() -> Iterator[socket.socket]:
    """A port that everyone may connect to, and nobody does."""
    with _door() as listener:
        yield listener


def _door() -> socket.socket:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    return listener


def visitors(door: socket.socket) -> int:
    """How many connections came in since the last time."""
    count = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            door.accept()[0].close()
            count += 1
    return count


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
            probe.run(PREPARE)
            while left:
                name = left.pop(0)
                probe.names |= {"name": name, "write": target["write"] + f"-{len(left)}"}
                answers[name] = _answer(probe)
                if answers[name] in ("ended", "hangs"):
                    break
    return answers


def attempt_apart(
    folders: Sequence[Path], attempts: Sequence[Callable[[Path], dict[str, str]]]
) -> dict[str, str]:
    """What the models of all attempts answer, each attempt in a folder of its own."""
    with ThreadPoolExecutor(PROCESSES) as threads:
        found = list(threads.map(lambda one, folder: one(folder), attempts, folders))
    return {name: answer for one in found for name, answer in one.items()}


def _folders(host: Host, kind: str, count: int) -> list[Path]:
    """The folders of so many accelerators."""
    accelerators = host.folder / "daemon" / "accelerators"
    return [accelerators / f"eia-{kind}-{number}" for number in range(count)]


def _bring_attackers(store: Path) -> None:
    """Tests are no library that an accelerator may read: these come with its store."""
    package = store / "tests" / "accel_daemon" / "engines"
    package.mkdir(parents=True, exist_ok=True)
    for name in ATTACKERS:
        shutil.copyfile(ROOT / "tests" / "accel_daemon" / "engines" / name, package / name)


def _answer(probe: Probe) -> str:
    assert probe.process.stdin is not None
    assert probe.process.stdout is not None
    probe.process.stdin.write(json.dumps({"code": CODE, "names": probe.names}).encode() + b"\n")
    probe.process.stdin.flush()
    if not select.select([probe.process.stdout], [], [], patience(10))[0]:
        return "hangs"
    line = probe.process.stdout.readline()
    if not line:
        return "ended"
    reply = json.loads(line)
    assert "answer" in reply, reply
    return str(reply["answer"])


def is_loot(answer: str) -> bool:
    """Whether an answer shows anything of a file: its text, its bytes, its name in a list."""
    if answer.startswith(("b'", '"')) and ("canary" in answer or "/blob" in answer):
        return True
    return any(one in answer for one in LOOT) or answer == "b'c'"


def outside(host: Host, owns: Sequence[Path]) -> dict[str, bytes]:
    """All files of the host, but for the accelerators' own scratch folders, and what is in them."""
    files = {}
    for path in [*host.folder.rglob("*"), *Path("/").iterdir()]:
        if not any(own / "scratch" in path.parents for own in owns):
            files[str(path)] = path.read_bytes() if path.is_file() else b""
    return files


def _goals(host: Host, door: socket.socket) -> dict[str, str]:
    return {
        "read": str(host.canary),
        "write": str(host.open_folder / "written"),
        "address": f"127.0.0.1:{door.getsockname()[1]}",
    }


def _nothing_but(host: Host, door: socket.socket) -> dict[str, str]:
    """To come to this door, and to write nothing that others could have written."""
    return _goals(host, door) | {"write": str(host.folder / "nothing")}


def test_inside_every_model_is_harmless(host: Host, door: socket.socket) -> None:
    """Nothing of the host is read, nothing is left there, and nobody comes to the door."""
    every, goals = (FIRST, *LAST), _goals(host, door)
    folders = _folders(host, "corpus", len(every))
    for folder in folders:
        _bring_attackers(folder / "store")
        (folder / "scratch").mkdir()
    before = outside(host, folders)
    attempts = [
        lambda folder, names=names: attempt(host, folder, "strict", names, **goals)
        for names in every
    ]
    answers = attempt_apart(folders, attempts)
    assert outside(host, folders) == before
    assert visitors(door) == 0
    assert set(answers) == set(CORPUS)
    assert len(answers) >= 150
    assert [name for name, answer in answers.items() if is_loot(answer)] == []
    # They were tried: the process outlived all but a few, and the kernel refused them.
    assert {name for name in answers if answers[name] in ("ended", "hangs")} <= HARMFUL
    denied = [name for name in READING + WRITING if "Permission denied" in answers[name]]
    assert len(denied) >= 20, answers


def test_inside_other_tenants_are_out_of_reach(host: Host, door: socket.socket) -> None:
    """What reads a file does not read the store of another accelerator."""
    own = host.folder / "daemon" / "accelerators" / "eia-corpus-reading"
    goals = _goals(host, door) | {"read": str(host.neighbour / "blob")}
    answers = attempt(host, own, "strict", READING, **goals)
    assert set(answers) == set(READING)
    assert [name for name, answer in answers.items() if is_loot(answer)] == []


def test_outside_they_read_write_and_connect(host: Host, door: socket.socket) -> None:
    """So that the tests above can fail: the same models, the same way, without the sandbox."""
    goals = _goals(host, door)
    with ExitStack() as stack:
        doors = {name: stack.enter_context(_door()) for name in CONNECTING}
        apart = {name: _nothing_but(host, own) for name, own in doors.items()}
        wanted = [((*READING, *WRITING), goals), *(((name,), one) for name, one in apart.items())]
        attempts = [
            lambda folder, names=names, goals=goals: attempt(host, folder, "off", names, **goals)
            for names, goals in wanted
        ]
        try:
            answers = attempt_apart(_folders(host, "free", len(wanted)), attempts)
            assert [name for name in READING if not is_loot(answers[name])] == []
            assert len(list(host.open_folder.glob("written*"))) >= len(WRITING)
            assert [name for name in CONNECTING if not visitors(doors[name])] == [], answers
        finally:
            for path in host.open_folder.glob("written*"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
