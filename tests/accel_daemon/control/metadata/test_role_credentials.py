"""When credentials are replaced, and how they are shown."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_daemon.control.metadata.role_credentials import (
    LIFE_SECONDS,
    RoleCredentials,
    failure_document,
    info_document,
    instance_document,
    is_due,
    role_document,
)
from accel_daemon.iam.temporary_credentials import TemporaryCredentials
from tests.accel_daemon.control.metadata.stand_ins import ACCOUNT, FACTS, ROLE, Issuer

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
CREDENTIALS = TemporaryCredentials(
    "ASIA" + "A" * 16, "s" * 40, "t", START, START + timedelta(hours=1)
)


@pytest.mark.parametrize(
    ("seconds", "due"),
    [(-1, True), (0, False), (1, False), (1799, False), (1800, True), (3600, True), (9999, True)],
)
def test_due(seconds: int, due: bool) -> None:
    """In the second half of their life, and when the clock was set back."""
    assert is_due(CREDENTIALS, START + timedelta(seconds=seconds), 0.0) == due


@pytest.mark.parametrize(("passed", "due"), [(1799.0, False), (1800.0, True), (9999.0, True)])
def test_due_by_what_passed(passed: float, due: bool) -> None:
    """Also when the clock is set back so far that it shows the first half again."""
    assert is_due(CREDENTIALS, START + timedelta(minutes=1), passed) == due


def test_a_clock_that_is_set_back_makes_nothing_younger() -> None:
    """Half an hour after they were issued there are new ones, whatever the clock shows."""
    issuer, up = Issuer(now=START), [50.0]
    credentials = RoleCredentials(issuer.role, "i-0", lambda: issuer.now, lambda: up[0])
    issuer.now += timedelta(minutes=1)
    first = credentials.current(FACTS)
    up[0] += 1799
    assert credentials.current(FACTS) == first
    up[0] += 1
    assert credentials.current(FACTS) != first


@given(st.lists(st.integers(min_value=0, max_value=5000), max_size=20))
def test_who_asks_gets_enough_time(pauses: list[int]) -> None:
    """At least 25 minutes are left at any time: with less, botocore would use them past the end."""
    issuer = Issuer(now=START)
    credentials = RoleCredentials(issuer.role, "i-0", lambda: issuer.now)
    for pause in pauses:
        issuer.now += timedelta(seconds=pause)
        left = credentials.current(FACTS).expires_at - issuer.now
        assert timedelta(minutes=25) < left <= timedelta(seconds=LIFE_SECONDS)


def test_the_same_in_between() -> None:
    """Everyone who asks gets the same ones, until they are due."""
    issuer = Issuer(now=START)
    credentials = RoleCredentials(issuer.role, "i-0", lambda: issuer.now)
    first = credentials.current(FACTS)
    issuer.now += timedelta(minutes=29)
    assert credentials.current(FACTS) == first
    issuer.now += timedelta(minutes=1)
    assert credentials.current(FACTS) != first


def test_another_role_of_the_same_name() -> None:
    """What an earlier role gave is worth nothing, so it is not given on."""
    issuer = Issuer(now=START)
    credentials = RoleCredentials(issuer.role, "i-0", lambda: issuer.now)
    first = credentials.current(FACTS)
    assert credentials.current(replace(FACTS, id="AROA" + "B" * 17)) != first


def test_as_ec2_shows_them() -> None:
    """Exactly these members, times in whole seconds."""
    assert json.loads(instance_document(CREDENTIALS)) == {
        "Code": "Success",
        "LastUpdated": "2026-01-02T03:04:05Z",
        "Type": "AWS-HMAC",
        "AccessKeyId": "ASIA" + "A" * 16,
        "SecretAccessKey": "s" * 40,
        "Token": "t",
        "Expiration": "2026-01-02T04:04:05Z",
    }


def test_as_ecs_shows_them() -> None:
    """Exactly these members."""
    assert json.loads(role_document(CREDENTIALS, FACTS.arn)) == {
        "RoleArn": FACTS.arn,
        "AccessKeyId": "ASIA" + "A" * 16,
        "SecretAccessKey": "s" * 40,
        "Token": "t",
        "Expiration": "2026-01-02T04:04:05Z",
    }


def test_profile() -> None:
    """The instance profile has the role's name, and an id of the documented form."""
    found = json.loads(info_document(FACTS.arn, ACCOUNT, ROLE, START))
    assert found["InstanceProfileArn"] == f"arn:aws:iam::{ACCOUNT}:instance-profile/{ROLE}"
    assert len(found["InstanceProfileId"]) == 21
    assert found["InstanceProfileId"].startswith("AIPA")
    assert found["Code"] == "Success"


def test_failure() -> None:
    """What botocore takes for "no credentials here": Code and Message, and no key."""
    assert json.loads(failure_document("Why.", START)) == {
        "Code": "Failed",
        "Message": "Why.",
        "LastUpdated": "2026-01-02T03:04:05Z",
    }
