"""`accel-daemon policy`, as an operator meets it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from accel_daemon.cli.policies import read_context
from accel_protocol.errors import ConfigurationError

CONNECT = "elastic-inference:Connect"
FROM_TEN = {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}
ALLOW = {"Effect": "Allow", "Action": CONNECT, "Resource": "*", "Condition": FROM_TEN}
DENY = {"Sid": "NotOne", "Effect": "Deny", "Action": "*",
        "Resource": "arn:aws:elastic-inference:*:*:*/eia-1"}  # fmt: skip


def test_check_explains_statement_by_statement(tmp_path: Path, tools: Any) -> None:
    """Every statement with its reason, then the decision as exit status."""
    tools.add_user(tmp_path, "ann", ALLOW, DENY)
    ask = ("policy", "check", "--user", "ann", "--action", CONNECT, "--accelerator")
    inside = ("--context", "aws:SourceIp=10.1.2.3")
    allowed = tools.run_cli(tmp_path, *ask, "eia-2", *inside)
    assert (allowed.returncode, allowed.stderr) == (0, "")
    assert allowed.stdout.splitlines() == [
        "arn:aws:iam::000000000000:user/ann",
        f"{CONNECT} on arn:aws:elastic-inference:us-east-1:000000000000:"
        "elastic-inference-accelerator/eia-2",
        "",
        "policy 1, Statement 1: Allow applies: action, resource and conditions match",
        "policy 1, NotOne: Deny does not apply: it does not name the resource",
        "allowed: Statement 1 allows it.",
    ]
    denied = tools.run_cli(tmp_path, *ask, "eia-1", *inside)
    assert denied.returncode == 3
    assert denied.stdout.endswith("denied: NotOne denies it.\n")
    outside = tools.run_cli(tmp_path, *ask, "eia-2")
    assert outside.returncode == 3
    assert "IpAddress on aws:SourceIp does not hold" in outside.stdout


def test_check_for_programs(tmp_path: Path, tools: Any) -> None:
    """The same as JSON; the exit status says it as well."""
    tools.add_user(tmp_path, "ann", ALLOW, DENY)
    ask = ("policy", "check", "--user", "ann", "--action", CONNECT, "--json", "--resource")
    done = tools.run_cli(tmp_path, *ask, "arn:aws:elastic-inference:us-east-1:1:x/eia-1")
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["allowed"], answer["explicit_deny"]) == (3, False, True)
    assert [(one["statement"], one["applies"]) for one in answer["statements"]] == [
        ("Statement 1", False),
        ("NotOne", True),
    ]


def test_lint_for_programs(tmp_path: Path, tools: Any) -> None:
    """Findings as JSON."""
    file = tmp_path / "policy.json"
    file.write_text(json.dumps({"Statement": {**ALLOW, "Resource": "*", "Action": "*"}}))
    done = tools.run_cli(tmp_path, "policy", "lint", "--json", str(file))
    rows = json.loads(done.stdout)["findings"]
    assert [(row["severity"], row["code"], row["statement"]) for row in rows] == [
        ("information", "ALLOWS_EVERYTHING", "Statement 1")
    ]


def test_check_of_an_unknown_user(tmp_path: Path, tools: Any) -> None:
    """A message and a remedy."""
    done = tools.run_cli(tmp_path, "policy", "check", "--user", "x", "--action", CONNECT)
    assert (done.returncode, done.stdout) == (1, "")
    assert "no user" in done.stderr


@pytest.mark.parametrize(
    ("document", "status", "words"),
    [
        ({"Version": "2012-10-17", "Statement": DENY}, 0, "Nothing found."),
        ({"Statement": {**ALLOW, "Action": "*"}}, 0, "information  ALLOWS_EVERYTHING"),
        ({"Statement": {**DENY, "Resource": DENY["Resource"] + "${aws:username}"}}, 3,
         "VARIABLES_ARE_TEXT"),
        ({"Statement": {"Effect": "Allow", "NotAction": "s3:*", "Resource": "*"}}, 3,
         "warning  NOT_ACTION_ALLOWS  Statement 1: "),
    ],
)  # fmt: skip
def test_lint(tmp_path: Path, tools: Any, document: Any, status: int, words: str) -> None:
    """Findings on standard output; warnings as exit status."""
    file = tmp_path / "policy.json"
    file.write_text(json.dumps(document))
    done = tools.run_cli(tmp_path, "policy", "lint", str(file))
    assert (done.returncode, done.stderr) == (status, "")
    assert words in done.stdout


@pytest.mark.parametrize("content", [b"\xff", b"[]", b'{"Statement": [], "Statement": []}'])
@pytest.mark.parametrize("command", [("policy", "lint"), ("user", "add", "ann", "--policy")])
def test_malformed_file(tmp_path: Path, tools: Any, command: Any, content: bytes) -> None:
    """Refused by both, with a remedy and without a traceback."""
    file = tmp_path / "policy.json"
    file.write_bytes(content)
    done = tools.run_cli(tmp_path, *command, str(file))
    assert (done.returncode, done.stdout) == (1, "")
    assert "Remedy:" in done.stderr
    assert "Traceback" not in done.stderr


def test_context_of_pairs() -> None:
    """A key again is one more value, whatever its case."""
    pairs = ("t:a=1", "T:A=2", "t:b=x=y", "t:c=", "AWS:currenttime=2026")
    expected = {"t:a": ("1", "2"), "t:b": ("x=y",), "t:c": ("",), "aws:CurrentTime": ("2026",)}
    assert read_context(pairs) == expected


@pytest.mark.parametrize("pair", ["", "t:a", "=1"])
def test_context_refuses(pair: str) -> None:
    """Something else than KEY=VALUE."""
    with pytest.raises(ConfigurationError, match="KEY=VALUE"):
        read_context((pair,))
