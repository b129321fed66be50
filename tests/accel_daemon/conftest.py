"""What tests of the daemon share: a stand-in accelerator, and a daemon that runs with it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import secrets
import signal
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import urllib3

import accel_daemon
from accel_daemon.__main__ import main
from accel_protocol.sigv4 import AccessKey, HttpRequest, sign

STAND_IN = Path(__file__).parent / "supervisor" / "stand_in_accelerator.py"
CHECKOUT = Path(accel_daemon.__file__).parents[1]


@dataclass
class RunningDaemon:
    """An `accel-daemon up` in a process of its own."""

    home: Path
    process: subprocess.Popen[str]
    ready_file: Path
    errors: Path
    keys: dict[str, AccessKey] = field(default_factory=dict)

    @property
    def ready(self) -> dict[str, Any]:
        """What the ready file says."""
        return json.loads(self.ready_file.read_text())

    def store(self, ordinal: int = 0) -> Path:
        """An accelerator's store."""
        accelerator_id = self.ready["accelerators"][ordinal]["id"]
        return self.home / "daemon" / "accelerators" / accelerator_id / "store"

    def tls(self) -> ssl.SSLContext:
        """A context that trusts this daemon only."""
        return ssl.create_default_context(cafile=self.ready["ca_file"])

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        key: AccessKey | None = None,
        now: datetime | None = None,
        service: str = "elastic-inference",
    ) -> urllib3.BaseHTTPResponse:
        """Call the control endpoint; signed when a key is given."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode() if body else b""
        url = self.ready["control"]
        path_only, _, query = path.partition("?")
        headers = {"Host": urlsplit(url).netloc, "X-Accel-Nonce": secrets.token_hex(16)}
        if key is not None:
            request = HttpRequest(method, path_only, query, tuple(headers.items()), data)
            headers.update(
                sign(
                    request,
                    key,
                    region="us-east-1",
                    service=service,
                    now=now or datetime.now(UTC),
                )
            )
        with urllib3.PoolManager(ssl_context=self.tls(), retries=False, timeout=10) as pool:
            return pool.request(method, url + path, body=data, headers=headers)

    def stop(self) -> int:
        """SIGTERM, and the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)


def run_cli(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `accel-daemon` to its end: all of it in this process, which spares its many imports.

    A daemon is a process of its own.
    """
    if "up" in arguments[:1]:
        return run_program(home, *arguments)
    output, errors = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(errors),
    ):
        for name in set(os.environ) - set(_environment(home)):
            patch.delenv(name)
        patch.setenv("ACCEL_HOME", str(home))
        patch.setattr(sys, "argv", ["accel-daemon", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
    status = int(ended.value.code or 0)
    return subprocess.CompletedProcess(arguments, status, output.getvalue(), errors.getvalue())


def run_program(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `accel-daemon` to its end, as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "accel_daemon", *arguments],
        env=_environment(home),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def add_user(home: Path, name: str, *statements: Mapping[str, object]) -> AccessKey:
    """Add a user with these policy statements, through the command line."""
    policy = home / f"{name}.policy.json"
    policy.write_text(json.dumps({"Version": "2012-10-17", "Statement": list(statements)}))
    done = run_cli(home, "user", "add", name, "--policy", str(policy))
    assert done.returncode == 0, done.stderr
    printed = dict(line.split(": ") for line in done.stdout.splitlines())
    return AccessKey(printed["access_key_id"], printed["secret_access_key"])


def wait_until(is_so: Callable[[], bool], seconds: float = 15.0) -> None:
    """Wait for something to become true, or fail."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def read_life(store: Path) -> list[dict[str, Any]]:
    """What a stand-in accelerator noted."""
    try:
        return [json.loads(line) for line in (store / "life.jsonl").read_text().splitlines()]
    except FileNotFoundError:
        return []


def write_interpreter(path: Path, *flags: str) -> Path:
    """An "interpreter" for `python=PATH` that runs the stand-in instead of what it is told."""
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{STAND_IN}" {" ".join(flags)}\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@contextlib.contextmanager
def running_daemon(home: Path, *arguments: str) -> Iterator[RunningDaemon]:
    """A daemon that is ready, and is ended at the end."""
    home.mkdir(mode=0o700, exist_ok=True)
    errors, ready_file = home / "stderr", home / "ready.json"
    ready_file.unlink(missing_ok=True)
    with open(errors, "w") as stream:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "accel_daemon", "up", "--port", "0"),
                *("--ready-file", str(ready_file), *arguments),
            ],
            env=_environment(home),
            stderr=stream,
            text=True,
        )
    daemon = RunningDaemon(home, process, ready_file, errors)
    try:
        wait_until(lambda: ready_file.exists() or process.poll() is not None, 60)
        assert process.poll() is None, errors.read_text()
        yield daemon
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(timeout=30)


def _environment(home: Path) -> dict[str, str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("ACCEL_")}
    return {**inherited, "ACCEL_HOME": str(home), "PYTHONPATH": str(CHECKOUT)}


@dataclass(frozen=True)
class Tools:
    """The functions above: with importlib's import mode, tests cannot import this file."""

    run_cli: Callable[..., subprocess.CompletedProcess[str]] = run_cli
    run_program: Callable[..., subprocess.CompletedProcess[str]] = run_program
    add_user: Callable[..., AccessKey] = add_user
    wait_until: Callable[..., None] = wait_until
    read_life: Callable[[Path], list[dict[str, Any]]] = read_life
    write_interpreter: Callable[..., Path] = write_interpreter
    running_daemon: Callable[..., contextlib.AbstractContextManager[RunningDaemon]] = running_daemon
    stand_in: Path = STAND_IN


@pytest.fixture(scope="session")
def tools() -> Tools:
    """What tests of the daemon work with."""
    return Tools()


@pytest.fixture(scope="session")
def interpreter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An "interpreter" whose accelerator behaves well."""
    return write_interpreter(tmp_path_factory.mktemp("interpreter") / "python")
