"""What a process may do, from its order and the facts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_daemon.sandbox import landlock_rights as rights
from accel_daemon.sandbox.levels import Level
from accel_daemon.sandbox.plan import (
    VARIABLES,
    Facts,
    SandboxPlan,
    Wanted,
    choose_uid,
    library_paths,
    make_plan,
    missing_layers,
    outermost,
)
from accel_daemon.supervisor.launcher import child_environment
from accel_protocol.errors import ConfigurationError

ID = "eia-" + "1f" * 16
FACTS = Facts(
    prefixes=("/opt/venv", "/opt/python"),
    import_paths=("/opt/python/lib/python3.11", "/opt/venv/lib/python3.11/site-packages"),
    package_folder="/opt/venv/lib/python3.11/site-packages",
    environment={"PATH": "/bin", "AWS_SECRET_ACCESS_KEY": "x", "HOME": "/root"},
    memory_bytes=2**34,
)
ALL_USERS = ((0, 2**32 - 1),)
PATHS = st.lists(
    st.lists(st.sampled_from(["a", "b", "ab"]), min_size=1, max_size=4).map(
        lambda parts: "/" + "/".join(parts)
    )
)


def plan(
    facts: Facts = FACTS,
    host: str = "127.0.0.1",
    port: int = 9444,
    level: Level = Level.STRICT,
) -> SandboxPlan:
    """A plan for one accelerator."""
    wanted = Wanted(
        level=level,
        accelerator_id=ID,
        store="/home/x/.accel/daemon/accelerators/eia/store",
        scratch="/home/x/.accel/daemon/accelerators/eia/scratch",
        host=host,
        port=port,
        file_bytes=1000,
    )
    return make_plan(wanted, facts)


def rights_of(made: SandboxPlan, path: str) -> int:
    """What the rules of a plan allow for a path."""
    allowed = 0
    for folder, given_ in made.file_rules():
        if path == folder or path.startswith(f"{folder}/"):
            allowed |= given_
    return allowed


def test_only_the_store_and_the_scratch_folder_are_written() -> None:
    """And nothing anywhere is executed, linked by name, or made as a device."""
    made = plan()
    written = {path for path, given_ in made.file_rules() if given_ & rights.WRITE_FILE}
    assert written == {made.store, made.scratch, "/dev/null"}
    never = rights.EXECUTE | rights.MAKE_SYM | rights.MAKE_CHAR | rights.MAKE_BLOCK
    assert not any(given_ & never for _, given_ in made.file_rules())


@pytest.mark.parametrize(
    "path",
    [
        "/home/x/.accel/ca/ca.key",
        "/home/x/.accel/daemon/identities.json",
        "/home/x/.accel/daemon/accelerators/other/store/blobs/1",
        *(
            "/etc/passwd",
            "/etc/shadow",
            "/home/x/.ssh/key",
            "/var/run/docker.sock",
            "/dev/mem",
        ),
        *("/proc/1/environ", "/proc", "/sys/kernel/debug", "/dev/shm/x", "/tmp/x", "/"),
    ],
)
def test_everything_else_is_out_of_reach(path: str) -> None:
    """Other tenants, the home's secrets, and the host."""
    assert rights_of(plan(), path) == 0


@pytest.mark.parametrize(
    "path", ["/opt/venv/lib/x.so", "/opt/python/lib/x.py", "/usr/lib/x.so", "/proc/self/statm"]
)
def test_libraries_are_read(path: str) -> None:
    """Both the environment's and those it is based on."""
    assert rights_of(plan(), path) == rights.READ


def test_what_bounds_its_memory_is_read() -> None:
    """The files of its own control groups, and no other file of theirs."""
    group = "/sys/fs/cgroup/a"
    made = plan(replace(FACTS, memory_files=(f"{group}/memory.max",), memory_bytes=2**30))
    assert rights_of(made, f"{group}/memory.max") == rights.READ
    assert rights_of(made, f"{group}/cgroup.procs") == 0
    assert made.limits["DATA"] == 5 * 2**30


def test_of_a_checkout_only_the_packages_are_read() -> None:
    """Its other files may be anything; their names are needed to find the packages."""
    paths = ("/", "/src", "/opt/python/lib")
    made = plan(replace(FACTS, import_paths=paths, package_folder="/src"))
    assert rights_of(made, "/src/accel_daemon/cli.py") & rights.READ_FILE
    assert rights_of(made, "/src/accel_protocol/errors.py") & rights.READ_FILE
    assert rights_of(made, "/src/certs/development.key") == rights.READ_DIR


def test_a_home_among_libraries_is_refused() -> None:
    """Else every accelerator could read the authority's key."""
    with pytest.raises(ConfigurationError, match="home lies in a folder"):
        plan(replace(FACTS, import_paths=("/home/x",)))
    plan(replace(FACTS, import_paths=("/home/x",)), level=Level.OFF)


def test_the_environment_is_emptied() -> None:
    """What is left is named, and home is the scratch folder."""
    made = plan()
    assert made.environment.keys() == {"PATH", "HOME", "TMPDIR"}
    assert made.environment["HOME"] == made.environment["TMPDIR"] == made.scratch


def test_what_the_launcher_hands_on_is_kept() -> None:
    """The two lists agree."""
    from pathlib import Path

    everything = dict.fromkeys(VARIABLES, "x")
    assert child_environment(everything, "/python", Path("/x")).keys() <= VARIABLES


@pytest.mark.parametrize(
    ("host", "port", "ports"),
    [
        ("127.0.0.1", 9444, (9444,)),
        ("127.0.0.1", 0, (0,)),
        ("::1", 9444, (9444, 0)),
        ("0.0.0.0", 9444, (9444, 0)),
        ("localhost", 9444, (9444, 0)),
        ("::", 0, (0,)),
    ],
)
def test_ports(host: str, port: int, ports: tuple[int, ...]) -> None:
    """Its own one; any as well while gRPC finds out about IPv6."""
    assert plan(host=host, port=port).ports == ports


def test_a_low_port_keeps_one_power() -> None:
    """Without it, port 444 could not be listened on after the change of user."""
    assert plan(port=444).capabilities == {10}
    assert plan(port=1024).capabilities == plan(port=0).capabilities == frozenset()


def test_limits() -> None:
    """No core dumps, no larger files, no more memory than there is."""
    made = plan(replace(FACTS, is_root=True))
    assert (made.limits["CORE"], made.limits["FSIZE"]) == (0, 1000)
    assert made.limits["DATA"] > 2**34
    assert "NPROC" in made.limits
    assert "NPROC" not in plan().limits


def test_gpus_are_used_where_they_are_wanted() -> None:
    """With their devices come their driver's files, and no bound for what the driver maps."""
    facts = replace(FACTS, gpu_devices=("/dev/nvidia0", "/dev/nvidiactl"))
    made = plan(facts)
    assert rights_of(made, "/dev/nvidia0") == rights.USE_DEVICE
    assert rights_of(made, "/proc/driver/nvidia/version") == rights.READ
    assert "DATA" not in made.limits
    hidden = plan(replace(facts, environment={"CUDA_VISIBLE_DEVICES": "-1"}))
    assert rights_of(hidden, "/dev/nvidia0") == rights_of(hidden, "/proc/driver/nvidia") == 0


def test_users_are_their_own() -> None:
    """The same at every start, another one for another accelerator, and none without root."""
    first = choose_uid(ID, ALL_USERS)
    assert first == choose_uid(ID, ALL_USERS) != choose_uid("eia-" + "2f" * 16, ALL_USERS)
    assert plan(replace(FACTS, is_root=True)).uid == first
    assert plan().uid is None


@given(st.integers(0, 2**128 - 1))
def test_users_are_in_ranges_that_nobody_gives_away(number: int) -> None:
    """Also in a container that has the first 65,536 only; none where only root exists."""
    accelerator_id = f"eia-{number:032x}"
    assert 0x7000_0000 <= (choose_uid(accelerator_id, ALL_USERS) or 0) < 0x7800_0000
    assert 30_000 <= (choose_uid(accelerator_id, [(0, 65_536)]) or 0) < 50_000
    assert choose_uid(accelerator_id, [(0, 1)]) is None


@given(PATHS)
def test_outermost(paths: list[str]) -> None:
    """Each path is in exactly one of those that are left."""
    kept = outermost(paths)
    for path in paths:
        holders = [one for one in kept if path == one or path.startswith(f"{one}/")]
        assert len(holders) == 1
    assert set(kept) <= set(paths)


def test_relative_paths_and_the_root_are_no_libraries() -> None:
    """An empty entry of LD_LIBRARY_PATH means the working folder, which is `/`."""
    facts = replace(
        FACTS, import_paths=("", "lib", "/"), environment={"LD_LIBRARY_PATH": ":/cuda:"}
    )
    libraries, listed = library_paths(facts)
    assert "/cuda" in libraries
    assert not {"", "/", "lib", "."} & {*libraries, *listed}


@pytest.mark.parametrize(
    ("abi", "seccomp", "missing"),
    [
        (7, True, []),
        (4, True, []),
        (3, True, ["Landlock for TCP"]),
        (1, True, ["Landlock"]),
        (0, False, ["Landlock", "seccomp"]),
        (4, False, ["seccomp"]),
    ],
)
def test_missing_layers(abi: int, seccomp: bool, missing: list[str]) -> None:
    """Each with what to do about it."""
    found = missing_layers(abi, seccomp)
    assert list(found) == missing
    assert all(found.values())
