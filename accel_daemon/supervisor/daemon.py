"""The whole daemon: one lock, one fleet, the control endpoint and the metadata emulation.

This is where everything is put together; what can be decided without I/O is decided elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import signal
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from accel_daemon.audit_throttle import AuditThrottle
from accel_daemon.clock import Clock, JumpWatch, Readings
from accel_daemon.control.audit import AUDIT, AuditRecord, audit, left_out, open_audit_log
from accel_daemon.control.authority_certificate import AUTHORITY_PEM
from accel_daemon.control.holders import tell_again
from accel_daemon.control.identity_store import IdentityStore
from accel_daemon.control.metadata.app import build_metadata_app
from accel_daemon.control.metadata.options import MetadataOptions
from accel_daemon.control.metrics import build_metrics_app
from accel_daemon.control.request_audit import STRANGERS
from accel_daemon.control.server import build_app, load_leaf, server_context, serving
from accel_daemon.control.service import ControlService
from accel_daemon.control.tag_store import TagStore
from accel_daemon.control.tags import TAGS
from accel_daemon.faults.board import FaultBoard
from accel_daemon.home import Home, make_private_folder, write_private_file
from accel_daemon.iam.principals import Identities
from accel_daemon.iam.sessions import SessionIssuer
from accel_daemon.iam.tickets import TicketSigner
from accel_daemon.launch_order import AuditedDecision
from accel_daemon.pki.authority import Authority
from accel_daemon.pki.files import load_or_create_authority
from accel_daemon.sandbox.enter import default_level
from accel_daemon.sandbox.levels import Level
from accel_daemon.supervisor.accelerator_leaf import is_due
from accel_daemon.supervisor.accelerator_process import AcceleratorProcess
from accel_daemon.supervisor.accelerator_spec import AcceleratorSpec
from accel_daemon.supervisor.addresses import advertised_host, endpoint
from accel_daemon.supervisor.client_profile import prepare_identities, write_client_profile
from accel_daemon.supervisor.fleet import Fleet, Listening, build_fleet
from accel_daemon.supervisor.launcher import Launcher, LocalLauncher
from accel_daemon.supervisor.metadata_service import (
    Surroundings,
    build_metadata_service,
    ready_entries,
    role_of,
)
from accel_daemon.supervisor.placement import Trust
from accel_daemon.supervisor.revocations import removed_keys, removed_roles
from accel_daemon.supervisor.session_key import load_or_create_session_key
from accel_protocol.errors import ConfigurationError

LOG = logging.getLogger("accel.supervisor")

REGION = "us-east-1"
# Both are plain HTTP without authentication: never on another address.
METADATA_HOST = "127.0.0.1"
METRICS_HOST = "127.0.0.1"
# A little longer than an accelerator itself gives its calls to finish.
DRAIN_SECONDS = 12.0
IDENTITY_POLL_SECONDS = 0.5
# Certificates of the control endpoint are valid for 90 days; a daemon may run for longer.
CONTROL_LEAF_ROTATED_AFTER = timedelta(days=1)
# How long a certificate may be shown that is not good any more because the clock was set.
LEAF_CHECK_SECONDS = 15.0


@dataclass(frozen=True)
class DaemonOptions:
    """What the operator chose.

    Attributes:
        home: where everything is kept.
        host: address to listen on.
        port: of the control endpoint, the accelerators above it; 0 lets the system choose all.
        metadata_port: of the metadata emulation; 0 lets the system choose.
        metadata: how metadata is served.
        metrics_port: of the plain metrics listener; 0 lets the system choose, None opens none.
        accelerators: one process each.
        ready_file: gets JSON when everything accepts requests.
        launcher: where the processes run.
        sandbox: what has to confine them.
        allow_faults: whether faults on demand are taken; never in production.
    """

    home: Home
    host: str = "127.0.0.1"
    port: int = 9443
    metadata_port: int = 0
    metadata: MetadataOptions = field(default_factory=MetadataOptions)
    metrics_port: int | None = None
    accelerators: tuple[AcceleratorSpec, ...] = (AcceleratorSpec(),)
    ready_file: Path | None = None
    launcher: Launcher = field(default_factory=LocalLauncher)
    sandbox: Level = field(default_factory=default_level)
    allow_faults: bool = False


@dataclass(frozen=True)
class _Addresses:
    """HOST:PORT of what is served, and what the ready file tells about metadata.

    `metrics` is None when the plain listener is off.
    """

    control: str
    metadata: Mapping[str, str]
    metrics: str | None


@dataclass
class _Daemon:
    """The parts of a daemon that is starting or running."""

    options: DaemonOptions
    authority: Authority
    clock: Clock
    store: IdentityStore
    identities: Identities
    tickets: TicketSigner
    sessions: SessionIssuer
    fleet: Fleet
    faults: FaultBoard | None = None
    tls: ssl.SSLContext = field(default_factory=server_context)
    leaf_issued: Readings | None = None
    is_ready: bool = False
    is_draining: bool = False
    renewal: asyncio.Event = field(default_factory=asyncio.Event)
    service: ControlService | None = None
    throttles: list[AuditThrottle[AuditRecord]] = field(default_factory=list)

    @property
    def advertised(self) -> str:
        return advertised_host(self.options.host)


async def run_daemon(options: DaemonOptions, stop: asyncio.Event | None = None) -> None:
    """Run until SIGTERM, SIGINT or `stop`; ends in good order. SIGHUP renews all certificates.

    Raises:
        ConfigurationError: it cannot start; the message says why.
    """
    stop = stop or asyncio.Event()
    with _stopping_on_signals(stop), _locked(options.home), _audited(options.home):
        _remove_ready_file(options)
        daemon = _prepare(options)
        with _following(signal.SIGHUP, daemon.renewal):
            await _serve(daemon, stop)
        LOG.info("stopped")


def _remove_ready_file(options: DaemonOptions) -> None:
    """A ready file of an earlier daemon must not tell anyone that this one is ready."""
    if options.ready_file is None:
        return
    try:
        options.ready_file.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"The ready file cannot be written: {error.strerror}.", remedy="Name another one."
        ) from None


def _prepare(options: DaemonOptions) -> _Daemon:
    home, now = options.home, datetime.now(UTC)
    authority = load_or_create_authority(home.authority, now)
    store = IdentityStore(home.identities)
    identities = prepare_identities(store, home, now)
    tickets = TicketSigner.generate()
    listening = Listening(
        host=options.host,
        advertised_host=advertised_host(options.host),
        first_port=options.port + 1 if options.port else 0,
    )
    clock = Clock.start()
    faults = FaultBoard(clock.steady) if options.allow_faults else None
    if faults is not None:
        clock = clock.skewed_by(faults.clock_skew)
        LOG.warning("faults on demand are allowed: this daemon is for tests only")
    trust = Trust(authority, tickets.public_key_pem(), clock)
    fleet = build_fleet(
        home, options.accelerators, listening, trust, options.launcher, faults, options.sandbox
    )
    throttles = [_audited_accelerator(one) for one in fleet.accelerators]
    sessions = load_or_create_session_key(home.session_key)
    daemon = _Daemon(options, authority, clock, store, identities, tickets, sessions, fleet, faults)
    daemon.throttles.extend(throttles)
    return daemon


def _audited_accelerator(accelerator: AcceleratorProcess) -> AuditThrottle[AuditRecord]:
    """Write down what an accelerator's gate decides; its process is not trusted to be brief."""
    throttle = AuditThrottle(write=audit, summarise=left_out)

    def write(decision: AuditedDecision) -> None:
        throttle.submit(AuditRecord(accelerator=accelerator.id, **asdict(decision)))

    accelerator.on_decision = write
    return throttle


async def _serve(daemon: _Daemon, stop: asyncio.Event) -> None:
    async with _endpoints(daemon) as addresses, _background(daemon):
        daemon.fleet.start()
        try:
            if not await _ready_before(daemon.fleet, stop):
                return
            daemon.is_ready = True
            _announce(daemon, addresses)
            await stop.wait()
        finally:
            # While the endpoints still answer: whoever asks learns why nothing new is taken.
            await _drain(daemon)


async def _drain(daemon: _Daemon) -> None:
    daemon.is_draining, daemon.is_ready = True, False
    _remove_ready_file(daemon.options)
    LOG.info("draining the accelerators")
    await daemon.fleet.drain(DRAIN_SECONDS)


@contextlib.asynccontextmanager
async def _endpoints(daemon: _Daemon) -> AsyncIterator[_Addresses]:
    """Serve control, metadata and, when wanted, metrics."""
    options, tags = daemon.options, TagStore(daemon.options.home.tags)
    service = daemon.service = ControlService(
        fleet=daemon.fleet,
        identities=lambda: daemon.identities,
        refresh_identities=lambda: _refresh_identities(daemon),
        tickets=daemon.tickets,
        sessions=daemon.sessions,
        region=REGION,
        is_ready=lambda: daemon.is_ready,
        is_draining=lambda: daemon.is_draining,
        clock=daemon.clock,
        faults=daemon.faults,
        tags=tags.get,
    )
    _renew_leaf(daemon)
    app = build_app(service)
    app[AUTHORITY_PEM] = daemon.authority.certificate_pem
    app[TAGS] = tags
    daemon.throttles.append(app[STRANGERS])
    async with serving(app, options.host, options.port, daemon.tls) as control_port:
        control = endpoint(daemon.advertised, control_port)
        async with (
            _metadata(daemon, f"https://{control}") as metadata,
            _plain_metrics(daemon) as metrics,
        ):
            yield _Addresses(control, metadata, metrics)


@contextlib.asynccontextmanager
async def _metadata(daemon: _Daemon, control: str) -> AsyncIterator[Mapping[str, str]]:
    """Serve metadata; gives what the ready file tells about it."""
    options, account = daemon.options, daemon.identities.account
    around = Surroundings(
        options.home, daemon.authority, daemon.fleet, REGION, account, control, daemon.clock
    )
    name = options.metadata.role
    role = role_of(name, daemon.sessions, lambda: daemon.identities, daemon.clock)
    service = build_metadata_service(options.metadata, around, role)
    app = build_metadata_app(service)
    hops = options.metadata.hop_limit
    async with serving(app, METADATA_HOST, options.metadata_port, hop_limit=hops) as port:
        yield ready_entries(service, f"http://{endpoint(METADATA_HOST, port)}", options.home)


@contextlib.asynccontextmanager
async def _plain_metrics(daemon: _Daemon) -> AsyncIterator[str | None]:
    """Serve metrics to whoever is on this machine, if the operator wants that; gives HOST:PORT."""
    port = daemon.options.metrics_port
    if port is None:
        yield None
        return
    async with serving(build_metrics_app(daemon.fleet), METRICS_HOST, port) as metrics_port:
        yield endpoint(METRICS_HOST, metrics_port)


@contextlib.asynccontextmanager
async def _background(daemon: _Daemon) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(work(daemon)) for work in (_watch_identities, _renew_leaves)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _watch_identities(daemon: _Daemon) -> None:
    """Follow the identities' file, and end the tickets of keys that are gone."""
    watch = JumpWatch(daemon.clock)
    while True:
        await asyncio.sleep(IDENTITY_POLL_SECONDS)
        _note_jump(watch.jumped())
        await _refresh_identities(daemon)
        for throttle in daemon.throttles:
            throttle.flush()


def _note_jump(seconds: float) -> None:
    """Write down that the clock was set, by which all other lines are dated."""
    if seconds:
        why = f"The clock was set {'ahead' if seconds > 0 else 'back'} by {abs(seconds):.0f} s."
        LOG.warning("%s", why)
        audit(AuditRecord("", "clock", "*", True, why, ""))


async def _refresh_identities(daemon: _Daemon) -> None:
    """Take over what the identities' file says now."""
    try:
        if daemon.store.changed():
            await _adopt(daemon, daemon.store.load())
    except ConfigurationError as error:
        LOG.error("the identities were changed, but the old ones stay in force: %s", error)
    except Exception:  # Whatever it is, revocations must keep being looked for.
        LOG.exception("a defect while following the identities")


async def _adopt(daemon: _Daemon, identities: Identities) -> None:
    keys = removed_keys(daemon.identities, identities)
    roles = removed_roles(daemon.identities, identities)
    daemon.identities = identities
    for access_key_id in sorted(keys):
        audit(AuditRecord(access_key_id, "revoke", "*", True, "The key was removed.", ""))
    for role_id in sorted(roles):
        audit(AuditRecord(role_id, "revoke", "*", True, "The role was removed.", ""))
    if keys or roles:
        await daemon.fleet.revoke(keys | roles, ())
    if daemon.service is not None:
        await tell_again(daemon.service, daemon.fleet.accelerators)


async def _renew_leaves(daemon: _Daemon) -> None:
    """Renew certificates that are due, and at once when the operator says so (SIGHUP)."""
    while True:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(daemon.renewal.wait(), LEAF_CHECK_SECONDS)
        at_once = daemon.renewal.is_set()
        daemon.renewal.clear()
        try:
            _renew_leaf(daemon, at_once=at_once)
            await daemon.fleet.renew_certificates(at_once=at_once)
        except Exception:  # The old certificates may still be good; the next attempt is soon.
            LOG.exception("the certificates could not be renewed")


def _renew_leaf(daemon: _Daemon, *, at_once: bool = True) -> None:
    """Show another certificate at the control endpoint, where the old one is due or at once."""
    issued, now = daemon.leaf_issued, daemon.clock.readings()
    if not at_once and issued is not None and not is_due(issued, now, CONTROL_LEAF_ROTATED_AFTER):
        return
    hosts, folder = (daemon.options.host, daemon.advertised), daemon.options.home.daemon
    load_leaf(daemon.tls, daemon.authority, hosts, now, folder)
    daemon.leaf_issued = now
    LOG.info("certificates: renewed")


async def _ready_before(fleet: Fleet, stop: asyncio.Event) -> bool:
    """Whether the fleet became ready before the daemon was told to stop."""
    ready, stopped = asyncio.create_task(fleet.wait_ready()), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([ready, stopped], return_when=asyncio.FIRST_COMPLETED)
        if ready.done():
            ready.result()
        return ready.done() and not stopped.done()
    finally:
        ready.cancel()
        stopped.cancel()


def _announce(daemon: _Daemon, addresses: _Addresses) -> None:
    """Write the client profile, then the ready file: whoever sees that one can connect."""
    home, url = daemon.options.home, f"https://{addresses.control}"
    if not write_client_profile(home, daemon.identities, url, REGION):
        LOG.warning("the client profile holds no access key: the administrator has none left")
    if daemon.options.ready_file is not None:
        document: dict[str, object] = {
            "control": url,
            "ca_file": str(home.ca_file),
            **addresses.metadata,
            "region": REGION,
            "account": daemon.identities.account,
            "accelerators": [
                {
                    "id": one.id,
                    "type": one.placement.spec.type,
                    "endpoint": one.endpoint,
                    "pid": one.pid,
                }
                for one in daemon.fleet.accelerators
            ],
        }
        if addresses.metrics is not None:
            document["metrics"] = f"http://{addresses.metrics}/metrics"
        write_private_file(daemon.options.ready_file, (json.dumps(document) + "\n").encode())
    LOG.info("ready: control %s, %d accelerator(s)", url, len(daemon.fleet.accelerators))


@contextlib.contextmanager
def _stopping_on_signals(stop: asyncio.Event) -> Iterator[None]:
    with _following(signal.SIGTERM, stop), _following(signal.SIGINT, stop):
        yield


@contextlib.contextmanager
def _following(number: signal.Signals, event: asyncio.Event) -> Iterator[None]:
    """Set an event whenever this signal comes."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(number, event.set)
    try:
        yield
    finally:
        loop.remove_signal_handler(number)


@contextlib.contextmanager
def _locked(home: Home) -> Iterator[None]:
    """Hold the home: one daemon at a time.

    Raises:
        ConfigurationError: another daemon holds it; the message names its process.
    """
    make_private_folder(home.daemon)
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(home.lock, flags, 0o600), "r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = file.read(20).strip() or "unknown"
            raise ConfigurationError(
                f"A daemon already runs in {home.root}, as process {holder}.",
                remedy="Use that one, stop it, or set ACCEL_HOME to another folder.",
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


@contextlib.contextmanager
def _audited(home: Home) -> Iterator[None]:
    handler = open_audit_log(home.audit_log)
    try:
        yield
    finally:
        AUDIT.removeHandler(handler)
        handler.close()
