"""Folders to versions, and policies to what is served."""

from __future__ import annotations

import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st

from client_runtime.serving.models.versions import Policy, by_version, chosen, version_of


@pytest.mark.parametrize(
    ("folder", "version"),
    [
        ("1", 1),
        ("0", 0),
        ("00000123", 123),
        ("20170111173521", 20170111173521),
        ("9223372036854775807", 2**63 - 1),
        ("0" * 5000 + "7", 7),
        ("9223372036854775808", None),
        ("9" * 5000, None),
        ("", None),
        ("-1", None),
        ("1.0", None),
        ("1a", None),
        ("temp-1", None),
        ("1\n", None),
        ("١", None),
        (".ipynb_checkpoints", None),
    ],
)
def test_a_name_means_a_version_or_none(folder: str, version: int | None) -> None:
    """Numbers of int64, leading zeros allowed; all else is ignored."""
    assert version_of(folder) == version


@given(st.text())
def test_no_name_breaks_it(folder: str) -> None:
    """Any name means a version that int64 holds, or none."""
    version = version_of(folder)
    assert version is None or 0 <= version < 2**63


def test_of_two_names_the_later_counts() -> None:
    """Names for the same number are warned of."""
    choice = by_version(["001", "00001", "0001", "2", "x"])
    assert choice.folders == {1: "001", 2: "2"}
    assert choice.warnings == (
        "Duplicate version directories detected. Version 1 will be loaded from 0001, 00001 will "
        "be ignored.",
        "Duplicate version directories detected. Version 1 will be loaded from 001, 0001 will be "
        "ignored.",
    )


@pytest.mark.parametrize(
    ("policy", "versions"),
    [
        ("", [42]),
        ("latest {}", [42]),
        ("latest { num_versions: 0 }", [42]),
        ("latest { num_versions: 2 }", [33, 42]),
        ("latest { num_versions: 9 }", [17, 33, 42]),
        ("all {}", [17, 33, 42]),
        ("specific { versions: 17 versions: 42 }", [17, 42]),
        ("specific { versions: 17 versions: 5 }", [17]),
        ("specific {}", []),
    ],
)
def test_a_policy_chooses(policy: str, versions: list[int]) -> None:
    """The latest, so many of them, all, or those that are named and there."""
    parsed = text_format.Parse(policy, Policy())
    choice = chosen("m", parsed, ["42", "017", "33", "assets"])
    assert sorted(choice.folders) == versions


def test_a_version_that_is_missing_is_warned_of() -> None:
    """One that was asked for by number."""
    policy = Policy(specific=Policy.Specific(versions=[7, 1]))
    choice = chosen("m", policy, ["1"])
    assert choice.folders == {1: "1"}
    assert choice.warnings == (
        "Version 7 of servable m, which was requested to be served as a 'specific' version in the "
        "servable's version policy, was not found in the file system",
    )


@given(st.lists(st.integers(0, 50)), st.integers(0, 10))
def test_latest_takes_the_highest(numbers: list[int], count: int) -> None:
    """So many as are asked for, at least one where there is one."""
    policy = Policy(latest=Policy.Latest(num_versions=count))
    choice = chosen("m", policy, [str(number) for number in numbers])
    assert sorted(choice.folders) == sorted(set(numbers))[-max(count, 1) :]
