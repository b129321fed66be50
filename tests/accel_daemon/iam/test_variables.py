"""Policy variables: where they stand, what replaces them, and that names widen nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_daemon.iam.policy import AccessRequest, evaluate, parse_policy
from accel_daemon.iam.principals import Principal
from accel_daemon.iam.variables import Template, split_outside_variables
from accel_protocol.errors import ConfigurationError

ALICE = Principal("alice", "123456789012")
PREFIX = "arn:aws:s3:::homes/"


def allows(
    resource: str, asked: str, known: dict[str, Any] | None = None, version: str = "2012-10-17"
) -> bool:
    """Whether a policy with this resource allows the asked one to Alice."""
    one = {"Effect": "Allow", "Action": "*", "Resource": resource}
    policy = parse_policy({"Version": version, "Statement": one})
    return evaluate([policy], AccessRequest(ALICE, "s3:Get", asked, known or {})).allowed


@pytest.mark.parametrize(
    ("resource", "asked", "expected"),
    [
        ("${aws:username}/*", "alice/x", True),
        ("${AWS:UserName}/*", "alice/x", True),
        ("${aws:username}/*", "bob/x", False),
        ("${aws:username}/*", "${aws:username}/x", False),
        ("${aws:PrincipalAccount}", "123456789012", True),
        ("${t:team, 'none'}", "none", True),
        ("${t:team,'none'}", "none", True),
        ("${t:team, '*'}", "*", True),
        ("${t:team, '*'}", "none", False),
        ("${t:team, ''}", "", True),
        ("${t:team}", "", False),
        ("${t:team}", "${t:team}", False),
        ("${t:several}", "a", False),
        ("${t:one}", "1", True),
        ("a${*}", "a*", True),
        ("a${*}", "ab", False),
        ("a${?}", "a?", True),
        ("a${?}", "ab", False),
        ("${$}{aws:username}", "${aws:username}", True),
    ],
)
def test_variables_in_resources(resource: str, asked: str, expected: bool) -> None:
    """Values, defaults, escapes, and keys with no or several values."""
    known = {"t:several": ["a", "b"], "t:one": ["1"]}
    assert allows(PREFIX + resource, PREFIX + asked, known) is expected


@pytest.mark.parametrize("version", ["2008-10-17", "2012-10-17"])
def test_variables_are_plain_text_in_the_old_version(version: str) -> None:
    """Under 2008-10-17 even a malformed one is text."""
    assert allows(f"{PREFIX}${{aws:username}}", f"{PREFIX}alice", None, version) is (
        version == "2012-10-17"
    )
    assert allows(f"{PREFIX}${{", f"{PREFIX}${{", None, "2008-10-17")


@pytest.mark.parametrize(
    "resource",
    [
        "${aws:username}",
        "arn:aws:s3::${aws:PrincipalAccount}:x",
        "arn:aws:s3:${t:region}::x",
        "arn:${t:p}:s3:::x",
        "arn:aws:${t:s}:::x",
        "arn:aws:s3:::${",
        "arn:aws:s3:::${}",
        "arn:aws:s3:::${x}",
        "arn:aws:s3:::${${aws:username}}",
        "arn:aws:s3:::${aws:username, 'a'",
        "arn:aws:s3:::${aws:username, 'a}",
        "arn:aws:s3:::${**}",
    ],
)
def test_malformed_or_misplaced_variables_are_refused(resource: str) -> None:
    """Variables stand after the fifth colon."""
    with pytest.raises(ConfigurationError, match="Resource"):
        allows(resource, "*")


@pytest.mark.parametrize("hostile", ["*", "?", "${aws:userid}", "a/../b", "**", "${*}", "a:b"])
@pytest.mark.parametrize("kind", ["resource", "StringLike", "StringEquals", "ArnLike"])
def test_a_hostile_value_is_literal(hostile: str, kind: str) -> None:
    """A name with wildcards, variables or dots gets itself and nothing else."""
    others = ["alice", "x", "", "a/b", "b", "alicealice", "a/c/b"]
    assert _granted(kind, hostile, hostile)
    assert not any(_granted(kind, hostile, other) for other in others)


def _granted(kind: str, value: str, asked: str) -> bool:
    pattern, resource = f"{PREFIX}${{t:name}}", PREFIX + asked
    if kind == "resource":
        return allows(pattern, resource, {"t:name": value})
    wanted = pattern if kind == "ArnLike" else "${t:name}"
    actual = resource if kind == "ArnLike" else asked
    one = {
        "Effect": "Allow",
        "Action": "*",
        "Resource": "*",
        "Condition": {kind: {"t:asked": wanted}},
    }
    policy = parse_policy({"Version": "2012-10-17", "Statement": one})
    known = {"t:name": value, "t:asked": actual}
    return evaluate([policy], AccessRequest(ALICE, "s3:Get", "*", known)).allowed


@pytest.mark.parametrize("name", ["*", "?", "${aws:userid}", "a/../b"])
def test_such_a_name_is_not_even_a_users(name: str) -> None:
    """Principals cannot have it in the first place."""
    with pytest.raises(ConfigurationError):
        Principal(name, "123456789012")


@given(st.text("ab*?$", min_size=1, max_size=6), st.text("ab*?$", max_size=6))
def test_substituted_values_match_themselves_only(value: str, asked: str) -> None:
    """For all values: the pattern of one variable is equality."""
    assert allows(f"{PREFIX}x${{t:v}}", f"{PREFIX}x{asked}", {"t:v": value}) is (value == asked)


@pytest.mark.parametrize(
    ("element", "effect"),
    [
        ("Resource", "Allow"),
        ("NotResource", "Allow"),
        ("Resource", "Deny"),
        ("NotResource", "Deny"),
    ],
)
def test_unresolved_variable_takes_the_statement_out(element: str, effect: str) -> None:
    """Neither Allow nor Deny applies; NotResource does not turn it round."""
    one = {"Effect": effect, "Action": "*", element: PREFIX + "${t:none}"}
    policy = parse_policy({"Version": "2012-10-17", "Statement": one})
    decision = evaluate([policy], AccessRequest(ALICE, "s3:Get", PREFIX + "x"))
    assert (decision.allowed, decision.explicit_deny) == (False, False)


def test_unresolved_variable_in_a_negated_condition_takes_the_statement_out() -> None:
    """Being unequal to nothing must not let everyone in."""
    condition = {"StringNotEquals": {"aws:username": "${t:none}"}}
    one = {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": condition}
    policy = parse_policy({"Version": "2012-10-17", "Statement": one})
    assert not evaluate([policy], AccessRequest(ALICE, "s3:Get", "*")).allowed


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a:b:c", ["a", "b:c"]),
        ("${a:b}:c", ["${a:b}", "c"]),
        ("a", ["a"]),
        ("${a:b", ["${a:b"]),
        ("}:{", ["}", "{"]),
    ],
)
def test_colons_inside_variables_do_not_split(text: str, parts: list[str]) -> None:
    """At most two parts here."""
    assert split_outside_variables(text, 2) == parts


@given(st.text("${}*:a, '", max_size=20))
def test_any_text_is_a_template_or_refused(text: str) -> None:
    """Parsing never raises, and text without variables is kept as it is."""
    template = Template.parse(text)
    if "${" not in text:
        assert template == Template.plain(text)
    elif template is not None:
        assert template.pieces


def test_a_pattern_without_variables_is_made_once() -> None:
    """Policies are asked on every request; a pattern with a variable depends on the request."""
    fixed, open_ = Template.parse("a*"), Template.parse("${t:a}*")
    assert fixed is not None
    assert open_ is not None
    assert fixed.wildcard(lambda key: None) is fixed.wildcard(lambda key: "x")
    assert open_.wildcard(lambda key: "x") != open_.wildcard(lambda key: "y")
