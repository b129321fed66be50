"""`accel-daemon user`, `group`, `role`, and `policy check` on what they made."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from accel_daemon.cli.main import cli
from accel_daemon.control.identity_store import IdentityStore
from accel_daemon.iam.principals import Identities
from accel_protocol.errors import AcceleratorError

CONNECT = "elastic-inference:Connect"
Run = Callable[..., Result]


def document(effect: str, action: str) -> str:
    """A policy of one statement."""
    statement = {"Sid": effect + "It", "Effect": effect, "Action": action, "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home, and policies: all.json, connect.json, status.json and none.json."""
    for name, effect, action in (
        ("all", "Allow", "*"),
        ("connect", "Allow", CONNECT),
        ("status", "Allow", "elastic-inference:GetStatus"),
        ("none", "Deny", "*"),
    ):
        (tmp_path / f"{name}.json").write_text(document(effect, action))
    return tmp_path


@pytest.fixture
def run(home: Path) -> Run:
    """Run a command in the home; a word NAME.json is a file of it."""

    def run(*words: str) -> Result:
        paths = [str(home / word) if word.endswith(".json") else word for word in words]
        return CliRunner().invoke(cli, paths, env={"ACCEL_HOME": str(home / "accel")})

    return run


@pytest.fixture
def done(run: Run) -> Callable[..., str]:
    """Run a command that succeeds; its output."""

    def done(*words: str) -> str:
        result = run(*words)
        assert result.exit_code == 0, (result.output, result.exception)
        return result.output

    return done


def stored(home: Path) -> Identities:
    """What the home holds."""
    return IdentityStore(home / "accel" / "daemon" / "identities.json").load()


def test_every_command_explains_itself(done: Callable[..., str]) -> None:
    """Each of them has a help text."""
    context = click.Context(cli)
    for name in ("user", "key", "group", "role"):
        commands = cli.get_command(context, name)
        assert isinstance(commands, click.Group)
        for command in commands.commands:
            assert "Usage: " in done(name, command, "--help")


def test_groups(home: Path, done: Callable[..., str]) -> None:
    """Users come and go; the list shows who is in them."""
    done("group", "add", "staff", "--policy", "connect.json")
    done("user", "add", "ann", "--group", "staff")
    done("user", "add", "bob", "--policy", "status.json")
    done("group", "add-user", "staff", "bob")
    assert done("group", "list") == "staff\tusers ann, bob\n"
    done("group", "remove-user", "staff", "ann")
    (row,) = json.loads(done("group", "list", "--json"))
    assert (row["name"], row["users"]) == ("staff", ["bob"])
    done("group", "policy", "staff", "--policy", "status.json")
    assert stored(home).groups[0].policies == (json.loads((home / "status.json").read_text()),)
    done("group", "remove-user", "staff", "bob")
    done("group", "remove", "staff")
    assert stored(home).groups == ()


def test_users_as_json(done: Callable[..., str]) -> None:
    """The new key once, and never again."""
    added = json.loads(
        done("user", "add", "ann", "--policy", "all.json", "--boundary", "connect.json", "--json")
    )
    assert set(added) == {"user", "access_key_id", "secret_access_key"}
    listed = done("user", "list", "--json")
    assert added["secret_access_key"] not in listed
    (row,) = json.loads(listed)
    assert row["keys"][0]["access_key_id"] == added["access_key_id"]
    assert row["boundary"]["Statement"][0]["Action"] == CONNECT
    assert done("user", "list") == f"ann\t{added['access_key_id']}\tbounded\n"


def test_boundary_and_policy_are_replaced(home: Path, done: Callable[..., str]) -> None:
    """And the boundary is removed."""
    done("user", "add", "ann", "--policy", "all.json")
    done("user", "boundary", "ann", "--policy", "connect.json")
    done("user", "policy", "ann", "--policy", "status.json")
    (ann,) = stored(home).users
    assert ann.boundary == json.loads((home / "connect.json").read_text())
    assert ann.policies == (json.loads((home / "status.json").read_text()),)
    done("user", "boundary", "ann", "--none")
    assert stored(home).users[0].boundary is None


def test_roles(home: Path, done: Callable[..., str]) -> None:
    """Who may assume them, by name or ARN, and for how long."""
    done("user", "add", "ann", "--policy", "all.json")
    arn = done(
        *("role", "add", "lab", "--policy", "connect.json", "--trust", "ann"),
        *("--max-session", "7200", "--boundary", "all.json"),
    ).strip()
    assert arn == "arn:aws:iam::000000000000:role/lab"
    done("role", "add", "next", "--policy", "connect.json", "--trust", arn)
    user = "arn:aws:iam::000000000000:user/ann"
    first, second = json.loads(done("role", "list", "--json"))
    assert (first["trusted"], first["max_session_seconds"]) == ([user], 7200)
    assert second["trusted"] == [arn]
    assert f"lab\tarn {arn}\ttrusted {user}\tmax_session_seconds 7200\n" in done("role", "list")
    done("role", "trust", "lab")
    done("role", "policy", "lab", "--policy", "status.json")
    lab = stored(home).roles[0]
    assert (lab.trusted, lab.role_id) == ((), first["role_id"])
    assert lab.policies == (json.loads((home / "status.json").read_text()),)
    done("role", "remove", "lab")
    assert [role.name for role in stored(home).roles] == ["next"]
    assert stored(home).roles[0].trusted == ()


@pytest.mark.parametrize(
    "words",
    [
        ("user", "add", "x"),
        ("user", "boundary", "ann"),
        ("user", "boundary", "ann", "--none", "--policy", "all.json"),
        ("role", "add", "x", "--policy", "all.json", "--max-session", "899"),
        ("policy", "check", "--action", CONNECT),
        ("policy", "check", "--action", CONNECT, "--user", "ann", "--role", "lab"),
    ],
)
def test_wrong_arguments(run: Run, words: tuple[str, ...]) -> None:
    """Exit status 2."""
    assert run(*words).exit_code == 2


@pytest.mark.parametrize(
    "words",
    [
        ("user", "add", "ann", "--group", "nobody"),
        ("user", "policy", "nobody", "--policy", "all.json"),
        ("user", "boundary", "nobody", "--none"),
        ("group", "add-user", "nobody", "ann"),
        ("group", "remove", "nobody"),
        ("role", "add", "lab", "--policy", "all.json", "--trust", "nobody"),
        ("role", "add", "lab", "--policy", "all.json", "--trust", "*"),
        ("role", "add", "lab", "--policy", "all.json", "--trust", "arn:aws:iam::1:user/x"),
        ("role", "policy", "nobody", "--policy", "all.json"),
        ("role", "trust", "nobody"),
        ("role", "remove", "nobody"),
        ("policy", "check", "--action", CONNECT, "--role", "nobody"),
    ],
)
def test_what_is_not_there(run: Run, words: tuple[str, ...]) -> None:
    """An error with a remedy."""
    result = run(*words)
    assert isinstance(result.exception, AcceleratorError)
    assert result.exception.remedy


def check(run: Run, *words: str) -> tuple[int, list[str]]:
    """Exit status and lines of `policy check` about Connect, without the question."""
    result = run("policy", "check", "--action", CONNECT, *words)
    return result.exit_code, result.output.splitlines()[3:]


WHY = "action, resource and conditions match"


def test_check_of_a_user_takes_everything_in(run: Run, done: Callable[..., str]) -> None:
    """Own policies, groups and the boundary, each statement by where it comes from."""
    done("group", "add", "staff", "--policy", "connect.json")
    done("user", "add", "ann", "--policy", "status.json", "--group", "staff")
    assert check(run, "--user", "ann") == (
        0,
        [
            "policy 1, AllowIt: Allow does not apply: it does not name the action",
            f"group staff, policy 1, AllowIt: Allow applies: {WHY}",
            "allowed: AllowIt allows it.",
        ],
    )
    done("user", "boundary", "ann", "--policy", "status.json")
    status, lines = check(run, "--user", "ann")
    assert status == 3
    assert lines[2:] == [
        "permission boundary 1, AllowIt: Allow does not apply: it does not name the action",
        "denied: The permission boundary does not allow it.",
    ]


def test_check_of_a_role_and_a_session(run: Run, done: Callable[..., str]) -> None:
    """As a session of the role, narrowed or not."""
    done("role", "add", "lab", "--policy", "connect.json")
    status, lines = check(run, "--role", "lab")
    assert (status, lines[-1]) == (0, "allowed: AllowIt allows it.")
    status, lines = check(run, "--role", "lab", "--session-policy", "status.json")
    assert (status, lines[-1]) == (3, "denied: The session does not allow it.")
    status, lines = check(run, "--role", "lab", "--session-policy", "none.json")
    assert lines[-2:] == [
        f"session policy 1, DenyIt: Deny applies: {WHY}",
        "denied: DenyIt denies it.",
    ]
    asked: Any = run("policy", "check", "--action", CONNECT, "--role", "lab").output
    assert asked.startswith("arn:aws:sts::000000000000:assumed-role/lab/policy-check\n")
