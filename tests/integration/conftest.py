"""Models made with the local TensorFlow, and what it says they answer."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest

from accel_daemon.clock import Clock
from accel_daemon.iam.policy_set import PolicySet
from accel_daemon.iam.principals import Principal
from accel_daemon.iam.tickets import TicketSigner
from accel_daemon.launch_order import AuditedDecision, HolderPolicies, LaunchOrder, Notice, Report
from accel_daemon.pki.authority import create_authority, issue_leaf
from accel_daemon.sandbox.enter import default_level
from accel_protocol.lanes import KINDS
from client_runtime import EIPredictor, connect
from client_runtime.discovery.endpoints import Endpoint
from client_runtime.transport import channel as channels
from client_runtime.transport.grants import Grant
from client_runtime.transport.lane_choice import VARIABLE
from tests.conftest import ROOT, environment, patience

KEY_ID = "AKIA" + "T" * 16
# Of a supervisor that started when the clock was a day behind: its processes have to count like it.
CLOCK = Clock(Clock.start().anchor - 86_400)

# Starts a daemon that gives an accelerator to the next principal sooner.
HASTY = Path(__file__).with_name("hasty_daemon.py")
_ENGINELESS = Path(__file__).with_name("engineless_accelerator.py")

tf = pytest.importorskip("tensorflow", reason="integration tests compare with TensorFlow")


def make_model(folder: Path, seed: int, rows: int = 4) -> Path:
    """A TensorFlow 2 SavedModel: y = x·w and z = Σx, with weights of its own."""

    class Model(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            self.w = tf.Variable(tf.random.stateless_normal([rows, 3], [seed, 0]), name="w")

        @tf.function(input_signature=[tf.TensorSpec([None, rows], tf.float32, name="x")])
        def serve(self, x: Any) -> dict[str, Any]:
            return {"y": x @ self.w, "z": tf.reduce_sum(x)}

        @tf.function(input_signature=[tf.TensorSpec(None, tf.string, name="text")])
        def shout(self, text: Any) -> dict[str, Any]:
            return {"loud": tf.strings.upper(text)}

    model = Model()
    tf.saved_model.save(
        model, str(folder), signatures={"serving_default": model.serve, "shout": model.shout}
    )
    return folder


def counting_model(folder: Path) -> Path:
    """A SavedModel that counts to `steps`, one at a time."""

    class Model(tf.Module):  # type: ignore[misc]
        @tf.function(input_signature=[tf.TensorSpec([], tf.int64, name="steps")])
        def serve(self, steps: Any) -> dict[str, Any]:
            start = tf.constant(0, tf.int64)
            (count,) = tf.while_loop(lambda i: i < steps, lambda i: (i + 1,), (start,))
            return {"count": count}

    module = Model()
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.serve})
    return folder


@pytest.fixture(params=KINDS)
def each_lane(request: pytest.FixtureRequest) -> Iterator[str]:
    """The only kind of lane that this test's clients may use."""
    with over(request.param):
        yield str(request.param)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """The kind of lane that this test's streams are on."""
    return str(request.param)


@contextmanager
def over(kind: str) -> Iterator[None]:
    """Clients that are made meanwhile use this kind of lane and no other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, kind)
        yield


def one_per_lane(model: Path) -> list[EIPredictor]:
    """A client of a model on each kind of lane, for tests that are too slow to be repeated."""
    made = []
    for kind in KINDS:
        with over(kind):
            made.append(EIPredictor(model, attachment=connect()))
    return made


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model."""
    return make_model(tmp_path_factory.mktemp("model"), seed=1)


@pytest.fixture
def new_model(tmp_path: Path) -> Callable[[int], Path]:
    """Makes a model that no accelerator has seen before."""
    return lambda seed: make_model(tmp_path / f"model-{seed}", seed)


def local_answer(folder: Path, feeds: dict[str, Any], key: str = "serving_default") -> Any:
    """What TensorFlow itself answers."""
    function = tf.saved_model.load(str(folder)).signatures[key]
    outputs = function(**{name: tf.constant(value) for name, value in feeds.items()})
    return {name: value.numpy() for name, value in outputs.items()}


@dataclass
class LoneAccelerator:
    """An accelerator process whose supervisor is the test, which can sign any ticket for it."""

    process: subprocess.Popen[bytes]
    accelerator_id: str
    port: int
    lane_port: int
    local_lane: str
    ca_file: Path
    signer: TicketSigner
    decisions: list[AuditedDecision] = field(default_factory=list)

    def read_reports(self) -> None:
        """Collect the decisions of its gate; unread ones would fill the pipe, and stop it."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            decision = Report.from_line(line).decision
            if decision is not None:
                self.decisions.append(decision)

    def grant(
        self,
        *,
        ticket: str | None = None,
        accelerator_id: str = "",
        tenancy: int = 1,
        age: float = 0,
        signer: object = None,
        principal: str = "tester",
    ) -> Grant:
        """A grant whose ticket was issued `age` seconds ago, with any fault the test wants."""
        chosen = TicketSigner.generate() if signer else self.signer
        if ticket is None:
            self.tell(Principal(principal, "000000000000"))
            ticket = chosen.issue(
                Principal(principal, "000000000000"),
                accelerator_id or self.accelerator_id,
                KEY_ID,
                tenancy,
                CLOCK.steady() - age,
            )
        name, host = self.accelerator_id, "127.0.0.1"
        address, lane_address = f"{host}:{self.port}", f"{host}:{self.lane_port}"
        return Grant(
            *(name, "host", 0, address, name, ticket),
            lane_address=lane_address,
            local_lane=self.local_lane,
        )

    def tell(self, principal: Principal) -> None:
        """Say that no policy denies this principal anything, as a supervisor does at Connect."""
        holder = HolderPolicies(principal, KEY_ID, 0, PolicySet(), "*")
        assert self.process.stdin is not None
        self.process.stdin.write(Notice("policies", holder=holder).to_line())
        self.process.stdin.flush()

    @property
    def endpoint(self) -> Endpoint:
        """Nowhere, but its authority is right."""
        return Endpoint("https://unused", str(self.ca_file), "us-east-1", "the test")

    def channel(self) -> grpc.Channel:
        """A channel to it."""
        return channels.open_channel(self.endpoint, self.grant())


@pytest.fixture(scope="session")
def engineless(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The options for an accelerator that has all but an engine, and so starts fast."""
    wrapper = tmp_path_factory.mktemp("engineless") / "python"
    wrapper.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{_ENGINELESS}"\n')
    wrapper.chmod(0o755)
    return ("--accelerator", f"host,compile=off,python={wrapper}")


@contextmanager
def alone(folder: Path, *, has_engine: bool = True, **changes: Any) -> Iterator[LoneAccelerator]:
    """An accelerator process without a daemon around it, with changes to its order."""
    accelerator_id = "eia-" + "a" * 32
    now = datetime.now(UTC)
    authority = create_authority(now, "test authority")
    leaf = issue_leaf(authority, name=accelerator_id, ip_addresses=["127.0.0.1"], now=now, days=1)
    (folder / "ca.pem").write_bytes(authority.certificate_pem)
    signer = TicketSigner.generate()
    order = LaunchOrder(
        accelerator_id=accelerator_id,
        accelerator_type="host",
        host="127.0.0.1",
        port=0,
        lane_port=0,
        certificate_pem=leaf.certificate_pem.decode(),
        private_key_pem=leaf.private_key_pem.decode(),
        ticket_public_key_pem=signer.public_key_pem(),
        tenancy=1,
        store=str(folder / "store"),
        scratch=str(folder / "scratch"),
        sandbox=default_level().value,
        clock_anchor=CLOCK.anchor,
    )
    program = "accel_daemon.accelerator" if has_engine else f"tests.integration.{_ENGINELESS.stem}"
    process = subprocess.Popen(
        [sys.executable, "-m", program],
        cwd=ROOT,
        env=environment(folder),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(replace(order, **changes).to_line())
    process.stdin.flush()
    report = Report.from_line(process.stdout.readline())
    assert report.kind == "ready", report.message
    ways = (report.port, report.lane_port, report.local_lane)
    lone = LoneAccelerator(process, accelerator_id, *ways, folder / "ca.pem", signer)
    threading.Thread(target=lone.read_reports, daemon=True).start()
    yield lone
    process.stdin.close()
    assert process.wait(patience(30)) == 0


@pytest.fixture(scope="session")
def lone_accelerator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoneAccelerator]:
    """One accelerator process without a daemon around it."""
    with alone(tmp_path_factory.mktemp("lone")) as lone:
        yield lone
