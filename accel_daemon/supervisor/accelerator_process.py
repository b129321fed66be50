"""One supervised accelerator: its process is started, watched, started again and ended here.

Decisions come from `life_cycle` and `tenancy`. The port stays the same over restarts, so endpoints
that clients know stay valid; certificate and key are new at every start.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping

from accel_daemon.faults.board import FaultBoard, Place
from accel_daemon.home import make_private_folder
from accel_daemon.launch_order import AuditedDecision, HolderPolicies, LaunchOrder, Notice, Report
from accel_daemon.pki.authority import Leaf
from accel_daemon.sandbox.levels import Level, level_in
from accel_daemon.supervisor import life_cycle, tenancy
from accel_daemon.supervisor.accelerator_leaf import is_due, issue_accelerator_leaf
from accel_daemon.supervisor.addresses import endpoint
from accel_daemon.supervisor.lasting_ports import lasting_port
from accel_daemon.supervisor.launcher import Launcher, RunningProcess
from accel_daemon.supervisor.life_cycle import Event, State
from accel_daemon.supervisor.live_revocations import LiveRevocations
from accel_daemon.supervisor.placement import Placement, Trust
from accel_daemon.supervisor.process_reports import printable, read_report
from accel_daemon.supervisor.strikes import Strikes
from accel_daemon.supervisor.tenancy import Assignment, Granted, NeedsRestart, Tenancy
from accel_daemon.supervisor.ticket_holders import TicketHolders
from accel_daemon.supervisor.watch import Watch
from accel_daemon.supervisor.watchdog import Hang
from accel_protocol.errors import ConfigurationError

LOG = logging.getLogger("accel.supervisor")

START_SECONDS = 180.0  # importing an engine on a busy machine takes a minute at worst
TERMINATE_SECONDS = 5.0
SEND_SECONDS = 5.0
# For a process to take over which faults hold; one that is busy does so a little later.
FAULTS_SECONDS = 2.0
# Change without the tenant doing anything, or with its only looking: whoever watches an accelerator
# does not keep it from others.
_IDLE_COUNTERS = frozenset({"memory_bytes", "other_calls", "faults_version"})


class AcceleratorProcess:
    """One accelerator of this daemon. Use it from one event loop only.

    Attributes:
        placement: which one it is.
        state: where its process is in its life.
        tenancy: who has it.
        counters: the latest that the running process reported.
        restarts: how often its process was started again.
        port: where it listens; 0 until it was ready for the first time.
        lane_port: where its lanes do; 0 while it has none.
        local_lane: the name of its lanes on this host; "" while it has none.
        pid: of the running process, else None.
        sandbox: what confines the running process, as it says itself; "" while none is ready.
        holders: who holds its tickets.
        strikes: which graphs have brought its process down.
        on_decision: takes what the process's gate decided.
    """

    def __init__(
        self,
        placement: Placement,
        trust: Trust,
        launcher: Launcher,
        clock: Callable[[], float] = time.monotonic,
        faults: FaultBoard | None = None,
    ) -> None:
        self.placement = placement
        self.state = State.STARTING
        self.tenancy = Tenancy()
        self.counters: dict[str, int] = {}
        self.sandbox = ""
        self.restarts = 0
        self.port = placement.port
        self.lane_port, self.local_lane = 0, ""
        self.holders = TicketHolders()
        self.strikes = Strikes()
        self.on_decision: Callable[[AuditedDecision], None] = lambda decision: None
        self._trust = trust
        self._launcher = launcher
        self._clock = clock
        self._faults = faults
        self._reported = asyncio.Event()
        self._process: RunningProcess | None = None
        self._failures = 0
        self._failure = ""
        self._ready_at: float | None = None
        self._last_active = clock()
        self._leaf_issued = trust.clock.readings()
        self._revoked = LiveRevocations()
        self._starts_at = 0.0
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._life: asyncio.Task[None] | None = None
        self._first_outcome: asyncio.Future[None] | None = None

    @property
    def id(self) -> str:
        """The accelerator's id."""
        return self.placement.accelerator_id

    @property
    def place(self) -> Place:
        """What faults know it by."""
        return Place(self.id, self.placement.ordinal)

    @property
    def is_healthy(self) -> bool:
        """Whether it is ready, and no fault on demand says otherwise."""
        is_ill = self._faults is not None and self._faults.is_unhealthy(self.place)
        return self.state is State.READY and not is_ill

    @property
    def pid(self) -> int | None:
        """The running process's id."""
        return None if self._process is None else self._process.pid

    @property
    def endpoint(self) -> str:
        """HOST:PORT that clients use."""
        return endpoint(self.placement.advertised_host, self.port)

    @property
    def lane_endpoint(self) -> str | None:
        """HOST:PORT where its lanes are accepted; None while there are none."""
        return endpoint(self.placement.advertised_host, self.lane_port) if self.lane_port else None

    def quarantined(self) -> dict[str, str]:
        """Why, by id, of each graph of its tenant that is not tried again."""
        return self.strikes.quarantined(self.tenancy.principal, self._clock())

    @property
    def starts_in(self) -> float:
        """Seconds until its process is started again, at the soonest."""
        is_waiting = self.state is State.BACKING_OFF
        return max(0.0, self._starts_at - self._clock()) if is_waiting else 0.0

    def start(self) -> None:
        """Start the process and watch over it until `drain`."""
        self._first_outcome = asyncio.get_running_loop().create_future()
        self._life = asyncio.create_task(self._live())

    async def wait_ready(self) -> None:
        """Wait until it accepts requests for the first time.

        Raises:
            ConfigurationError: its first start failed; the message says why.
        """
        assert self._first_outcome is not None
        await asyncio.shield(self._first_outcome)

    def preview(self, principal: str) -> Assignment:
        """What `assign` would answer to a principal's ARN."""
        now = self._clock()
        busy = self.counters.get("streams", 0) + self.counters.get("calls", 0)
        return tenancy.assign(self.tenancy, principal, now, busy, now - self._last_active)

    def assign(self, principal: str) -> Assignment:
        """Give it to a principal if that is possible; for a new tenant the process is ended."""
        answer = self.preview(principal)
        if isinstance(answer, Granted | NeedsRestart):
            self.tenancy = answer.tenancy
            self._last_active = self._clock()
        if isinstance(answer, NeedsRestart):
            self.holders.clear()
            self._start_afresh()
        return answer

    async def revoke(self, access_key_ids: Iterable[str], principals: Iterable[str]) -> None:
        """End all tickets of these keys and principals, also for processes started later."""
        keys, names = tuple(access_key_ids), tuple(principals)
        self._revoked.add(keys, names, self._clock())
        # A starting process does not listen yet; it is told all of them when it is ready.
        if self._process is not None and self.state is not State.STARTING:
            await self._send(self._process, Notice("revoke", keys, names).to_line())

    async def tell_faults(self) -> None:
        """Tell the process which faults hold now, and wait a moment until they do.

        One that starts is told when it is ready.
        """
        process, faults = self._process, self._faults
        if faults is None or faults.version == 0:
            return
        if process is None or self.state is not State.READY:
            return
        version = faults.version
        await self._send(
            process, Notice("faults", faults=faults.told(self.place), version=version).to_line()
        )
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAULTS_SECONDS):
                while self.counters.get("faults_version", 0) < version and self._process is process:
                    self._reported.clear()
                    await self._reported.wait()

    def now(self) -> float:
        """The clock that this accelerator lives by."""
        return self._clock()

    async def tell(self, holders: Iterable[HolderPolicies]) -> None:
        """Tell the running process what limits these holders of tickets."""
        lines = b"".join(Notice("policies", holder=one).to_line() for one in holders)
        # A starting process is told about all holders when it is ready.
        if self._process is not None and self.state is not State.STARTING:
            await self._send(self._process, lines)

    async def renew_certificate(self, *, at_once: bool = False) -> None:
        """Give the running process another leaf when its own is old, or at once.

        One that starts has just got its own.
        """
        process = self._process
        if process is None or self.state is not State.READY:
            return
        if at_once or is_due(self._leaf_issued, self._trust.clock.readings()):
            leaf = self._issue_leaf()
            pair = (leaf.certificate_pem.decode(), leaf.private_key_pem.decode())
            notice = Notice("certificate", certificate_pem=pair[0], private_key_pem=pair[1])
            await self._send(process, notice.to_line())

    async def drain(self, seconds: float) -> None:
        """End for good: let calls finish for some seconds, then SIGTERM, then SIGKILL."""
        has_work = self.state is State.READY
        self._apply(Event.DRAIN)
        self._wake.set()
        if self._process is not None and has_work:
            await self._send(self._process, Notice("drain").to_line())
            assert self._life is not None
            if (await asyncio.wait([self._life], timeout=seconds))[0]:
                return
        if self._process is not None:
            await self._end(self._process)
        if self._life is not None:
            await self._life

    async def _live(self) -> None:
        while not self._is_over():
            try:
                await self._run_process()
            except (OSError, ConfigurationError) as error:
                self._never_ran(str(error))
            except Exception:  # One accelerator's defect must not end the watch over it.
                LOG.exception("accelerator %s: a defect in the supervisor", self.id)
                self._never_ran("of a defect in the supervisor")
            await self._back_off()
            self.restarts += not self._is_over()

    def _is_ready(self) -> bool:
        return self.state is State.READY

    def _is_over(self) -> bool:
        return self.state is State.STOPPED

    async def _run_process(self) -> None:
        make_private_folder(self.placement.folders.store)
        order = self._order()
        process = await self._launcher.start(
            self.placement.spec.python, self.placement.folders.scratch
        )
        self._process = process
        if self.state is not State.STARTING or order.tenancy != self.tenancy.number:
            process.kill()  # Overtaken by a drain or another tenant while it was launched.
        LOG.info("accelerator %s: started as process %d", self.id, process.pid)
        timer = asyncio.get_running_loop().call_later(START_SECONDS, self._give_up, process)
        reader = asyncio.create_task(self._talk(process, order))
        watch = Watch(process)
        watching = asyncio.create_task(watch.end_when_it_hangs(self._is_ready, self._note_hang))
        try:
            status = await process.wait()
            await asyncio.wait([reader], timeout=1.0)
        finally:
            timer.cancel()
            reader.cancel()
            watching.cancel()
        self._strike(watch.blame_for_exit(status))
        self._exited(f"ended with exit status {status}")

    def _note_hang(self, hang: Hang) -> None:
        LOG.error("accelerator %s: %s, and is killed", self.id, hang.why)
        self._strike(hang.blame, is_certain=hang.is_certain)

    def _strike(self, blame: Mapping[bytes, str], *, is_certain: bool = False) -> None:
        """Remember which graphs brought the process down."""
        for graph_id, why in blame.items():
            LOG.error("accelerator %s: blame on graph %s: %s", self.id, graph_id.hex()[:12], why)
        if self.tenancy.principal is not None:
            now = self._clock()
            self.strikes.strike(self.tenancy.principal, blame, now, is_certain=is_certain)

    async def _talk(self, process: RunningProcess, order: LaunchOrder) -> None:
        await self._send(process, order.to_line())
        try:
            while line := await process.receive():
                self._hear(process, line)
        except ValueError:
            LOG.warning("accelerator %s: wrote a line that is too long", self.id)
        # It closed its output, or broke the protocol: without reports it cannot be watched.
        await self._end(process)

    def _hear(self, process: RunningProcess, line: bytes) -> None:
        report = read_report(line)
        if report is None:
            text = printable(line[:200].decode(errors="replace"))
            LOG.warning("accelerator %s: wrote what is no report: %s", self.id, text)
        elif report.kind == "ready":
            self._became_ready(process, report)
        elif report.kind == "failed":
            self._report_failure(report.message or "it said that it cannot start")
            self._spawn(self._end(process))
        elif report.decision is not None:
            self.on_decision(report.decision)
        else:
            self._note_counters(report.counters)

    def _became_ready(self, process: RunningProcess, report: Report) -> None:
        if self.state is not State.STARTING:
            return
        if self.port not in (0, report.port):
            self._report_failure(f"it listens on port {report.port} instead of {self.port}")
            self._spawn(self._end(process))
            return
        if self.placement.sandbox is Level.STRICT and level_in(report.sandbox) is not Level.STRICT:
            self._report_failure(
                "its sandbox is not strict, which may be an older version's defect"
            )
            self._spawn(self._end(process))
            return
        self.port, self.sandbox = report.port, report.sandbox
        self.lane_port, self.local_lane = report.lane_port, report.local_lane
        self._ready_at = self._clock()
        self._note_counters(report.counters)
        self._apply(Event.REPORTED_READY)
        if orders := self._standing_orders():
            self._spawn(self._send(process, orders))
        self._spawn(self.tell_faults())
        if self._first_outcome is not None and not self._first_outcome.done():
            self._first_outcome.set_result(None)

    def _note_counters(self, counters: dict[str, int]) -> None:
        old, self.counters = self.counters, counters
        self._reported.set()
        if any(old.get(name) != counters[name] for name in counters.keys() - _IDLE_COUNTERS):
            self._last_active = self._clock()

    def _report_failure(self, why: str) -> None:
        self._failure = printable(why)
        LOG.error("accelerator %s: %s", self.id, self._failure)
        self._apply(Event.REPORTED_FAILED)

    def _never_ran(self, why: str) -> None:
        self._report_failure(f"it could not be started: {why}")
        self._exited("never ran")

    def _exited(self, how: str) -> None:
        by_itself = self.state not in (State.RESTARTING, State.DRAINING)
        self._process, self.counters, self.sandbox = None, {}, ""
        self.lane_port, self.local_lane = 0, ""
        if by_itself:
            healthy = 0.0 if self._ready_at is None else self._clock() - self._ready_at
            self._failures = life_cycle.failures_after_exit(self._failures, healthy)
            LOG.warning("accelerator %s: %s", self.id, how)
        self._ready_at = None
        self._apply(Event.EXITED)
        self._fail_first_start(self._failure or f"its process {how}")
        self._failure = ""

    def _fail_first_start(self, why: str) -> None:
        if self._first_outcome is None or self._first_outcome.done():
            return
        if self.state is State.STARTING:
            return
        spec = self.placement.spec
        self._first_outcome.set_exception(
            ConfigurationError(
                f"Accelerator {self.id} ({spec.type}, engine {spec.engine}) cannot start: {why}",
                remedy="Correct that, or choose another --accelerator; its own messages are above.",
            )
        )

    async def _back_off(self) -> None:
        if self.state is not State.BACKING_OFF:
            return
        delay = life_cycle.restart_delay(self._failures)
        self._starts_at = self._clock() + delay
        LOG.info("accelerator %s: starts again in %.1f s", self.id, delay)
        try:
            await asyncio.wait_for(self._wake.wait(), delay)
        except TimeoutError:
            self._apply(Event.DELAY_OVER)

    def _start_afresh(self) -> None:
        self._apply(Event.TENANT_CHANGED)
        # One that drains finishes its calls: there is no next tenant.
        if self._process is not None and self.state is State.RESTARTING:
            self._spawn(self._end(self._process))

    def _give_up(self, process: RunningProcess) -> None:
        if self.state is State.STARTING:
            self._report_failure(f"it was not ready within {START_SECONDS:.0f} seconds")
            process.kill()

    async def _end(self, process: RunningProcess) -> None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), TERMINATE_SECONDS)
        except TimeoutError:
            LOG.warning("accelerator %s: did not end, and is killed", self.id)
            process.kill()

    async def _send(self, process: RunningProcess, line: bytes) -> None:
        try:
            await asyncio.wait_for(process.send(line), SEND_SECONDS)
        except TimeoutError:
            # What it was not told (a revocation!) it must not go on without.
            LOG.error("accelerator %s: does not read its orders, and is killed", self.id)
            process.kill()

    def _order(self) -> LaunchOrder:
        place, leaf = self.placement, self._issue_leaf()
        return LaunchOrder(
            accelerator_id=self.id,
            accelerator_type=place.spec.type,
            host=place.listen_host,
            port=self.port or lasting_port(place.listen_host),
            certificate_pem=leaf.certificate_pem.decode(),
            private_key_pem=leaf.private_key_pem.decode(),
            ticket_public_key_pem=self._trust.ticket_public_key_pem,
            tenancy=self.tenancy.number,
            allow_faults=self._faults is not None,
            store=str(place.folders.store),
            engine=place.spec.engine,
            paced=place.spec.paced,
            scratch=str(place.folders.scratch),
            sandbox=place.sandbox.value,
            allowed_ops=dict(place.spec.allowed_ops),
            load_seconds=place.spec.load_seconds,
            run_seconds=place.spec.run_seconds,
            memory_bytes=place.spec.memory_bytes,
            quarantined=self.quarantined(),
            compiled=place.spec.compiled,
            batched=place.spec.batched,
            precision=place.spec.precision,
            uncompiled=self.strikes.suspected(self.tenancy.principal, self._clock()),
            clock_anchor=self._trust.clock.anchor,
            lane_port=place.lane_port if place.spec.lanes else None,
        )

    def _issue_leaf(self) -> Leaf:
        now, place = self._trust.clock.readings(), self.placement
        hosts = (place.listen_host, place.advertised_host)
        leaf = issue_accelerator_leaf(self._trust.authority, self.id, *hosts, now=now)
        self._leaf_issued = now
        return leaf

    def _standing_orders(self) -> bytes:
        """What a process has to know besides its launch order; empty for nothing."""
        revocations = self._revoked.notice(self._clock())
        notices = [] if revocations is None else [revocations]
        told = [holding.told for holding in self.holders.live(self._clock())]
        notices += [Notice("policies", holder=one) for one in told]
        return b"".join(notice.to_line() for notice in notices)

    def _apply(self, event: Event) -> None:
        before, self.state = self.state, life_cycle.next_state(self.state, event)
        if before is not self.state:
            LOG.info("accelerator %s: %s -> %s", self.id, before.value, self.state.value)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
