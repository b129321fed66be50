"""Applies a plan to this process: once, before there is a second thread, and for good."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import resource
import signal
import sys
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from accel_daemon.sandbox import denied, identity, kernel, landlock, seccomp
from accel_daemon.sandbox.landlock_rights import OLDEST_USABLE_ABI
from accel_daemon.sandbox.levels import Level, SandboxReport
from accel_daemon.sandbox.plan import SandboxPlan, missing_layers
from accel_protocol.errors import ConfigurationError

_log = logging.getLogger(__name__)

_OUT_OF_MEMORY_SCORE = "500"


def default_level() -> Level:
    """What is asked for when the operator says nothing: STRICT where it can be had."""
    has_all = not missing_layers(landlock.supported_abi(), seccomp.is_supported())
    return Level.STRICT if has_all else Level.BEST_EFFORT


@dataclass
class _Layers:
    """Collects what is missing; a strict plan ends at the first one."""

    level: Level
    missing: list[str] = field(default_factory=list)

    def lack(self, layer: str, remedy: str) -> None:
        """Note that a required layer is not there."""
        if self.level is Level.STRICT:
            raise ConfigurationError(
                f"The sandbox cannot be strict: {layer} is not available.",
                remedy=f"{remedy}; or accept less with --sandbox=best-effort.",
            )
        self.missing.append(layer)


def enter(plan: SandboxPlan, kept_descriptors: Collection[int] = ()) -> SandboxReport:
    """Confine this process, and say what is in force.

    Args:
        plan: what is allowed.
        kept_descriptors: open files above standard error that stay open.

    Raises:
        ConfigurationError: a layer that a strict plan requires is not there.
        OSError: the kernel refused what it said it could do.
    """
    if plan.level is Level.OFF:
        _log.warning("THE SANDBOX IS OFF: whoever may run a graph here can do what this user can")
        if plan.uid is not None:
            identity.take_back(plan)  # so that the next strict start finds out what was added
        return SandboxReport(Level.OFF)
    layers = _Layers(plan.level)
    abi, has_seccomp = landlock.supported_abi(), seccomp.is_supported()
    for layer, remedy in missing_layers(abi, has_seccomp).items():
        layers.lack(layer, remedy)
    _check_alone(layers)
    _close_other_descriptors(kept_descriptors)
    _be_ended_first()
    uid = _change_user(plan)
    _limit(plan, uid)
    _set_environment(plan)
    if sys.platform == "linux":
        _give_up_privileges(layers)
        landlock_abi = _restrict_files(plan, abi)
        if has_seccomp:
            seccomp.restrict(denied.starting_groups(os.getpid(), bool(plan.devices)))
    else:
        landlock_abi = 0
    level = Level.BEST_EFFORT if layers.missing else Level.STRICT
    report = SandboxReport(level, landlock_abi, has_seccomp, uid, tuple(layers.missing))
    _log.info("sandbox: %s", report.to_text())
    return report


def seal(report: SandboxReport) -> None:
    """Allow no socket from now on but those that are there and those that are accepted.

    Raises:
        OSError: the kernel refused.
    """
    if report.seccomp:
        seccomp.restrict(denied.sealing_groups())


def end_with_parent() -> None:
    """Ask the kernel for SIGTERM when the supervisor dies, however it dies (Linux only).

    A change of user or of privileges undoes it.
    """
    if sys.platform == "linux":
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGTERM)


def _check_alone(layers: _Layers) -> None:
    """Other threads would stay outside of most layers."""
    try:
        threads = len(os.listdir("/proc/self/task"))
    except OSError:
        return
    if threads != 1:
        layers.lack("being first", f"{threads} threads run already, which is a defect of ours")


def _close_other_descriptors(kept: Collection[int]) -> None:
    edges = [2, *sorted(one for one in kept if one > 2), os.sysconf("SC_OPEN_MAX")]
    for below, above in itertools.pairwise(edges):
        os.closerange(below + 1, above)


def _change_user(plan: SandboxPlan) -> int | None:
    """Become the plan's user where that is possible; which user it is, None for the old one."""
    for folder in (plan.store, plan.scratch):
        Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
    if sys.platform != "linux":
        return None
    uid = plan.uid
    if uid is not None:
        try:
            identity.prepare(plan, uid)
        except identity.NoOwnUserError as reason:
            _log.warning("no user of its own, but root without its powers: %s", reason)
            identity.take_back(plan)
            uid = None
    identity.become(uid, plan.capabilities)
    end_with_parent()
    return uid


def _be_ended_first() -> None:
    """When the host runs out of memory, an accelerator goes, and the supervisor stays."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OUT_OF_MEMORY_SCORE)


def _limit(plan: SandboxPlan, uid: int | None) -> None:
    names = [one for one in plan.limits if one != "NPROC" or uid is not None]
    for name in names:
        number = getattr(resource, f"RLIMIT_{name}", None)
        if number is None:
            continue
        _, hard = resource.getrlimit(number)
        wanted = plan.limits[name]
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        try:
            resource.setrlimit(number, (value, value))
        except (OSError, ValueError) as error:
            _log.warning("the limit %s cannot be set: %s", name, error)
    os.umask(0o077)


def _set_environment(plan: SandboxPlan) -> None:
    for name in os.environ.keys() - plan.environment.keys():
        del os.environ[name]
    os.environ.update(plan.environment)


def _give_up_privileges(layers: _Layers) -> None:
    try:
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    except OSError:
        layers.lack("no_new_privs", "Use Linux 3.5 or newer")
    # Others of the same user can then neither attach to it nor read its memory.
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)


def _restrict_files(plan: SandboxPlan, abi: int) -> int:
    if abi < OLDEST_USABLE_ABI:
        return 0
    _hold_objects(plan)
    landlock.restrict(abi, plan.file_rules(), plan.ports)
    return abi


def _hold_objects(plan: SandboxPlan) -> None:
    """Open for good what is allowed below /proc.

    Landlock's rules are on the kernel's objects. Those of /proc are made anew once the kernel has
    forgotten them, which it does where memory is short, and the new ones have no rules.
    """
    for path in plan.host_files:
        if path.startswith("/proc/"):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
                os.open(path, os.O_PATH | os.O_CLOEXEC)
