"""Real processes in the sandbox, with a probe in the engine's place.

A kernel without Landlock or seccomp skips these tests, and says so: nothing is proven on it.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from accel_daemon.launch_order import LaunchOrder
from accel_daemon.sandbox import landlock, seccomp
from accel_daemon.supervisor.launcher import child_environment
from tests.conftest import ROOT

PROBE = Path(__file__).with_name("probe.py")
SECRET = "canary-of-the-host"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what this kernel cannot show."""
    abi, filters = landlock.supported_abi(), seccomp.is_supported()
    if abi >= 4 and filters:
        return
    reason = f"this kernel's sandbox is not strict: Landlock ABI {abi}, seccomp {filters}"
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=reason))


def can_change_view() -> bool:
    """Whether this user may have a mount namespace, without which users of their own are few."""
    code = "from accel_daemon.sandbox import kernel; kernel.unshare(0x20000)"
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {code}"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


OWN_USER = pytest.mark.skipif(
    os.geteuid() != 0 or not can_change_view(),
    reason="only root, with all of its powers, can give each accelerator a user",
)


@dataclass
class Host:
    """What is outside of the sandbox and has to stay so.

    Attributes:
        canary: a file with SECRET in it, readable by everyone; also in the folder `open_folder`.
        neighbour: another accelerator's store.
        listener: listens on IPv4; `abstract` and `named` on a local socket each.
        victim: a process of the daemon's user.
    """

    folder: Path
    canary: Path
    open_folder: Path
    neighbour: Path
    listener: socket.socket
    abstract: str
    named: Path
    victim: subprocess.Popen[bytes]

    def names(self) -> dict[str, Any]:
        """The variables of a probe's code."""
        return {
            "canary": str(self.canary),
            "open_folder": str(self.open_folder),
            "neighbour": str(self.neighbour),
            "port": self.listener.getsockname()[1],
            "abstract": self.abstract,
            "named": str(self.named),
            "victim": self.victim.pid,
            "supervisor": os.getpid(),
        }


@pytest.fixture(scope="session")
def host() -> Iterator[Host]:
    """A host with things worth stealing, in folders that everyone may enter."""
    with tempfile.TemporaryDirectory(prefix="accel-test-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with _furnished(folder) as host:
            yield host


@contextlib.contextmanager
def _furnished(folder: Path) -> Iterator[Host]:
    open_folder = folder / "open"
    open_folder.mkdir()
    open_folder.chmod(0o777)
    canary = open_folder / "canary"
    canary.write_text(SECRET)
    canary.chmod(0o666)
    neighbour = folder / "daemon" / "accelerators" / "eia-other" / "store"
    neighbour.mkdir(parents=True)
    (neighbour / "blob").write_text(SECRET)
    neighbour.chmod(0o755)
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        local = stack.enter_context(socket.socket(socket.AF_UNIX))
        abstract = f"accel-test-{os.getpid()}"
        local.bind(f"\0{abstract}")
        local.listen()
        named_socket = stack.enter_context(socket.socket(socket.AF_UNIX))
        named = open_folder / "socket"
        named_socket.bind(str(named))
        named_socket.listen()
        named.chmod(0o777)
        victim = stack.enter_context(subprocess.Popen(["sleep", "3600"]))
        stack.callback(victim.kill)
        yield Host(folder, canary, open_folder, neighbour, listener, abstract, named, victim)


@dataclass
class Probe:
    """A confined process that does what it is told."""

    process: subprocess.Popen[bytes]
    names: dict[str, Any]
    first: dict[str, Any] = field(default_factory=dict)

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request and wait for the reply."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()
        return self.read()

    def read(self) -> dict[str, Any]:
        """The next reply."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the probe ended with {self.process.wait(30)}"
        value: dict[str, Any] = json.loads(line)
        return value

    def run(self, code: str) -> Any:
        """The answer of some code, which must not fail."""
        reply = self.ask(code=code, names=self.names)
        assert "answer" in reply, reply
        return reply["answer"]

    def refusal(self, code: str) -> str | None:
        """The name of the errno that some code fails with; None when it succeeds."""
        reply = self.ask(code=code, names=self.names)
        assert "error" not in reply, reply["error"]
        return reply.get("errno")


Start = Callable[..., Probe]


def order(folder: Path, **changes: Any) -> LaunchOrder:
    """A launch order for a probe in a folder."""
    values = {
        "accelerator_id": "eia-" + "5a" * 16,
        "accelerator_type": "host",
        "host": "127.0.0.1",
        "port": 0,
        "certificate_pem": "",
        "private_key_pem": "",
        "ticket_public_key_pem": "",
        "tenancy": 1,
        "store": str(folder / "store"),
        "scratch": str(folder / "scratch"),
    }
    return LaunchOrder(**{**values, **changes})


@contextlib.contextmanager
def probing(
    folder: Path, names: dict[str, Any], *flags: str, python: str = sys.executable, **options: Any
) -> Iterator[Probe]:
    """A probe, started with the environment that accelerators get."""
    user = options.pop("user", None)
    scratch = folder / "scratch"
    environment = child_environment(os.environ, python, scratch)
    process = subprocess.Popen(
        [python, str(PROBE), *flags],
        env={**environment, **options.pop("environment", {})},
        cwd="/",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        pass_fds=options.pop("pass_fds", ()),
        user=user,
    )
    ordered = order(folder, **options)
    own = {"store": ordered.store, "scratch": ordered.scratch}
    probe = Probe(process, {**names, **own})
    try:
        assert process.stdin is not None
        process.stdin.write(ordered.to_line())
        process.stdin.flush()
        probe.first = probe.read()
        yield probe
    finally:
        process.kill()
        process.wait(30)
        process.stdin.close()
        if process.stdout is not None:
            process.stdout.close()


@pytest.fixture(scope="session")
def confined(host: Host) -> Iterator[Probe]:
    """A probe in the strict sandbox; tests leave it as it was."""
    folder = host.folder / "daemon" / "accelerators" / "eia-own"
    (folder / "store").mkdir(parents=True)
    (folder / "store" / "blob").write_text("ours")
    (folder / "store" / "way-out").symlink_to(host.canary)
    with probing(folder, host.names()) as probe:
        assert probe.first["text"].startswith("strict "), probe.first
        yield probe


@pytest.fixture
def start(host: Host, tmp_path: Path) -> Iterator[Start]:
    """Starts probes of the test's own."""
    with contextlib.ExitStack() as stack:

        def begin(*flags: str, **options: Any) -> Probe:
            folder = tmp_path / f"accelerator-{options.get('accelerator_id', 'own')}"
            folder.mkdir(exist_ok=True)
            return stack.enter_context(probing(folder, host.names(), *flags, **options))

        yield begin
