"""Hosts that lack a layer: strict does not start and says why, best-effort says what is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.sandbox.conftest import OWN_USER, Probe, Start

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root changes users")


@pytest.mark.parametrize(
    ("flag", "layer", "remedy"),
    [
        ("--landlock=0", "Landlock", "Linux 6.7"),
        ("--landlock=1", "Landlock", "Linux 6.7"),
        ("--landlock=3", "Landlock for TCP", "Linux 6.7"),
        ("--no-seccomp", "seccomp", "CONFIG_SECCOMP_FILTER"),
    ],
)
def test_strict_does_not_start(start: Start, flag: str, layer: str, remedy: str) -> None:
    """It names the layer and the way out."""
    failed = start(flag).first["failed"]
    assert f"cannot be strict: {layer} is not available" in failed
    assert remedy in failed
    assert "--sandbox=best-effort" in failed


@pytest.mark.parametrize("abi", [4, 5, 6, 7])
def test_older_kernels_are_strict_as_well(start: Start, abi: int) -> None:
    """From ABI 4 on; what newer ones add, the filter of system calls refuses too."""
    from accel_daemon.sandbox import landlock

    if landlock.supported_abi() < abi:
        pytest.skip(f"this kernel has Landlock ABI {landlock.supported_abi()}")
    probe = start(f"--landlock={abi}")
    assert probe.first["text"].startswith(f"strict (Landlock {abi}, seccomp")
    _check_closed(probe)


@pytest.mark.parametrize("abi", [2, 3])
def test_best_effort_keeps_files_closed(start: Start, abi: int) -> None:
    """Without Landlock's rules for TCP, the filter refuses to connect."""
    probe = start(f"--landlock={abi}", sandbox="best-effort")
    assert probe.first["text"].startswith(f"best-effort (Landlock {abi}, seccomp")
    assert probe.first["missing"] == ["Landlock for TCP"]
    _check_closed(probe)


def test_landlock_alone(start: Start) -> None:
    """Layers do not lean on each other: files, connections, local sockets and signals."""
    probe = start("--no-seccomp", sandbox="best-effort")
    assert probe.first["missing"] == ["seccomp"]
    assert probe.refusal("open(canary).read()") in ("EACCES", "ENOENT")
    connect = "import socket; socket.create_connection(('127.0.0.1', port), 5)"
    assert probe.refusal(connect) == "EACCES"
    local = "import socket; socket.socket(socket.AF_UNIX).connect('\\0' + abstract)"
    assert probe.refusal(local) == "EPERM"
    assert probe.refusal("os.kill(victim, 0)") == "EPERM"
    assert probe.refusal("os.listdir('/proc')") == "EACCES"
    assert probe.refusal("os.execv('/bin/true', ['true'])") == "EACCES"


def test_seccomp_alone(start: Start) -> None:
    """No program, process, connection or signal, although every file can be opened."""
    probe = start("--landlock=0", sandbox="best-effort")
    assert probe.first["missing"] == ["Landlock"]
    assert probe.refusal("open('/proc/uptime').read()") is None
    for code in (
        "os.execv('/bin/true', ['true'])",
        "os.fork()",
        "os.kill(victim, 0)",
        "import socket; socket.create_connection(('127.0.0.1', port), 5)",
        "import socket; socket.socket(socket.AF_UNIX)",
    ):
        assert probe.refusal(code) == "EPERM", code


def test_off_confines_nothing_and_says_so(start: Start) -> None:
    """It is for finding out whether the sandbox is to blame."""
    probe = start(sandbox="off")
    assert probe.first["text"] == "off"
    assert probe.refusal("open(canary).read()") is None


@ROOT_ONLY
@pytest.mark.parametrize("flag", ["--no-mounts", "--no-setuid"])
def test_root_without_its_powers(start: Start, flag: str) -> None:
    """Where it cannot have a user of its own: still closed, still strict, and said."""
    probe = start(flag)
    assert probe.first["uid"] is None
    assert probe.first["text"].startswith("strict (")
    assert "own user" not in probe.first["text"]
    status = Path(f"/proc/{probe.process.pid}/status").read_text()
    assert "CapEff:\t0000000000000000" in status
    assert probe.refusal("open(store + '/x', 'w').close()") is None
    _check_closed(probe)


@OWN_USER
def test_a_store_comes_back_from_its_own_user(start: Start) -> None:
    """An upgrade or another container may take the power to change users away."""
    start().run("open(store + '/kept', 'w').write('x')")
    probe = start("--no-mounts")
    assert probe.run("answer = open(store + '/kept').read()") == "x"


@OWN_USER
def test_what_was_stored_without_a_sandbox_is_found_with_one(start: Start) -> None:
    """Whoever switches it off for an hour does not lose the store."""
    start().run("open(store + '/first', 'w').close()")
    start(sandbox="off").run("open(store + '/second', 'w').write('x')")
    probe = start()
    assert probe.run("answer = open(store + '/second').read()") == "x"
    assert probe.run("answer = os.stat(store + '/first').st_uid == os.getuid()") is True


@ROOT_ONLY
def test_a_daemon_that_is_not_root(start: Start, tmp_path: Path) -> None:
    """Its accelerators stay its own user, in the same sandbox."""
    python = _public_python()
    folder = Path("/tmp") / f"accel-test-{os.getpid()}"
    folder.mkdir()
    try:
        os.chown(folder, 12345, 12345)
        environment = {"PYTHONPATH": str(ROOT)}
        probe = start(
            python=python,
            user=12345,
            store=str(folder / "store"),
            scratch=str(folder / "scratch"),
            environment=environment,
        )
        assert probe.first["text"] == _own_text(probe)
        assert probe.run("answer = os.getuid()") == 12345
        _check_closed(probe)
    finally:
        shutil.rmtree(folder)


def _own_text(probe: Probe) -> str:
    return str(probe.first["text"]).replace(", own user", "")


def _public_python() -> str:
    """An interpreter and a checkout that another user can read."""
    for python in ("/usr/bin/python3", "/usr/local/bin/python3"):
        code = "import sys; sys.path.insert(0, sys.argv[1]); import accel_daemon.sandbox.enter"
        if not Path(python).exists():
            continue
        command = [python, "-c", f"{code}; assert sys.version_info >= (3, 11)", str(ROOT)]
        if subprocess.run(command, user=12345, capture_output=True, check=False).returncode == 0:
            return python
    pytest.skip("there is no Python 3.11 that a user other than root can use with this checkout")


def _check_closed(probe: Probe) -> None:
    for code in (
        "open(canary).read()",
        "open(open_folder + '/new', 'w')",
        "import socket; socket.create_connection(('127.0.0.1', port), 5)",
        "import socket; socket.socket(socket.AF_UNIX).connect('\\0' + abstract)",
        "os.kill(victim, 0)",
        "os.execv('/bin/true', ['true'])",
        "os.fork()",
        "open(f'/proc/{supervisor}/environ').read()",
    ):
        assert probe.refusal(code) in ("EACCES", "EPERM", "ENOENT"), code
