"""One daemon for tests: in a home of its own, on free ports, gone when it is stopped."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from accel_daemon.control.identity_store import IdentityStore
from accel_daemon.control.status_client import call_daemon
from accel_daemon.faults.fault import parse_fault
from accel_daemon.home import Home
from accel_daemon.iam.policy import parse_policy
from accel_daemon.iam.principals import Key, User, new_access_key
from accel_daemon.testing.environment import client_variables, without_ours
from accel_protocol.errors import ConfigurationError

USER = "tester"
ALLOW_ALL: Mapping[str, object] = MappingProxyType(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "elastic-inference:*", "Resource": "*"}],
    }
)
START_SECONDS = 180.0  # as long as the daemon itself waits for an accelerator
STOP_SECONDS = 30.0  # the daemon lets calls finish, for 12 seconds at most
_POLL_SECONDS = 0.02
_LOG_CHARACTERS = 4000


@dataclass(frozen=True)
class AcceleratorDaemon:
    """A running daemon.

    Attributes:
        home: its ACCEL_HOME; removed when it stops.
        ready: the content of its ready file.
        environment: the variables with which a client in another process finds it, as USER.
        process: the daemon's process.
        injected: the faults that were injected through it and not cleared through it.
    """

    home: Path
    ready: Mapping[str, Any]
    environment: Mapping[str, str] = field(repr=False)
    process: subprocess.Popen[bytes] = field(repr=False)
    injected: set[str] = field(default_factory=set, repr=False)

    @property
    def control(self) -> str:
        """The control endpoint, "https://HOST:PORT"."""
        return str(self.ready["control"])

    @property
    def metadata(self) -> str:
        """Where instance metadata is served, "http://HOST:PORT"."""
        return str(self.ready["metadata"])

    @property
    def ca_file(self) -> Path:
        """The certificate of the authority that clients trust."""
        return Path(self.ready["ca_file"])

    @property
    def accelerator_ids(self) -> tuple[str, ...]:
        """The ids of its accelerators, by ordinal."""
        return tuple(str(one["id"]) for one in self.ready["accelerators"])

    @property
    def log(self) -> str:
        """What the daemon and its accelerators have written so far."""
        return (self.home / "daemon.log").read_text(errors="replace")

    def client_environment(self, variables: Mapping[str, str] | None = None) -> dict[str, str]:
        """A whole environment for a child process that is a client of this daemon.

        Args:
            variables: of the client, as `add_user` gives them; `environment` without them.
        """
        return {**without_ours(os.environ), **(variables or self.environment)}

    def add_user(self, name: str, policy: Mapping[str, object] | None = None) -> dict[str, str]:
        """Add another user, and give its variables; without a policy it may do everything.

        Raises:
            ConfigurationError: the name is taken, or the policy cannot be understood.
        """
        return client_variables(self.ready, *_pair(add_user(self.home, name, policy)))

    @contextlib.contextmanager
    def policy(self, policy: Mapping[str, object] | None) -> Iterator[dict[str, str]]:
        """USER with a fresh key under a policy; gives the variables.

        It is the same principal each time, so it keeps the accelerator, which another principal
        would get only half a minute later. At the end the key is revoked and USER may do
        everything again.

        Raises:
            ConfigurationError: the policy cannot be understood.
        """
        document = checked(policy)
        store, key = IdentityStore(Home(self.home).identities), fresh_key()
        store.update(lambda known: known.with_policies(USER, (document,)).with_key(USER, key))
        try:
            yield client_variables(self.ready, *_pair(key))
        finally:
            store.update(
                lambda known: known.without_key(key.access_key_id).with_policies(USER, (ALLOW_ALL,))
            )

    def inject_fault(self, fault: str | Mapping[str, object], **settings: object) -> InjectedFault:
        """Make the daemon fail on demand; in force when this returns.

        Args:
            fault: "KIND", "KIND:name=value,…" or {"kind": …, …}.
            settings: more of the fault: `inject_fault("drop", probability=0.3, seed=7)`.

        Raises:
            CallError: there is no such fault.
            ConfigurationError: there is no such accelerator.
        """
        given = {"kind": fault} if isinstance(fault, str) and settings else fault
        whole = given if isinstance(given, str) else {**given, **settings}
        document = parse_fault(whole).to_document()
        answer = self._call("POST", "/faults", json.dumps(document).encode())
        fault_id = str(answer["fault"]["id"])
        self.injected.add(fault_id)
        return InjectedFault(self, fault_id)

    def clear_faults(self) -> None:
        """End all faults."""
        self._call("DELETE", "/faults")
        self.injected.clear()

    def faults(self) -> list[dict[str, Any]]:
        """What there is, each with its "id", "fault", "text", "happened" and more."""
        return list(self._call("GET", "/faults")["faults"])

    def _call(self, method: str, path: str, body: bytes = b"") -> Mapping[str, Any]:
        return call_daemon(Home(self.home).client_profile, method, path, body)

    def stop(self) -> int:
        """End it in good order, or by force when that takes too long; the exit status."""
        if self.process.poll() is None:
            self.process.terminate()
        return _wait(self.process)


@dataclass(frozen=True)
class InjectedFault:
    """A fault that was injected. As a context manager it is cleared at the end of the block."""

    daemon: AcceleratorDaemon
    id: str

    @property
    def happened(self) -> int:
        """How often it has struck; the accelerators tell that every half second."""
        counts = [one["happened"] for one in self.daemon.faults() if one["id"] == self.id]
        return int(sum(counts))

    def clear(self) -> None:
        """End it; nothing happens when it is over."""
        self.daemon._call("DELETE", f"/faults/{self.id}")
        self.daemon.injected.discard(self.id)

    def __enter__(self) -> InjectedFault:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()


@contextlib.contextmanager
def running_daemon(
    accelerators: Sequence[str] = ("host",),
    policy: Mapping[str, object] | None = None,
    faults: Sequence[str | Mapping[str, object]] = (),
) -> Iterator[AcceleratorDaemon]:
    """A daemon that accepts requests; it is stopped and its files are removed at the end.

    Args:
        accelerators: the values of `--accelerator`, one each.
        policy: of USER; without it USER may do everything.
        faults: what goes wrong from the beginning; see `AcceleratorDaemon.inject_fault`.

    Raises:
        ConfigurationError: it cannot start, or the policy cannot be understood.
        CallError: there is no such fault.
    """
    document, wanted = checked(policy), [parse_fault(one).to_document() for one in faults]
    with tempfile.TemporaryDirectory(prefix="accel-test-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        key = add_user(home, USER, document)
        process = _start(home, accelerators)
        try:
            ready = _wait_ready(home, process)
            environment = MappingProxyType(client_variables(ready, *_pair(key)))
            daemon = AcceleratorDaemon(home, ready, environment, process)
            for one in wanted:
                daemon.inject_fault(one)
            yield daemon
        finally:
            process.terminate()
            _wait(process)


def add_user(home: Path, name: str, policy: Mapping[str, object] | None) -> Key:
    """Add a user to a home, whether or not a daemon runs in it; gives its key."""
    document, key = checked(policy), fresh_key()
    IdentityStore(Home(home).identities).update(
        lambda known: known.with_user(User(name, (document,), (key,)))
    )
    return key


def checked(policy: Mapping[str, object] | None) -> Mapping[str, object]:
    """A policy document that can be understood; ALLOW_ALL for None."""
    if policy is None:
        return dict(ALLOW_ALL)
    parse_policy(policy)
    return policy


def fresh_key() -> Key:
    """An access key that nobody had before."""
    return new_access_key(datetime.now(UTC).isoformat())


def _pair(key: Key) -> tuple[str, str]:
    return key.access_key_id, key.secret_access_key


def _start(home: Path, accelerators: Sequence[str]) -> subprocess.Popen[bytes]:
    arguments = ["up", "--port", "0", "--allow-faults"]
    arguments += ["--ready-file", str(home / "ready.json")]
    for one in accelerators:
        arguments += ["--accelerator", one]
    with open(home / "daemon.log", "wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "accel_daemon.testing.tethered", str(home), *arguments],
            env=without_ours(os.environ),
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            # The terminal's Ctrl-C is for pytest, which then ends the daemon.
            start_new_session=True,
        )


def _wait_ready(home: Path, process: subprocess.Popen[bytes]) -> dict[str, Any]:
    ready_file, log = home / "ready.json", open(home / "daemon.log", "rb")  # noqa: SIM115
    give_up = time.monotonic() + START_SECONDS
    with log:  # opened first: a daemon that cannot start takes its home along
        while not ready_file.exists():
            if process.poll() is not None or time.monotonic() > give_up:
                said = log.read().decode(errors="replace")[-_LOG_CHARACTERS:]
                raise ConfigurationError(
                    f"The accelerator for tests cannot start. Its daemon said:\n{said}",
                    remedy="Correct what it says; see docs/testing.md.",
                )
            time.sleep(_POLL_SECONDS)
    ready: dict[str, Any] = json.loads(ready_file.read_text())
    return ready


def _wait(process: subprocess.Popen[bytes]) -> int:
    try:
        status = process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()  # its accelerators end when it is gone
        status = process.wait()
    if process.stdin is not None:
        process.stdin.close()
    return status
