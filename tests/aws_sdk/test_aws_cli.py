"""The AWS command line that knew the elastic-inference service, run as a user would run it.

It is told where the daemon is by nothing but the environment: `tox -e boto3`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.aws_sdk.conftest import TYPES, arn_of, client_variables
from tests.conftest import Daemon, environment, patience

pytest.importorskip("awscli", "1.37", reason="needs the AWS CLI: run `tox -e boto3`")

REFUSED = 255  # what `aws` of version 1 exits with when the service refused


def run(daemon: Daemon, *arguments: str, **changed: str) -> subprocess.CompletedProcess[str]:
    """`aws elastic-inference ARGUMENTS`."""
    return subprocess.run(
        [sys.executable, "-m", "awscli", "elastic-inference", *arguments],
        env={**environment(daemon.home), **client_variables(daemon), **changed},
        capture_output=True,
        text=True,
        timeout=patience(60),
    )


def answer(daemon: Daemon, *arguments: str) -> Any:
    """What a call that works prints, None for nothing."""
    ended = run(daemon, *arguments)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    return json.loads(ended.stdout) if ended.stdout else None


def test_accelerators(fleet: Daemon) -> None:
    """All of them, and by id and filter."""
    rows = answer(fleet, "describe-accelerators")["acceleratorSet"]
    ids = [one["id"] for one in fleet.ready["accelerators"]]
    assert [row["acceleratorId"] for row in rows] == ids
    assert [row["acceleratorType"] for row in rows] == list(TYPES)
    assert all(row["acceleratorHealth"] == {"status": "Ok"} for row in rows)
    found = answer(fleet, "describe-accelerators", "--accelerator-ids", ids[1], ids[0])
    assert {row["acceleratorId"] for row in found["acceleratorSet"]} == {ids[0], ids[1]}
    wanted = ("--filters", "name=accelerator-type,values=eia1.medium")
    (row,) = answer(fleet, "describe-accelerators", *wanted)["acceleratorSet"]
    assert row["acceleratorId"] == ids[0]


def test_pages(fleet: Daemon) -> None:
    """The command line pages by itself, or by the token that it prints."""
    rows = answer(fleet, "describe-accelerators", "--page-size", "1")["acceleratorSet"]
    assert len(rows) == len(TYPES)
    first = answer(fleet, "describe-accelerators", "--max-items", "2")
    rest = answer(fleet, "describe-accelerators", "--starting-token", first["NextToken"])
    assert first["acceleratorSet"] + rest["acceleratorSet"] == rows


def test_types(fleet: Daemon) -> None:
    """The published ones with their memory."""
    rows = answer(fleet, "describe-accelerator-types")["acceleratorTypes"]
    memory = {row["acceleratorTypeName"]: row["memoryInfo"]["sizeInMiB"] for row in rows}
    assert len(memory) == 6
    assert memory["eia2.medium"] == 2048


def test_offerings(fleet: Daemon) -> None:
    """Every type, where the daemon says it is."""
    location = ("--location-type", "region")
    rows = answer(fleet, "describe-accelerator-offerings", *location)["acceleratorTypeOfferings"]
    assert len(rows) == 6
    assert {row["location"] for row in rows} == {fleet.ready["region"]}
    assert {row["locationType"] for row in rows} == {"region"}


def test_tags(fleet: Daemon) -> None:
    """Set, listed and removed."""
    arn = ("--resource-arn", arn_of(fleet, 1))
    assert answer(fleet, "list-tags-for-resource", *arn) == {"tags": {}}
    assert answer(fleet, "tag-resource", *arn, "--tags", "owner=ann,team=a b") is None
    assert answer(fleet, "list-tags-for-resource", *arn) == {
        "tags": {"owner": "ann", "team": "a b"}
    }
    assert answer(fleet, "untag-resource", *arn, "--tag-keys", "owner", "team") is None
    assert answer(fleet, "list-tags-for-resource", *arn) == {"tags": {}}


@pytest.mark.parametrize(
    ("arguments", "changed", "code"),
    [
        (("describe-accelerators", "--accelerator-ids", "eia-0"), {}, "ResourceNotFoundException"),
        (("describe-accelerator-offerings", "--location-type", "moon"), {}, "BadRequestException"),
        (
            ("describe-accelerator-types",),
            {"AWS_SECRET_ACCESS_KEY": "0" * 40},
            "UnrecognizedClientException",
        ),
    ],
)
def test_refusals(
    fleet: Daemon, arguments: tuple[str, ...], changed: dict[str, str], code: str
) -> None:
    """The exit status of a refusal, nothing on standard output, and the name of the error."""
    ended = run(fleet, *arguments, **changed)
    assert (ended.returncode, ended.stdout) == (REFUSED, "")
    assert f"({code})" in ended.stderr
