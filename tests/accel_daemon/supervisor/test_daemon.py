"""The whole daemon as a process, with stand-in accelerators."""

from __future__ import annotations

import json
import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from accel_daemon.control.identity_store import IdentityStore
from accel_daemon.iam.principals import Role, new_role_id

NOTHING = {"Effect": "Deny", "Action": "*", "Resource": "*"}


@pytest.fixture(scope="module")
def daemon(
    tmp_path_factory: pytest.TempPathFactory, tools: Any, interpreter: Path
) -> Iterator[Any]:
    """A daemon with two accelerators; tests leave it running."""
    home = tmp_path_factory.mktemp("home")
    kinds = [f"host,python={interpreter}", f"eia2.large,python={interpreter}"]
    options = [option for kind in kinds for option in ("--accelerator", kind)]
    with tools.running_daemon(home, *options) as running:
        yield running


def test_ready_file(daemon: Any) -> None:
    """It holds exactly what the outside relies on."""
    ready = daemon.ready
    containers = {"container_metadata", "container_credentials", "container_token_file"}
    assert set(ready) - containers == {
        *("control", "ca_file", "metadata", "region", "account", "accelerators")
    }
    assert containers <= set(ready)
    assert ready["control"].startswith("https://127.0.0.1:")
    assert ready["metadata"].startswith("http://127.0.0.1:")
    assert (ready["region"], ready["account"]) == ("us-east-1", "000000000000")
    assert [one["type"] for one in ready["accelerators"]] == ["host", "eia2.large"]
    for ordinal, one in enumerate(ready["accelerators"]):
        assert set(one) == {"id", "type", "endpoint", "pid"}
        (started,) = [fact for fact in _life(daemon, ordinal) if fact["event"] == "started"]
        assert started["pid"] == one["pid"]


def _life(daemon: Any, ordinal: int) -> list[dict[str, Any]]:
    path = daemon.store(ordinal) / "life.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_everything_in_the_home_is_private(daemon: Any) -> None:
    """Only the certificate of the authority is for others."""
    ours = [daemon.home / "client.json", *(daemon.home / "daemon").rglob("*")]
    for path in [one for one in ours if "store" not in one.parts]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_client_profile_works(daemon: Any, tools: Any) -> None:
    """A client on this machine needs nothing else."""
    done = tools.run_cli(daemon.home, "status", "--json")
    assert done.returncode == 0, done.stderr
    assert [one["state"] for one in json.loads(done.stdout)["accelerators"]] == ["ready", "ready"]


def test_second_daemon_is_refused(daemon: Any, tools: Any) -> None:
    """Its message names the process of the first one, which goes on."""
    done = tools.run_cli(daemon.home, "up", "--port", "0")
    assert done.returncode == 1
    assert str(daemon.process.pid) in done.stderr
    assert "Traceback" not in done.stderr
    assert daemon.ready_file.exists()


def test_removed_key_is_revoked_everywhere_within_two_seconds(daemon: Any, tools: Any) -> None:
    """Also those of a removed user; the audit log says so."""
    key = tools.add_user(daemon.home, "leaving", NOTHING)
    tools.wait_until(lambda: _reason(daemon, key) == "ACCESS_DENIED", 2)
    assert tools.run_cli(daemon.home, "user", "remove", "leaving").returncode == 0

    def is_revoked() -> bool:
        return all(
            any(one["event"] == "revoke" and key.access_key_id in one["keys"] for one in life)
            for life in (_life(daemon, 0), _life(daemon, 1))
        )

    tools.wait_until(is_revoked, 2)
    assert _reason(daemon, key) == "SIGNATURE_MISMATCH"
    audit = (daemon.home / "daemon" / "audit.log").read_text()
    assert any(
        json.loads(line)["who"] == key.access_key_id and json.loads(line)["action"] == "revoke"
        for line in audit.splitlines()
    )


def test_removed_role_is_revoked_everywhere_within_two_seconds(daemon: Any, tools: Any) -> None:
    """By its id, which the tickets of its sessions name."""
    store = IdentityStore(daemon.home / "daemon" / "identities.json")
    role = Role("brief", new_role_id())
    store.update(lambda present: present.with_role(role))
    daemon.call("GET", "/status")  # with each request the daemon looks for changes
    store.update(lambda present: present.without_role("brief"))

    def is_revoked() -> bool:
        return all(
            any(one["event"] == "revoke" and role.role_id in one["keys"] for one in life)
            for life in (_life(daemon, 0), _life(daemon, 1))
        )

    tools.wait_until(is_revoked, 2)


def _reason(daemon: Any, key: Any) -> str:
    return str(daemon.call("GET", "/status", key=key).json()["reason"])


def test_damaged_identities_leave_the_old_ones_in_force(daemon: Any, tools: Any) -> None:
    """A slip of the operator's editor locks nobody out, and is in the log."""
    path = daemon.home / "daemon" / "identities.json"
    whole = path.read_bytes()
    path.write_text("{")
    tools.wait_until(lambda: "old ones stay in force" in daemon.errors.read_text(), 5)
    assert tools.run_cli(daemon.home, "status").returncode == 0
    path.write_bytes(whole)


def test_no_secret_in_any_log(daemon: Any) -> None:
    """Neither keys nor private keys nor tickets."""
    profile = json.loads((daemon.home / "client.json").read_text())
    logs = daemon.errors.read_text() + (daemon.home / "daemon" / "audit.log").read_text()
    assert profile["secret_access_key"] not in logs
    assert "PRIVATE KEY" not in logs
    assert "eyJ" not in logs


def test_sigterm_ends_in_good_order_and_ids_stay(
    tmp_path: Path, tools: Any, interpreter: Path
) -> None:
    """Exit status 0, no ready file, all drained; the next start has the same ids and key."""
    with tools.running_daemon(tmp_path, "--accelerator", f"host,python={interpreter}") as first:
        ready, store = first.ready, first.store()
        profile = json.loads((tmp_path / "client.json").read_text())
        assert first.stop() == 0
        assert not first.ready_file.exists()
        assert tools.read_life(store)[-1]["event"] == "drain"
        with pytest.raises(ProcessLookupError):
            os.kill(ready["accelerators"][0]["pid"], 0)
    with tools.running_daemon(tmp_path, "--accelerator", f"host,python={interpreter}") as second:
        assert second.ready["accelerators"][0]["id"] == ready["accelerators"][0]["id"]
        again = json.loads((tmp_path / "client.json").read_text())
        assert again["secret_access_key"] == profile["secret_access_key"]
        assert again["control"] == second.ready["control"]


def test_killed_daemon_takes_its_accelerators_along(
    tmp_path: Path, tools: Any, interpreter: Path
) -> None:
    """No process serves on without a supervisor, and the lock is free again."""
    with tools.running_daemon(tmp_path, "--accelerator", f"host,python={interpreter}") as daemon:
        pid = daemon.ready["accelerators"][0]["pid"]
        daemon.process.send_signal(signal.SIGKILL)
        daemon.process.wait()
        tools.wait_until(lambda: not _is_running(pid))
    with tools.running_daemon(tmp_path, "--accelerator", f"host,python={interpreter}") as daemon:
        assert daemon.ready["accelerators"][0]["pid"] != pid


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")")[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_accelerator_that_cannot_start(tmp_path: Path, tools: Any) -> None:
    """The daemon says why and ends with status 1, without a ready file."""
    python = tools.write_interpreter(tmp_path / "python", "--fail")
    ready_file = tmp_path / "ready.json"
    ready_file.write_text("stale")
    done = tools.run_cli(
        tmp_path / "home",
        *("up", "--port", "0", "--ready-file", str(ready_file)),
        *("--accelerator", f"eia1.medium,python={python}"),
    )
    assert done.returncode == 1
    assert "cannot start: the engine is missing" in done.stderr
    assert "Remedy:" in done.stderr
    assert "Traceback" not in done.stderr
    assert not ready_file.exists()


def test_port_that_is_taken(daemon: Any, tmp_path: Path, tools: Any, interpreter: Path) -> None:
    """The message names the port."""
    port = daemon.ready["control"].rpartition(":")[2]
    done = tools.run_cli(
        tmp_path / "home", "up", "--port", port, "--accelerator", f"host,python={interpreter}"
    )
    assert done.returncode == 1
    assert f"Port {port}" in done.stderr
