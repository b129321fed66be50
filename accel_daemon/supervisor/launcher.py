"""Where accelerator processes run, and with what environment.

A launcher starts a process and hands out a narrow view of it: lines in, lines out, an end. The
local one starts a child of this process; one that starts it on another machine fits the same two
protocols.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import site
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil

import accel_daemon
from accel_daemon import flight_record

ACCELERATOR_ARGUMENTS = ("-m", "accel_daemon.accelerator")
MAX_LINE_BYTES = 65_536

# All that a device's libraries need from outside. Nothing else is handed on: the environment of an
# operator holds credentials (AWS_*), settings of ours (ACCEL_*), tokens and proxies.
_HANDED_ON = ("LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "XLA_FLAGS")
_DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"


class RunningProcess(Protocol):
    """One started accelerator process."""

    @property
    def pid(self) -> int:
        """Its process id where it runs."""

    async def send(self, line: bytes) -> None:
        """Give it a line; does nothing when it has ended."""

    async def receive(self) -> bytes:
        """The next line it wrote, at most MAX_LINE_BYTES; b"" when there is nothing more.

        Raises:
            ValueError: the line is too long.
        """

    async def wait(self) -> int:
        """Its exit status, once it has ended."""

    def flight_record(self) -> bytes:
        """What it has written into its flight record, also after its end; b"" for nothing."""

    def is_stopped(self) -> bool:
        """Whether a signal has stopped it from outside, as SIGSTOP does."""

    @property
    def was_killed(self) -> bool:
        """Whether `kill` was called."""

    def terminate(self) -> None:
        """Ask it to end now."""

    def kill(self) -> None:
        """End it."""


class Launcher(Protocol):
    """Starts accelerator processes."""

    async def start(self, python: str, scratch: Path) -> RunningProcess:
        """Start one with an interpreter and a scratch folder, which is emptied first.

        Raises:
            OSError: it could not be started.
        """


@dataclass
class LocalProcess:
    """A child of this process."""

    process: asyncio.subprocess.Process
    scratch: Path
    was_killed: bool = False

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    async def send(self, line: bytes) -> None:
        """Write to its standard input."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(line)
            await self.process.stdin.drain()
        except (BrokenPipeError, ConnectionResetError):
            return  # It has ended, which whoever waits for it learns anyway.

    async def receive(self) -> bytes:
        """Read from its standard output."""
        assert self.process.stdout is not None
        return await self.process.stdout.readline()

    async def wait(self) -> int:
        """Its exit status; the negative signal number when a signal ended it."""
        return await self.process.wait()

    def flight_record(self) -> bytes:
        """From the file in its scratch folder."""
        return flight_record.read_file(self.scratch / flight_record.FILE_NAME)

    def is_stopped(self) -> bool:
        """As the system says."""
        try:
            return bool(psutil.Process(self.process.pid).status() == psutil.STATUS_STOPPED)
        except psutil.Error:
            return False

    def terminate(self) -> None:
        """Send SIGTERM, to this process only."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL, to this process only."""
        self.was_killed = True
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        """Send a signal, without asking for the exit status as asyncio's own methods do.

        Theirs can take the status of a process that has just ended away from who waits for it,
        who is then told 255.
        """
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, number)


@dataclass(frozen=True)
class LocalLauncher:
    """Starts accelerators on this machine; `arguments` follow the interpreter."""

    arguments: tuple[str, ...] = ACCELERATOR_ARGUMENTS

    async def start(self, python: str, scratch: Path) -> RunningProcess:
        """Start a child in a session of its own, so that the terminal's Ctrl-C is ours alone."""
        await asyncio.to_thread(_empty_folder, scratch)
        process = await asyncio.create_subprocess_exec(
            python,
            *self.arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=None,
            cwd="/",
            env=child_environment(os.environ, python, scratch),
            start_new_session=True,
            close_fds=True,
            limit=MAX_LINE_BYTES,
        )
        return LocalProcess(process, scratch)


def child_environment(environment: Mapping[str, str], python: str, scratch: Path) -> dict[str, str]:
    """The whole environment of an accelerator process."""
    built = {
        "PATH": environment.get("PATH", _DEFAULT_PATH),
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
        "LANG": "C.UTF-8",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        # HOME and the working folder must never be places that Python imports from: a tenant
        # could leave code there for the next one.
        "PYTHONNOUSERSITE": "1",
        "PYTHONSAFEPATH": "1",
    }
    built.update({name: environment[name] for name in _HANDED_ON if name in environment})
    paths = import_paths(python)
    if paths:
        built["PYTHONPATH"] = os.pathsep.join(paths)
    return built


def import_paths(python: str) -> list[str]:
    """Folders that an accelerator must be told to import from; none in an ordinary installation.

    Namely the checkout when this package runs from one, and the user's own site-packages when
    this interpreter uses them, since an accelerator has another HOME.
    """
    checkout = str(Path(accel_daemon.__file__).parents[1])
    site_folders = [os.path.realpath(folder) for folder in site.getsitepackages()]
    user_site = site.getusersitepackages()
    paths = []
    if os.path.realpath(checkout) not in site_folders and checkout != user_site:
        paths.append(checkout)
    if site.ENABLE_USER_SITE and python == sys.executable and user_site in sys.path:
        paths.append(user_site)
    return paths


def _empty_folder(folder: Path) -> None:
    """What one tenant's process left behind must not be found by the next one's."""
    for parent, names, _ in os.walk(folder):
        for name in names:
            inner = os.path.join(parent, name)
            if not os.path.islink(inner):
                os.chmod(
                    inner, 0o700
                )  # else a locked folder would keep the next start from working
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(mode=0o700, parents=True)
