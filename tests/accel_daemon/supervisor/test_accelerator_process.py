"""One supervised accelerator, with real processes: the stand-in behaves and misbehaves."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from accel_daemon.clock import Clock
from accel_daemon.home import AcceleratorFolders
from accel_daemon.pki.authority import create_authority
from accel_daemon.supervisor import accelerator_process
from accel_daemon.supervisor.accelerator_process import AcceleratorProcess
from accel_daemon.supervisor.accelerator_spec import AcceleratorSpec
from accel_daemon.supervisor.launcher import LocalLauncher
from accel_daemon.supervisor.life_cycle import State
from accel_daemon.supervisor.placement import Placement, Trust
from accel_daemon.supervisor.tenancy import Granted, NeedsRestart, Occupied
from accel_protocol.errors import ConfigurationError

ID = "eia-" + 32 * "a"
A, B = "arn:aws:iam::000000000000:user/a", "arn:aws:iam::000000000000:user/b"


class Bench:
    """One accelerator with its folders, and a clock that a test can move."""

    def __init__(
        self,
        folder: Path,
        tools: Any,
        *flags: str,
        python: str = sys.executable,
        arguments: tuple[str, ...] = (),
    ) -> None:
        self.store = folder / "store"
        self.authority = create_authority(datetime.now(UTC), "CA")
        self.now = 1000.0
        self.tools = tools
        self.accelerator = AcceleratorProcess(
            Placement(
                accelerator_id=ID,
                ordinal=0,
                spec=AcceleratorSpec(python=python),
                folders=AcceleratorFolders(self.store, folder / "scratch"),
                listen_host="127.0.0.1",
                advertised_host="127.0.0.1",
            ),
            Trust(self.authority, "pem", Clock.start(anchor=123.25)),
            LocalLauncher(arguments or (str(tools.stand_in), *flags)),
            clock=lambda: self.now,
        )

    def life(self, event: str) -> list[dict[str, Any]]:
        """What the stand-in noted of one kind."""
        return [one for one in self.tools.read_life(self.store) if one["event"] == event]

    def report(self, counters: str) -> None:
        """Let the stand-in report counters."""
        new = self.store / "new.json"
        new.write_text(counters)
        new.replace(self.store / "counters.json")


Step = Callable[[Bench], Awaitable[None]]


@pytest.fixture
def run(tmp_path: Path, tools: Any) -> Callable[..., list[dict[str, Any]]]:
    """Runs a test's steps on a started accelerator, and always drains it."""

    def run_steps(steps: Step, *flags: str, drain_seconds: float = 5.0) -> list[dict[str, Any]]:
        async def work() -> None:
            bench = Bench(tmp_path, tools, *flags)
            bench.accelerator.start()
            try:
                await steps(bench)
            finally:
                await bench.accelerator.drain(drain_seconds)
            assert bench.accelerator.state is State.STOPPED
            assert bench.accelerator.pid is None

        asyncio.run(asyncio.wait_for(work(), 60))
        return tools.read_life(tmp_path / "store")

    return run_steps


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for something to become true."""
    async with asyncio.timeout(15):
        while not is_so():
            await asyncio.sleep(0.01)


async def until_ready_again(bench: Bench, restarts: int) -> None:
    """Wait for so many restarts in total."""
    one = bench.accelerator
    await until(lambda: one.restarts == restarts and one.state is State.READY)


def test_ready_then_drained(run: Callable[..., Any]) -> None:
    """It becomes ready, and a drain lets it end by itself."""

    async def steps(bench: Bench) -> None:
        await bench.accelerator.wait_ready()
        assert bench.accelerator.state is State.READY
        assert bench.accelerator.pid == bench.life("started")[0]["pid"]
        assert bench.accelerator.sandbox == "strict (stand-in)"

    assert [one["event"] for one in run(steps)] == ["started", "drain"]


def test_process_counts_as_its_supervisor_does(run: Callable[..., Any]) -> None:
    """Both agree on how old a ticket is, whatever the clock shows when the process starts."""

    async def steps(bench: Bench) -> None:
        await bench.accelerator.wait_ready()

    (told,) = [one for one in run(steps) if one["event"] == "started"]
    assert told["clock_anchor"] == 123.25


def test_certificate_names_the_accelerator(run: Callable[..., Any]) -> None:
    """Clients verify by id which accelerator answers, and by address or localhost as well."""

    async def steps(bench: Bench) -> None:
        await bench.accelerator.wait_ready()
        context = ssl.create_default_context(cadata=bench.authority.certificate_pem.decode())
        for name in (ID, "localhost", "127.0.0.1"):
            _, writer = await asyncio.open_connection(
                "127.0.0.1", bench.accelerator.port, ssl=context, server_hostname=name
            )
            writer.close()
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection(
                "127.0.0.1", bench.accelerator.port, ssl=context, server_hostname="eia-other"
            )

    run(steps)


def test_killed_process_comes_back_on_the_same_port(run: Callable[..., Any]) -> None:
    """A crash costs the process, not the endpoint, the tenant or the tenancy."""

    async def steps(bench: Bench) -> None:
        one = bench.accelerator
        await one.wait_ready()
        one.assign(A)
        tenancy, endpoint, pid = one.tenancy, one.endpoint, one.pid
        os.kill(pid, signal.SIGKILL)
        await until_ready_again(bench, 1)
        assert (one.tenancy, one.endpoint) == (tenancy, endpoint)
        assert one.pid != pid

    run(steps)


def test_back_off_grows_and_ends(run: Callable[..., Any]) -> None:
    """A process that crashes at every start is started again more and more rarely."""
    starts: list[float] = []

    async def steps(bench: Bench) -> None:
        await bench.accelerator.wait_ready()
        (bench.store / "crash").touch()
        os.kill(bench.accelerator.pid, signal.SIGKILL)
        loop = asyncio.get_running_loop()
        for count in (2, 3, 4):
            await until(lambda count=count: len(bench.life("started")) == count)
            starts.append(loop.time())
        (bench.store / "crash").unlink()
        await until_ready_again(bench, 4)

    run(steps)
    assert starts[1] - starts[0] >= 0.5
    assert starts[2] - starts[1] >= 1.0


def test_drain_interrupts_back_off(run: Callable[..., Any]) -> None:
    """Nobody waits half a minute for an accelerator that is not even running."""

    async def steps(bench: Bench) -> None:
        await bench.accelerator.wait_ready()
        (bench.store / "crash").touch()
        os.kill(bench.accelerator.pid, signal.SIGKILL)
        await until(lambda: len(bench.life("started")) == 3)
        await until(lambda: bench.accelerator.state is State.BACKING_OFF)

    run(steps)


@pytest.mark.parametrize(
    ("flag", "why"),
    [
        ("--fail", "the engine is missing"),
        ("--crash", r"exit status 3"),
        ("--open", "its sandbox is not strict"),
    ],
)
def test_first_start_that_fails_says_why(run: Callable[..., Any], flag: str, why: str) -> None:
    """The daemon does not start with an accelerator that cannot."""

    async def steps(bench: Bench) -> None:
        with pytest.raises(ConfigurationError, match=why):
            await bench.accelerator.wait_ready()

    run(steps, flag)


def test_interpreter_that_cannot_be_run(tmp_path: Path, tools: Any) -> None:
    """It is an error of the start, not of the supervisor."""

    async def work() -> None:
        bench = Bench(tmp_path, tools, python=str(tmp_path / "nothing"))
        bench.accelerator.start()
        with pytest.raises(ConfigurationError, match="could not be started"):
            await bench.accelerator.wait_ready()
        await bench.accelerator.drain(0)

    asyncio.run(work())


def test_deaf_process_is_killed(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """One that ignores drain and SIGTERM ends all the same."""
    monkeypatch.setattr(accelerator_process, "TERMINATE_SECONDS", 0.2)

    async def steps(bench: Bench) -> None:
        await bench.accelerator.wait_ready()

    run(steps, "--deaf", drain_seconds=0.2)


def test_hanging_start_is_given_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tools: Any
) -> None:
    """A process that never reports is ended and counts as failed."""
    monkeypatch.setattr(accelerator_process, "START_SECONDS", 0.3)

    async def work() -> None:
        sleep = ("-c", "import time; time.sleep(60)")
        bench = Bench(tmp_path, tools, arguments=sleep)
        bench.accelerator.start()
        with pytest.raises(ConfigurationError, match="not ready within"):
            await bench.accelerator.wait_ready()
        await bench.accelerator.drain(0)

    asyncio.run(work())


def test_process_on_another_port_is_not_trusted(run: Callable[..., Any]) -> None:
    """A restarted process cannot send clients to another port."""

    async def steps(bench: Bench) -> None:
        await bench.accelerator.wait_ready()
        port = bench.accelerator.port
        (bench.store / "lie").touch()
        os.kill(bench.accelerator.pid, signal.SIGKILL)
        await until(lambda: len(bench.life("started")) == 3)
        assert bench.accelerator.port == port
        (bench.store / "lie").unlink()
        await until(lambda: bench.accelerator.state is State.READY)

    run(steps)


def test_babble_is_ignored(run: Callable[..., Any]) -> None:
    """Lines that are no reports do not confuse the supervisor."""

    async def steps(bench: Bench) -> None:
        await bench.accelerator.wait_ready()

    run(steps, "--babble")


def test_new_tenant_gets_a_new_process_and_number(run: Callable[..., Any]) -> None:
    """After 30 idle seconds another principal gets it: emptied, on the same port."""

    async def steps(bench: Bench) -> None:
        one = bench.accelerator
        await one.wait_ready()
        port, pid = one.port, one.pid
        assert isinstance(one.assign(A), Granted)
        assert one.assign(B) == Occupied(30.0)
        bench.now += 30
        assert isinstance(one.assign(B), NeedsRestart)
        assert isinstance(one.preview(B), Granted)
        assert one.assign(A) == Occupied(30.0)
        await until_ready_again(bench, 1)
        assert (one.port, one.pid != pid) == (port, True)
        assert [start["tenancy"] for start in bench.life("started")] == [1, 2]

    run(steps)


def test_open_streams_and_activity_keep_the_tenant(run: Callable[..., Any]) -> None:
    """Idle time starts when the last stream has closed, not when the ticket was issued."""

    async def steps(bench: Bench) -> None:
        one = bench.accelerator
        await one.wait_ready()
        one.assign(A)
        bench.report('{"streams": 1, "runs": 1}')
        await until(lambda: one.counters.get("streams") == 1)
        bench.now += 100
        assert isinstance(one.assign(B), Occupied)
        bench.report('{"streams": 0, "runs": 5}')
        await until(lambda: one.counters.get("runs") == 5)
        bench.now += 29
        assert one.assign(B) == Occupied(1.0)
        bench.report('{"streams": 0, "runs": 5, "memory_bytes": 7}')
        await until(lambda: one.counters.get("memory_bytes") == 7)
        bench.now += 1
        assert isinstance(one.assign(B), NeedsRestart)

    run(steps)


def test_revocations_reach_this_process_and_the_next(run: Callable[..., Any]) -> None:
    """A crash must not bring revoked tickets back to life."""

    async def steps(bench: Bench) -> None:
        one = bench.accelerator
        await one.wait_ready()
        await one.revoke(["AKIA1"], [A])
        await until(lambda: len(bench.life("revoke")) == 1)
        os.kill(one.pid, signal.SIGKILL)
        await until(lambda: len(bench.life("revoke")) == 2)
        assert all(one["keys"] == ["AKIA1"] for one in bench.life("revoke"))
        assert all(one["principals"] == [A] for one in bench.life("revoke"))
        await until_ready_again(bench, 1)
        bench.now += 3600
        os.kill(one.pid, signal.SIGKILL)
        await until_ready_again(bench, 2)
        assert len(bench.life("revoke")) == 2

    run(steps)


def test_how_long_until_it_starts_again(run: Callable[..., Any]) -> None:
    """While it waits for its next start, and not otherwise."""
    waits: list[float] = []

    async def steps(bench: Bench) -> None:
        one = bench.accelerator
        await one.wait_ready()
        assert one.starts_in == 0
        (bench.store / "crash").touch()
        os.kill(one.pid, signal.SIGKILL)
        for count in (2, 3):
            await until(lambda count=count: len(bench.life("started")) == count)
            await until(lambda: one.state is State.BACKING_OFF)
            waits.append(one.starts_in)
        bench.now += 0.25
        waits.append(one.starts_in)
        bench.now += 100
        waits.append(one.starts_in)

    run(steps)
    assert waits == [0.5, 1.0, 0.75, 0.0]
