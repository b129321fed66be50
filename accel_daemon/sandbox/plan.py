"""What one accelerator's process may do, decided from its order and the facts of its host. Pure."""

from __future__ import annotations

import os.path
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from accel_daemon.sandbox import host_paths
from accel_daemon.sandbox import landlock_rights as rights
from accel_daemon.sandbox.levels import Level
from accel_protocol.errors import ConfigurationError

PACKAGES = ("accel_daemon", "accel_protocol")
# All that stays of the environment. HOME and TMPDIR become the scratch folder.
VARIABLES = frozenset(
    {
        *("PATH", "HOME", "TMPDIR", "LANG", "LC_CTYPE", "TF_CPP_MIN_LOG_LEVEL"),
        *("PYTHONPATH", "PYTHONNOUSERSITE", "PYTHONSAFEPATH"),
        *("LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "XLA_FLAGS"),
    }
)
# Connections, bundles and libraries; a leak ends before it is the host's.
MAX_OPEN_FILES = 65_536
# Threads: an engine makes a few for each processor, and hosts have hundreds of them.
MAX_THREADS = 8192
# Above what there is: libraries and stacks reserve what they do not use.
_RESERVED_BYTES = 4 * 1024**3

# Users that no distribution gives away: systemd's list of ranges calls these unused. A container
# that maps only the first 65,536 gets one below the ranges for dynamic users.
_FIRST_UID, _UIDS = 0x7000_0000, 0x0800_0000
_FIRST_SMALL_UID, _SMALL_UIDS = 30_000, 20_000

CAP_NET_BIND_SERVICE = 10
_FIRST_UNPRIVILEGED_PORT = 1024


@dataclass(frozen=True)
class Wanted:
    """What one accelerator is to do.

    Attributes:
        level: what the operator asks for.
        accelerator_id: from which its user is chosen.
        store, scratch: absolute paths.
        host, port: where to listen; port 0 for any.
        file_bytes: the largest file that is ever written.
    """

    level: Level
    accelerator_id: str
    store: str
    scratch: str
    host: str
    port: int
    file_bytes: int


@dataclass(frozen=True)
class Facts:
    """What the plan depends on besides what is wanted.

    Attributes:
        prefixes: where this interpreter and its packages are installed.
        import_paths: `sys.path`.
        package_folder: the folder that holds the package accel_daemon.
        environment: of this process.
        gpu_devices: the GPUs' device files that are there.
        is_root: whether this process may become another user.
        user_ranges: (first, count) of the user ids that exist here.
        memory_bytes: what the process may have: the host's memory, or a bound below it.
        memory_files: that tell what its control groups may have.
    """

    prefixes: tuple[str, ...]
    import_paths: tuple[str, ...]
    package_folder: str
    environment: Mapping[str, str] = field(repr=False)
    gpu_devices: tuple[str, ...] = ()
    is_root: bool = False
    user_ranges: tuple[tuple[int, int], ...] = ((0, 2**32 - 1),)
    memory_bytes: int = 0
    memory_files: tuple[str, ...] = ()


@dataclass(frozen=True)
class SandboxPlan:
    """What is applied by `enter`.

    Attributes:
        level: what the operator asks for.
        store, scratch: the two folders that are read and written.
        import_paths: where Python looks for modules; all in `libraries` or `listed`.
        libraries: read, with all that is in them.
        listed: their names are read, and what is in them is not.
        host_files: read.
        devices: of GPUs: used.
        ports: that may be listened on; 0 for one that the system chooses.
        limits: by name, without RLIMIT_.
        uid: user and group to become, None to stay.
        capabilities: the only ones to keep, where they are there.
        environment: all of it.
    """

    level: Level
    store: str
    scratch: str
    import_paths: tuple[str, ...]
    libraries: tuple[str, ...]
    listed: tuple[str, ...]
    host_files: tuple[str, ...]
    devices: tuple[str, ...]
    ports: tuple[int, ...]
    limits: Mapping[str, int]
    uid: int | None
    capabilities: frozenset[int]
    environment: Mapping[str, str] = field(repr=False)

    def file_rules(self) -> list[tuple[str, int]]:
        """Every path with its rights in Landlock's terms."""
        return [
            *((path, rights.READ_WRITE) for path in (self.store, self.scratch)),
            *((path, rights.READ) for path in (*self.libraries, *self.host_files)),
            *((path, rights.READ_DIR) for path in self.listed),
            *((path, rights.READ | rights.WRITE_FILE) for path in host_paths.SINKS),
            *((path, rights.USE_DEVICE) for path in self.devices),
        ]


def make_plan(wanted: Wanted, facts: Facts) -> SandboxPlan:
    """Decide what a process may do.

    Raises:
        ConfigurationError: a folder of libraries holds the store, and with it the home's secrets.
    """
    libraries, listed = library_paths(facts)
    if wanted.level is not Level.OFF:
        _check_apart(wanted.store, libraries)
    gpus = facts.gpu_devices if _wants_gpus(facts.environment) else ()
    host_files = (*host_paths.SETTINGS, *host_paths.KERNEL, *host_paths.RANDOM)
    uid = choose_uid(wanted.accelerator_id, facts.user_ranges) if facts.is_root else None
    low_port = 0 < wanted.port < _FIRST_UNPRIVILEGED_PORT
    return SandboxPlan(
        level=wanted.level,
        store=wanted.store,
        scratch=wanted.scratch,
        import_paths=_imported(facts),
        libraries=libraries,
        listed=listed,
        host_files=(*host_files, *facts.memory_files, *(host_paths.GPU_FILES if gpus else ())),
        devices=gpus,
        ports=_ports(wanted.host, wanted.port),
        limits=_limits(wanted.file_bytes, facts.memory_bytes, bool(gpus), uid is not None),
        uid=uid,
        capabilities=frozenset({CAP_NET_BIND_SERVICE} if low_port else ()),
        environment=kept_environment(facts.environment, wanted.scratch),
    )


def library_paths(facts: Facts) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The folders that libraries are read from, and those whose names are read only.

    Of a checkout that the package runs from, only the packages are read: beside them lie the
    repository's history and whatever its owner keeps there.
    """
    wanted = [*host_paths.LIBRARIES, *facts.prefixes]
    wanted += facts.environment.get("LD_LIBRARY_PATH", "").split(":")
    listed = []
    for path in _imported(facts):
        if path == facts.package_folder and not _is_inside(path, wanted):
            wanted += [os.path.join(path, package) for package in PACKAGES]
            listed.append(path)
        else:
            wanted.append(path)
    return outermost(wanted), tuple(listed)


def _imported(facts: Facts) -> tuple[str, ...]:
    """Without the working folder, where nothing is to be found and which holds everything."""
    return tuple(one for one in facts.import_paths if os.path.isabs(one) and one != "/")


def outermost(paths: Iterable[str]) -> tuple[str, ...]:
    """The absolute ones of these paths that are in no other of them, in order."""
    absolute = dict.fromkeys(os.path.normpath(one) for one in paths if os.path.isabs(one))
    kept = [one for one in absolute if one != "/"]
    return tuple(
        one for one in kept if not _is_inside(one, [other for other in kept if other != one])
    )


def choose_uid(accelerator_id: str, ranges: Iterable[tuple[int, int]]) -> int | None:
    """A user for one accelerator, the same at every start; None when none exists here."""
    number = int(accelerator_id.rpartition("-")[2] or "0", 16)
    candidates = (_FIRST_UID + number % _UIDS, _FIRST_SMALL_UID + number % _SMALL_UIDS)
    known = list(ranges)
    for candidate in candidates:
        if any(first <= candidate < first + count for first, count in known):
            return candidate
    return None


def kept_environment(environment: Mapping[str, str], scratch: str) -> dict[str, str]:
    """The variables that stay, with the scratch folder as home."""
    kept = {name: value for name, value in environment.items() if name in VARIABLES}
    return {**kept, "HOME": scratch, "TMPDIR": scratch}


def missing_layers(landlock_abi: int, seccomp: bool) -> dict[str, str]:
    """The required layers that a kernel does not have, and what to do about each."""
    missing = {}
    if landlock_abi < rights.OLDEST_USABLE_ABI:
        missing["Landlock"] = (
            "Use Linux 6.7 or newer with `landlock` among its security modules (/sys/kernel/"
            "security/lsm), and a container runtime that lets its system calls through"
        )
    elif landlock_abi < rights.TCP_ABI:
        missing["Landlock for TCP"] = "Use Linux 6.7 or newer"
    if not seccomp:
        missing["seccomp"] = "Use a kernel with CONFIG_SECCOMP_FILTER, on x86_64 or aarch64"
    return missing


def _ports(host: str, port: int) -> tuple[int, ...]:
    """Port 0 as well for IPv6: gRPC listens for a moment on any port to see whether there is IPv6.

    Nothing listens anywhere any more once the accelerator does (`denied.sealing_groups`).
    """
    is_ipv4_only = ":" not in host and host[:1].isdecimal() and host != "0.0.0.0"  # noqa: S104
    return (port,) if is_ipv4_only or port == 0 else (port, 0)


def _limits(file_bytes: int, memory_bytes: int, has_gpu: bool, own_user: bool) -> dict[str, int]:
    limits = {"CORE": 0, "NOFILE": MAX_OPEN_FILES, "FSIZE": file_bytes}
    if own_user:
        limits["NPROC"] = MAX_THREADS  # counts all of a user's processes, so not for a shared one
    if memory_bytes and not has_gpu:  # a GPU's driver maps far more than there is
        limits["DATA"] = memory_bytes + _RESERVED_BYTES
    return limits


def _wants_gpus(environment: Mapping[str, str]) -> bool:
    return environment.get("CUDA_VISIBLE_DEVICES", "all") not in ("", "-1", "none", "NoDevFiles")


def _check_apart(store: str, libraries: Iterable[str]) -> None:
    if _is_inside(store, libraries):
        raise ConfigurationError(
            "The daemon's home lies in a folder that accelerators read libraries from.",
            remedy="Set ACCEL_HOME to a folder outside of it.",
        )


def _is_inside(path: str, folders: Iterable[str]) -> bool:
    return any(path == one or path.startswith(f"{one.rstrip('/')}/") for one in folders if one)
