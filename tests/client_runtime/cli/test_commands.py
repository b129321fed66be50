"""`accel attach`, `accel ls` and `accel completion` where no daemon is needed."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from accel_protocol.errors import AcceleratorError
from client_runtime.cli.ls import as_table
from client_runtime.discovery.listing import Accelerator


def run(name: str, *arguments: str, text: str | None = None) -> Result:
    """Run a command."""
    command: click.Command = importlib.import_module(f"client_runtime.cli.{name}").command
    return CliRunner().invoke(command, arguments, input=text)


@pytest.mark.parametrize("name", ["attach", "ls", "completion"])
def test_help(name: str) -> None:
    """Each explains itself, and is called what its module is called."""
    assert run(name, "--help").exit_code == 0
    assert importlib.import_module(f"client_runtime.cli.{name}").command.name == name


def test_ls_when_nothing_is_found(nowhere: Path) -> None:
    """An error whose message is the trail."""
    result = run("ls")
    assert isinstance(result.exception, AcceleratorError)
    assert f"{nowhere}/attached.json (no such file)" in result.exception.message
    assert result.stdout == ""


def test_ls_as_json_when_nothing_is_found(nowhere: Path) -> None:
    """Status 1, and the same for programs."""
    result = run("ls", "--json")
    document: dict[str, Any] = json.loads(result.stdout)
    assert result.exit_code == 1
    assert document["accelerators"] == []
    assert document["error"]["reason"] == "NOT_CONFIGURED"
    assert document["trail"][0] == {
        "source": "the call's arguments",
        "outcome": "no endpoint given",
    }


def test_ls_when_nobody_answers(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was found is in the trail, and why it is of no use in the error."""
    monkeypatch.setenv("ACCEL_ENDPOINT", "https://127.0.0.1:1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA" + "T" * 16)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "t" * 40)
    result = run("ls", "--json")
    document = json.loads(result.stdout)
    assert result.exit_code == 1
    assert document["error"]["reason"] == "UNAVAILABLE"
    assert document["trail"][-1] == {"source": "ACCEL_ENDPOINT", "outcome": "used"}


def test_table() -> None:
    """Columns line up, and a daemon cannot write to the terminal."""
    ids = [f"eia-{digit * 32}" for digit in "01"]
    rows = [
        Accelerator(ids[0], "host", 0, "Ok", "https://h:1", "ACCEL_ENDPOINT", "h:2"),
        Accelerator(ids[1], "eia2.xlarge", 1, "\x1b[31m", "https://h:1", "ACCEL_ENDPOINT"),
    ]
    lines = as_table(rows).splitlines()
    assert {line.index("eia") for line in lines[1:]} == {lines[0].index("ID", 8)}
    assert lines[1].split() == ["0", ids[0], "host", "Ok", "-", "h:2", "ACCEL_ENDPOINT"]
    assert lines[2].split()[3:6] == ["?[31m", "-", "https://h:1"]


def test_table_of_emulated_types() -> None:
    """Memory and throughput, and whether runs are held to it."""
    one = Accelerator(
        *("eia-1", "eia2.large", 0, "Ok", "https://h:1", "ACCEL_ENDPOINT", "h:2"),
        memory_bytes=4 << 30,
        tera_flops_16=16,
        tera_flops_32=2,
        paced=True,
    )
    cells = as_table([one]).splitlines()[1].split()
    assert cells[2:8] == ["eia2.large", "4.00", "GiB", "2/16", "paced", "Ok"]


@pytest.mark.parametrize("text", ["", "hello\n", "accel://x:y@h:1\n", "x" * 5000])
def test_attach_refuses_what_is_no_invitation(nowhere: Path, text: str) -> None:
    """From standard input, with and without -."""
    for arguments in ((), ("-",)):
        result = run("attach", *arguments, text=text)
        assert isinstance(result.exception, AcceleratorError)
        assert "invite" in result.exception.remedy
        assert not nowhere.exists()


def test_detach(nowhere: Path) -> None:
    """What is there is removed; what is not there is said."""
    nowhere.mkdir()
    (nowhere / "attached.json").write_text("{}")
    assert run("attach", "--detach").exit_code == 0
    assert not (nowhere / "attached.json").exists()
    assert isinstance(run("attach", "--detach").exception, AcceleratorError)
    assert run("attach", "--detach", "accel://x").exit_code == 2


def test_detach_as_json(nowhere: Path) -> None:
    """The same for programs: nothing is attached, and why not when that was so before."""
    nowhere.mkdir()
    (nowhere / "attached.json").write_text("{}")
    done, again = (run("attach", "--detach", "--json") for _ in range(2))
    assert done.exit_code == 0
    assert set(json.loads(done.stdout).values()) == {None}
    assert again.exit_code == 1
    assert json.loads(again.stdout)["error"]["message"] == "Nothing is attached."


def test_attach_as_json_when_nobody_answers(nowhere: Path) -> None:
    """Status 1, the reason, and not the secret."""
    uri = f"accel://{'A' * 20}:{'s' * 40}@127.0.0.1:1?ca=sha256:{'0' * 64}"
    result = run("attach", "--json", text=uri)
    document = json.loads(result.stdout)
    assert result.exit_code == 1
    assert document["control"] is None
    assert document["error"]["reason"] == "UNAVAILABLE"
    assert "sss" not in result.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str) -> None:
    """The script asks the program itself what there is."""
    script = run("completion", shell)
    assert script.exit_code == 0
    assert "_ACCEL_COMPLETE" in script.stdout


def test_completion_of_another_shell() -> None:
    """Wrong arguments, status 2."""
    assert run("completion", "tcsh").exit_code == 2
