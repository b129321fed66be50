"""The holes that `accel-daemon policy lint` names, and what it keeps quiet about."""

from __future__ import annotations

from typing import Any

import pytest

from accel_daemon.iam.lint import Severity, has_variables_as_text, lint
from accel_daemon.iam.policy import parse_policy

ID = "arn:aws:elastic-inference:*:*:elastic-inference-accelerator/"
GRAPH, TYPE = "elastic-inference:GraphId", "elastic-inference:AcceleratorType"


def found(effect: str = "Allow", **elements: Any) -> list[str]:
    """The codes for one statement; by default it names one accelerator and lists it."""
    one: dict[str, Any] = {"Effect": effect, **elements}
    if "NotAction" not in one:
        one.setdefault("Action", "elastic-inference:DescribeAccelerators")
    if "NotResource" not in one:
        one.setdefault("Resource", f"{ID}eia-1")
    return [one.code for one in lint(parse_policy({"Version": "2012-10-17", "Statement": one}))]


def when(operator: str, key: str = TYPE, value: object = "eia2.*", **more: Any) -> dict[str, Any]:
    """A condition."""
    return {operator: {key: value}, **more}


PRESENT = {"Null": {TYPE: "false"}}


@pytest.mark.parametrize(
    ("effect", "elements", "codes"),
    [
        ("Allow", {}, []),
        ("Allow", {"Condition": when("StringLike")}, []),
        ("Allow", {"Condition": when("ForAllValues:StringLike")}, ["FOR_ALL_VALUES_ALLOWS"]),
        ("Allow", {"Condition": when("ForAllValues:StringLike", **PRESENT)}, []),
        ("Allow", {"Condition": when("ForAnyValue:StringLike")}, []),
        ("Deny", {"Condition": when("ForAllValues:StringLike")}, []),
        ("Deny", {"Condition": when("StringLikeIfExists")}, ["IF_EXISTS_DENIES"]),
        ("Deny", {"Condition": when("StringLikeIfExists", **PRESENT)}, []),
        ("Allow", {"Condition": when("StringLikeIfExists")}, ["IF_EXISTS_ALLOWS"]),
        ("Allow", {"Condition": when("StringNotLike")}, ["NEGATED_ALLOWS_MISSING"]),
        ("Allow", {"Condition": when("StringNotLike", **PRESENT)}, []),
        ("Allow", {"Condition": when("StringNotLike", "aws:userid", "bob*")}, []),
        ("Allow", {"Condition": when("StringNotLike", "aws:username", "bob*")},
         ["NEGATED_ALLOWS_MISSING"]),
        ("Deny", {"Condition": when("StringNotLike")}, []),
        ("Allow", {"NotAction": "s3:*"}, ["NOT_ACTION_ALLOWS"]),
        ("Deny", {"NotAction": "s3:*"}, []),
        ("Allow", {"NotResource": f"{ID}eia-1"}, ["NOT_RESOURCE_ALLOWS"]),
        ("Deny", {"NotResource": f"{ID}eia-1"}, []),
        ("Allow", {"Action": "*", "Resource": "*"}, ["ALLOWS_EVERYTHING"]),
        ("Deny", {"Action": "*", "Resource": "*"}, []),
        ("Allow", {"Action": "elastic-inference:*", "Resource": "*"}, ["WRITES_EVERYWHERE"]),
        ("Allow", {"Action": "elastic-inference:connect", "Resource": "*"}, ["WRITES_EVERYWHERE"]),
        ("Allow", {"Resource": "*"}, []),
        ("Allow", {"Condition": when("StringLike", "aws:username", "*")}, ["WILDCARD_PRINCIPAL"]),
        ("Deny", {"Condition": when("ArnNotLike", "aws:PrincipalArn", "*")},
         ["WILDCARD_PRINCIPAL"]),
        ("Allow", {"Condition": when("StringEquals", "aws:username", "*")}, []),
        ("Deny", {"Resource": f"{ID}${{{GRAPH}}}"}, ["DENY_VARIABLE_MISSING"]),
        ("Deny", {"Resource": f"{ID}${{{GRAPH}, 'x'}}"}, []),
        ("Deny", {"Resource": f"{ID}${{aws:userid}}"}, []),
        ("Deny", {"Resource": f"{ID}${{aws:username}}"}, ["DENY_VARIABLE_MISSING"]),
        ("Deny", {"Condition": when("StringLike", "aws:username", f"${{{GRAPH}}}")},
         ["DENY_VARIABLE_MISSING"]),
        ("Allow", {"Resource": f"{ID}${{{GRAPH}}}"}, ["VARIABLE_MISSING"]),
        ("Allow", {"Condition": when("StringLike", "aws:usernmae")}, ["UNKNOWN_KEY"]),
        ("Allow", {"Condition": when("StringLike", "aws:ResourceTag/team")}, []),
    ],
)  # fmt: skip
def test_findings(effect: str, elements: dict[str, Any], codes: list[str]) -> None:
    """Each hole by its name, and its harmless neighbours by none."""
    assert found(effect, **elements) == codes


def test_a_finding_names_statement_and_severity() -> None:
    """The Sid, and how much it matters."""
    one = {"Sid": "All", "Effect": "Allow", "Action": "*", "Resource": "*"}
    (finding,) = lint(parse_policy({"Statement": one}))
    assert (finding.statement, finding.severity) == ("All", Severity.INFORMATION)


@pytest.mark.parametrize(
    ("text", "version", "expected"),
    [("${a:b}", None, True), ("${a:b}", "2008-10-17", True), ("${a:b}", "2012-10-17", False),
     ("x", None, False)],
)  # fmt: skip
def test_variables_that_are_text(text: str, version: object, expected: bool) -> None:
    """Only the new version has variables."""
    assert has_variables_as_text(text, version) is expected
