"""What an accelerator needs works: the sandbox is not strong because everything is broken."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

from accel_daemon.sandbox import host_paths
from tests.conftest import eventually
from tests.sandbox.conftest import OWN_USER, Probe, Start

_DROP_CACHES = Path("/proc/sys/vm/drop_caches")

WORKS = {
    "read the store": "answer = open(store + '/blob').read() == 'ours'",
    "write to the store": "answer = open(store + '/new', 'w').write('x') == 1",
    "link and rename in the store": (
        "os.makedirs(store + '/a/b'); open(store + '/a/f', 'w').close()\n"
        "os.link(store + '/a/f', store + '/a/b/g'); os.replace(store + '/a/b/g', store + '/h')\n"
        "import shutil; shutil.rmtree(store + '/a'); answer = os.path.exists(store + '/h')"
    ),
    "temporary files": (
        "import tempfile\nwith tempfile.NamedTemporaryFile() as f:\n"
        "    f.write(b'x'); answer = f.name.startswith(scratch)"
    ),
    "home is the scratch folder": "answer = os.path.expanduser('~') == scratch",
    "new files are private": (
        "open(scratch + '/mode', 'w').close()\n"
        "answer = os.stat(scratch + '/mode').st_mode & 0o777 == 0o600"
    ),
    "threads": (
        "import threading\nseen = []\nmany = [threading.Thread(target=seen.append, args=(1,)) "
        "for _ in range(64)]\n[one.start() for one in many]\n[one.join() for one in many]\n"
        "answer = len(seen) == 64"
    ),
    "threads are confined as well": (
        "import threading\nseen = []\ndef work():\n    try:\n        open(canary)\n"
        "    except PermissionError:\n        seen.append(1)\n"
        "one = threading.Thread(target=work)\none.start()\none.join()\nanswer = seen == [1]"
    ),
    "measure itself": "import psutil; answer = psutil.Process().memory_info().rss > 0",
    "measure the host": "import psutil; answer = psutil.virtual_memory().total > 0",
    "count processors": "answer = os.cpu_count() > 0 and len(os.sched_getaffinity(0)) > 0",
    "random numbers": "answer = len(open('/dev/urandom', 'rb').read(8)) == 8",
    "nowhere to write to": "answer = open('/dev/null', 'w').write('x') == 1",
    "nobody else's libraries": "import sqlite3, lzma, ctypes.util; answer = True",
    "TLS": "import ssl; answer = bool(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))",
    "local time": "import time; answer = len(time.tzname) == 2",
    "find localhost": "import socket; answer = bool(socket.getaddrinfo('localhost', 1))",
    "memory that code is written to": (
        "import mmap; answer = len(mmap.mmap(-1, 4096, prot=7)) == 4096"
    ),
    "wake an event loop": "import asyncio; answer = asyncio.run(asyncio.sleep(0, True))",
    "signals to itself": (
        "import signal\nsignal.signal(signal.SIGUSR1, signal.SIG_IGN)\n"
        "os.kill(os.getpid(), signal.SIGUSR1)\nanswer = True"
    ),
}


@pytest.mark.parametrize("what", WORKS)
def test_works(confined: Probe, what: str) -> None:
    """It does what is expected of it."""
    assert confined.run(WORKS[what]) is True


def test_its_own_port_and_then_none(start: Start, free_port: int) -> None:
    """It listens where it was told to; once that is done, nowhere, and still accepts."""
    probe = start(port=free_port)
    probe.names |= {"own": free_port, "other": free_port + 1}
    listen = "import socket; s{0} = socket.create_server(('127.0.0.1', {0}), reuse_port=False)"
    assert probe.refusal(listen.replace("s{0}", "s").replace("{0}", "other")) == "EACCES"
    keep = "import socket, sys; sys.kept = socket.create_server(('127.0.0.1', own))"
    assert probe.refusal(keep) is None
    probe.ask(seal=True)
    assert probe.refusal("import socket; socket.socket()") == "EPERM"
    assert probe.refusal("import sys; sys.kept.listen()") == "EPERM"
    with socket.create_connection(("127.0.0.1", free_port), 5) as client:
        probe.run("import sys; c, _ = sys.kept.accept(); answer = c.send(b'hello')")
        assert client.recv(5) == b"hello"


def test_port_zero_then_none(start: Start) -> None:
    """The system may choose once."""
    probe = start(port=0)
    keep = "import socket, sys; sys.kept = socket.create_server(('127.0.0.1', 0))"
    assert probe.run(f"{keep}; answer = sys.kept.getsockname()[1]") > 0
    probe.ask(seal=True)
    assert probe.refusal(keep) == "EPERM"


def test_sealing_reaches_threads_that_run_already(start: Start) -> None:
    """The engine has started its own by then."""
    probe = start()
    probe.run(
        "import threading, socket, sys\nsys.go = threading.Event()\nsys.seen = []\n"
        "def work():\n    sys.go.wait()\n    try:\n        socket.socket()\n"
        "    except PermissionError:\n        sys.seen.append(1)\n"
        "sys.one = threading.Thread(target=work)\nsys.one.start()"
    )
    probe.ask(seal=True)
    assert probe.run("import sys\nsys.go.set()\nsys.one.join()\nanswer = sys.seen") == [1]


def test_nothing_is_inherited(start: Start, tmp_path: Path) -> None:
    """Neither open files nor variables of whoever started it."""
    secret = tmp_path / "secret"
    secret.write_text("x")
    with secret.open() as file:
        probe = start(pass_fds=(file.fileno(),), environment={"ACCEL_SECRET": "x"})
        probe.names["leaked"] = file.fileno()
        assert probe.refusal("os.fstat(leaked)") == "EBADF"
    assert probe.run("answer = 'ACCEL_SECRET' in os.environ") is False
    held = [path for path in host_paths.KERNEL if path.startswith("/proc/") and Path(path).exists()]
    # Three standard ones, the replies, the one that lists them, and what is held below /proc.
    assert probe.run("answer = len(os.listdir('/proc/self/fd'))") == 5 + len(held)


@pytest.mark.skipif(not os.access(_DROP_CACHES, os.W_OK), reason="only root drops the caches")
def test_what_the_kernel_tells_is_there_under_memory_pressure(confined: Probe) -> None:
    """The kernel forgets its objects for unused files below /proc, and rules are on objects."""
    paths = ("/proc/meminfo", "/proc/cpuinfo", "/proc/stat", "/proc/self/statm")
    confined.names["paths"] = [path for path in paths if Path(path).exists()]
    readable = (
        "answer = [path for path in paths if os.access(path, os.R_OK) and open(path).read(1)]"
    )

    for _ in range(3):
        _DROP_CACHES.write_text("2")
        assert confined.run(readable) == confined.names["paths"]


def test_facts_of_the_process(confined: Probe) -> None:
    """What the kernel itself says about it, from outside."""
    text = Path(f"/proc/{confined.process.pid}/status").read_text()
    facts = dict(line.split(":\t") for line in text.splitlines() if ":\t" in line)
    assert (facts["NoNewPrivs"], facts["Seccomp"], facts["Threads"]) == ("1", "2", "1")
    assert {int(facts[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")} == {0}
    limits = Path(f"/proc/{confined.process.pid}/limits").read_text()
    assert "Max core file size        0                    0 " in limits


def test_it_ends_with_its_supervisor(confined: Probe) -> None:
    """The kernel still sends SIGTERM then, although the user and the privileges changed."""
    asked = "n = ctypes.c_int(); libc.prctl(2, ctypes.byref(n)); answer = n.value"
    assert confined.run(asked) == signal.SIGTERM


def test_it_can_be_ended(start: Start) -> None:
    """Signals come in, though none go out."""
    probe = start()
    probe.process.terminate()
    assert eventually(lambda: probe.process.poll() is not None)
    assert probe.process.returncode == -signal.SIGTERM


@OWN_USER
def test_accelerators_are_users_of_their_own(start: Start) -> None:
    """Not the daemon's, not each other's, and owners of their own folders only."""
    first, second = start(), start(accelerator_id="eia-" + "7c" * 16)
    users = [one.run("answer = os.getresuid() + os.getresgid()") for one in (first, second)]
    assert all(len(set(ids)) == 1 for ids in users)
    assert len({users[0][0], users[1][0], os.getuid()}) == 3
    assert first.first["text"].endswith("own user)")
    for one, ids in zip((first, second), users, strict=True):
        assert one.run("answer = os.getgroups()") == []
        assert Path(one.names["store"]).stat().st_uid == ids[0]
        assert Path(one.names["store"]).parent.stat().st_uid == 0


@OWN_USER
def test_closed_folders_cannot_even_be_seen(start: Start, tmp_path: Path) -> None:
    """Where it has to pass through one to its store, everything else in it is gone."""
    (tmp_path / "secret").write_text("x")
    probe = start()
    probe.names["secret"] = str(tmp_path / "secret")
    assert not tmp_path.parent.stat().st_mode & 0o001
    assert probe.run("answer = os.path.exists(store) and not os.path.exists(secret)") is True
    assert (tmp_path / "secret").exists()
