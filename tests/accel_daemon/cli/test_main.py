"""The command line, as a person or a script meets it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ALLOW = {"Effect": "Allow", "Action": "elastic-inference:*", "Resource": "*"}


@pytest.mark.parametrize(
    "command",
    [(), ("up",), ("user",), ("user", "add"), ("user", "list"), ("user", "remove"), ("key",),
     ("key", "revoke"), ("status",), ("invite",), ("policy",), ("policy", "check"),
     ("policy", "lint")],
)  # fmt: skip
def test_help(tmp_path: Path, tools: Any, command: tuple[str, ...]) -> None:
    """Each command explains itself."""
    done = tools.run_cli(tmp_path, *command, "--help")
    assert done.returncode == 0
    assert f"Usage: {' '.join(('accel-daemon', *command))} " in done.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "said", "complaint"),
    [(("--version",), 0, "accel-daemon, version ", ""), (("status",), 1, "", "Remedy: "),
     (("statu",), 2, "", "No such command 'statu'")],
)  # fmt: skip
def test_the_program_is_the_command_line(
    tmp_path: Path, tools: Any, arguments: tuple[str, ...], status: int, said: str, complaint: str
) -> None:
    """As a process of its own: its status, its output and its errors; no traceback."""
    done = tools.run_program(tmp_path, *arguments)
    assert done.returncode == status
    assert said in done.stdout
    assert bool(done.stdout) == bool(said)
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr


def test_user_add_prints_a_key_once(tmp_path: Path, tools: Any) -> None:
    """An AKIA id and a 40-character secret; the list shows the id only."""
    key = tools.add_user(tmp_path, "ann", ALLOW)
    assert re.fullmatch("AKIA[A-Z2-7]{16}", key.access_key_id)
    assert re.fullmatch("[A-Za-z0-9]{40}", key.secret_access_key)
    listed = tools.run_cli(tmp_path, "user", "list").stdout
    assert listed == f"ann\t{key.access_key_id}\n"


def test_key_revoke_and_user_remove(tmp_path: Path, tools: Any) -> None:
    """What is gone is not listed."""
    key = tools.add_user(tmp_path, "ann", ALLOW)
    assert tools.run_cli(tmp_path, "key", "revoke", key.access_key_id).returncode == 0
    assert tools.run_cli(tmp_path, "user", "list").stdout == "ann\tno keys\n"
    assert tools.run_cli(tmp_path, "user", "remove", "ann").returncode == 0
    assert tools.run_cli(tmp_path, "user", "list").stdout == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("user", "remove", "nobody"), "no user"),
        (("key", "revoke", "AKIA" + "A" * 16), "no access key"),
        (("status",), "No daemon was started in this home"),
        (("invite", "ann"), "No daemon was started in this home"),
        (("up", "--port", "0", "--accelerator", "gpu"), "no accelerator type 'gpu'"),
        (("up", "--port", "0", "--host", "192.0.2.1"), "cannot be listened on"),
    ],
)
def test_errors_are_a_message_and_a_remedy(
    tmp_path: Path, tools: Any, arguments: tuple[str, ...], message: str
) -> None:
    """On standard error, with status 1 and without a traceback."""
    done = tools.run_cli(tmp_path, *arguments)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Remedy:" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"Version": "2012-10-17"}', '{"Statement": [{"Effect": "Maybe"}]}']
)
def test_policy_that_cannot_be_understood(tmp_path: Path, tools: Any, content: str) -> None:
    """No user is added with a policy that means nothing."""
    policy = tmp_path / "policy.json"
    policy.write_text(content)
    done = tools.run_cli(tmp_path, "user", "add", "ann", "--policy", str(policy))
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
    assert tools.run_cli(tmp_path, "user", "list").stdout == ""


def test_status_of_a_daemon(tmp_path: Path, tools: Any, interpreter: Path) -> None:
    """A line per accelerator, or all as JSON; and what is said when it is gone."""
    with tools.running_daemon(tmp_path, "--accelerator", f"host,python={interpreter}") as daemon:
        accelerator = daemon.ready["accelerators"][0]
        line = tools.run_cli(tmp_path, "status").stdout
        assert accelerator["id"] in line
        assert "ready" in line
        answer = json.loads(tools.run_program(tmp_path, "status", "--json").stdout)
        assert answer["accelerators"][0]["pid"] == accelerator["pid"]
        daemon.stop()
    done = tools.run_cli(tmp_path, "status")
    assert done.returncode == 1
    assert "does not answer" in done.stderr


def test_supervisor_imports_neither_tensorflow_nor_grpc() -> None:
    """It starts fast, and a stranger's graph cannot reach it."""
    code = (
        "import sys, accel_daemon.cli.main; "
        "assert not {'tensorflow', 'grpc', 'numpy'} & set(sys.modules), sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
