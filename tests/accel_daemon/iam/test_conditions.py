"""Conditions: every operator, missing keys, several values, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_daemon.iam.conditions import read_conditions
from accel_daemon.iam.matching import Match
from accel_daemon.iam.operators import OPERATORS
from accel_daemon.iam.policy import AccessRequest, evaluate, parse_policy
from accel_daemon.iam.principals import Principal
from accel_daemon.iam.request_context import Context
from accel_protocol.errors import ConfigurationError
from tests.accel_daemon.iam.counted_text import CountedText

ALICE = Principal("alice", "123456789012")
ARN = "arn:aws:s3:us-east-1:1:a/b:c"
NOON = "2026-03-01T12:00:00Z"


def holds(operator: str, wanted: object, value: Any = None, **more: Any) -> Match:
    """Whether an operator on the key t:k holds; None: the key is missing."""
    (condition,) = read_conditions({operator: {"t:k": wanted}}, True)
    known = more if value is None else {"t:k": value, **more}
    return condition.holds(Context.of(AccessRequest(ALICE, "a:B", "*", known)))


TABLE = [
    ("StringEquals", "a", "a", True),
    ("StringEquals", "a", "A", False),
    ("StringEquals", ["b", "a"], "a", True),
    ("StringEquals", "*", "a", False),
    ("StringEquals", "*", "*", True),
    ("StringEquals", "${*}", "*", True),
    ("StringEquals", True, "true", True),
    ("StringEquals", 5, "5", True),
    ("StringNotEquals", "a", "a", False),
    ("StringNotEquals", ["a", "b"], "b", False),
    ("StringNotEquals", ["a", "b"], "c", True),
    ("StringEqualsIgnoreCase", "aB", "Ab", True),
    ("StringEqualsIgnoreCase", "aB", "AbC", False),
    ("StringNotEqualsIgnoreCase", "aB", "Ab", False),
    ("StringNotEqualsIgnoreCase", "aB", "x", True),
    ("StringLike", "a*c?", "abbcd", True),
    ("StringLike", "a*c?", "abbc", False),
    ("StringLike", "a${*}", "a*", True),
    ("StringLike", "a${*}", "ab", False),
    ("StringLike", "a${?}${$}", "a?$", True),
    ("StringLike", "A*", "abc", False),
    ("StringNotLike", "a*", "abc", False),
    ("StringNotLike", "a*", "xbc", True),
    ("StringNotLike", ["x*", "a*"], "abc", False),
    ("NumericEquals", "10", "10.0", True),
    ("NumericEquals", 10, "1e1", True),
    ("NumericEquals", "0.1", "0.10000000000000001", False),
    ("NumericNotEquals", "10", "10.0", False),
    ("NumericNotEquals", "10", "11", True),
    ("NumericLessThan", "10", "9.99", True),
    ("NumericLessThan", "10", "10", False),
    ("NumericLessThanEquals", "10", "10", True),
    ("NumericLessThanEquals", "10", "10.01", False),
    ("NumericGreaterThan", "-1", "0", True),
    ("NumericGreaterThan", "0", "0", False),
    ("NumericGreaterThanEquals", "0", "0", True),
    ("NumericGreaterThanEquals", "0", "-1", False),
    ("DateEquals", NOON, "2026-03-01T13:00:00+01:00", True),
    ("DateEquals", "1772366400", NOON, True),
    ("DateEquals", "2026", "2026-01-01T00:00Z", True),
    ("DateEquals", "2026-03", "2026-03-01", True),
    ("DateNotEquals", NOON, NOON, False),
    ("DateNotEquals", NOON, "2026-03-01T12:00:01Z", True),
    ("DateLessThan", NOON, "2026-03-01T11:59:59.999Z", True),
    ("DateLessThan", NOON, NOON, False),
    ("DateLessThanEquals", NOON, NOON, True),
    ("DateGreaterThan", NOON, "2026-03-02", True),
    ("DateGreaterThan", NOON, NOON, False),
    ("DateGreaterThanEquals", NOON, NOON, True),
    ("DateGreaterThanEquals", NOON, "2026-02-28", False),
    ("Bool", "true", "True", True),
    ("Bool", True, "true", True),
    ("Bool", "false", "true", False),
    ("BinaryEquals", "QUJD", "QUJD", True),
    ("BinaryEquals", "QUJD", "QUJE", False),
    ("IpAddress", "10.0.0.0/8", "10.9.8.7", True),
    ("IpAddress", "10.0.0.0/8", "11.0.0.1", False),
    ("IpAddress", "10.0.0.1", "10.0.0.1", True),
    ("IpAddress", "10.0.0.1", "10.0.0.2", False),
    ("IpAddress", "10.0.0.1/8", "10.200.0.1", True),
    ("IpAddress", "2001:db8::/32", "2001:db8:1::1", True),
    ("IpAddress", "2001:db8::1", "2001:db8::2", False),
    ("IpAddress", "0.0.0.0/0", "::1", False),
    ("IpAddress", "127.0.0.0/8", "::ffff:127.0.0.1", True),
    ("IpAddress", "::ffff:127.0.0.0/104", "127.0.0.1", True),
    ("NotIpAddress", ["10.0.0.0/8", "192.168.0.0/16"], "192.168.1.1", False),
    ("NotIpAddress", ["10.0.0.0/8", "192.168.0.0/16"], "172.16.0.1", True),
    *[
        (name, wanted, ARN, expected)
        for name in ("ArnEquals", "ArnLike")
        for wanted, expected in [
            (ARN, True),
            ("arn:aws:s3:*:*:a/*", True),
            ("arn:aws:s3:us-east-1:1:a/?:c", True),
            ("arn:aws:s3:us-*:a/b:c", False),
            ("arn:aws:s3:*:2:*", False),
            ("*", True),
        ]
    ],
    *[
        (name, wanted, ARN, expected)
        for name in ("ArnNotEquals", "ArnNotLike")
        for wanted, expected in [(ARN, False), ("arn:aws:s3:*:2:*", True)]
    ],
    ("ArnLike", "arn:aws:s3:*:*:*", "no arn", False),
    ("Null", "true", "x", False),
    ("Null", "false", "x", True),
    ("Null", False, "", True),
    ("ForAnyValue:StringEquals", ["a", "b"], ["x", "b"], True),
    ("ForAnyValue:StringEquals", ["a", "b"], ["x", "y"], False),
    ("ForAnyValue:StringNotEquals", ["a"], ["a", "b"], True),
    ("ForAnyValue:StringNotEquals", ["a"], ["a"], False),
    ("ForAllValues:StringEquals", ["a", "b"], ["b", "a", "a"], True),
    ("ForAllValues:StringEquals", ["a", "b"], ["a", "c"], False),
    ("ForAllValues:StringNotLike", ["a*"], ["b", "ab"], False),
    ("ForAllValues:StringNotLike", ["a*"], ["b", "c"], True),
    ("ForAllValues:StringLikeIfExists", ["a*"], ["ab"], True),
    ("StringEquals", "a", ["x", "a"], True),
    ("StringNotEquals", "a", ["x", "a"], False),
    ("StringEqualsIfExists", "a", "b", False),
]


@pytest.mark.parametrize(("operator", "wanted", "value", "expected"), TABLE)
def test_operators(operator: str, wanted: object, value: object, expected: bool) -> None:
    """Each operator, on values that are there."""
    assert holds(operator, wanted, value) is Match.of(expected)


def test_table_has_every_operator() -> None:
    """An operator that is added is tested."""
    assert {"Null", *OPERATORS} <= {row[0] for row in TABLE}


SAMPLES = {
    "String": "a",
    "Numeric": "1",
    "Date": NOON,
    "Bool": "true",
    "Binary": "QQ==",
    "IpAddr": "10.0.0.1",
    "NotIpA": "10.0.0.1",
    "Arn": ARN,
}


def sample(operator: str) -> str:
    """A value that the operator can compare."""
    return next(value for kind, value in SAMPLES.items() if operator.startswith(kind))


@pytest.mark.parametrize("values", [None, []], ids=["missing", "empty"])
@pytest.mark.parametrize("operator", OPERATORS)
def test_missing_key(operator: str, values: Any) -> None:
    """Negated operators, IfExists and ForAllValues are true, the rest is false."""
    wanted = sample(operator)
    negated = "Not" in operator
    assert holds(operator, wanted, values) is Match.of(negated)
    assert holds(f"{operator}IfExists", wanted, values) is Match.YES
    assert holds(f"ForAllValues:{operator}", wanted, values) is Match.YES
    assert holds(f"ForAnyValue:{operator}", wanted, values) is Match.NO
    assert holds(f"ForAnyValue:{operator}IfExists", wanted, values) is Match.YES


@pytest.mark.parametrize(("wanted", "expected"), [("true", True), ("false", False)])
def test_null_tests_absence(wanted: str, expected: bool) -> None:
    """`true` wants the key to be missing."""
    assert holds("Null", wanted) is Match.of(expected)


@pytest.mark.parametrize(
    ("operator", "value"),
    [
        ("NumericEquals", "ten"),
        ("NumericNotEquals", "NaN"),
        ("DateLessThan", "yesterday"),
        ("DateNotEquals", "2026-03-01T12:00:00"),
        ("DateEquals", "2026-13-01"),
        ("DateEquals", "999999999999"),
        ("Bool", "1"),
        ("BinaryEquals", "!"),
        ("IpAddress", "10.0.0"),
        ("NotIpAddress", "10.0.0.0/8"),
    ],
)
def test_value_of_another_type_fails_safely(operator: str, value: str) -> None:
    """An Allow does not apply, and a Deny does, negated or not."""
    assert holds(operator, sample(operator), value) is Match.MALFORMED
    block = {operator: {"t:k": sample(operator)}}
    request = AccessRequest(ALICE, "a:B", "*", {"t:k": value})
    for effect, denied in (("Allow", False), ("Deny", True)):
        one = {"Effect": effect, "Action": "*", "Resource": "*", "Condition": block}
        decision = evaluate([parse_policy({"Statement": one})], request)
        assert (decision.allowed, decision.explicit_deny) == (False, denied)


def test_all_operators_and_all_keys_are_needed() -> None:
    """Operators and keys are joined by "and"."""
    block = {"StringEquals": {"t:a": "1", "t:b": "2"}, "Bool": {"t:c": True}}
    one = {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": block}
    policies = [parse_policy({"Statement": one})]
    right = {"t:a": "1", "t:b": "2", "t:c": "true"}
    assert evaluate(policies, AccessRequest(ALICE, "a:B", "*", right)).allowed
    for key in right:
        wrong = {**right, key: "false"}
        assert not evaluate(policies, AccessRequest(ALICE, "a:B", "*", wrong)).allowed


def test_names_of_keys_are_compared_whatever_their_case() -> None:
    """In the policy and in the request."""
    (condition,) = read_conditions({"StringEquals": {"AWS:UserName": "alice"}}, True)
    assert condition.holds(Context.of(AccessRequest(ALICE, "a:B", "*"))) is Match.YES
    assert holds("StringEquals", "v", **{"T:K": "v"}) is Match.YES


@pytest.mark.parametrize("key", ["aws:username", "AWS:USERNAME", "aws:PrincipalArn"])
def test_context_cannot_replace_the_principal(key: str) -> None:
    """Who calls is known from the signature alone."""
    context = Context.of(AccessRequest(ALICE, "a:B", "*", {key: "root"}))
    assert "root" not in context.values(key)


@pytest.mark.parametrize(
    "block",
    [
        {},
        None,
        [],
        {"StringEquals": {}},
        {"StringEquals": []},
        {"StringEquals": {"t:k": []}},
        {"StringEquals": {"t:k": {}}},
        {"StringEquals": {"t:k": None}},
        {"StringEquals": {"t:k": ["a", None]}},
        {"StringEquals": {"t:k": "${"}},
        {"StringEquals": {"t:k": "${aws:username"}},
        {"StringEquals": {"t:k": "${a b}"}},
        {"StringEquals": {"t:k": "${aws:username, none}"}},
        {"StringEquals": {"": "a"}},
        {"StringEquals": {"noprefix": "a"}},
        {"StringEquals": {"t:k": "a", "T:K": "b"}},
        {"stringequals": {"t:k": "a"}},
        {"StringEqual": {"t:k": "a"}},
        {"ForSomeValues:StringEquals": {"t:k": "a"}},
        {"StringEqualsIfExistsIfExists": {"t:k": "a"}},
        {"NullIfExists": {"t:k": "true"}},
        {"ForAllValues:Null": {"t:k": "true"}},
        {"Null": {"t:k": "maybe"}},
        {"Bool": {"t:k": "${aws:SecureTransport}"}},
        {"NumericEquals": {"t:k": "1,5"}},
        {"NumericEquals": {"t:k": "${aws:EpochTime}"}},
        {"NumericEquals": {"t:k": float("nan")}},
        {"NumericEquals": {"t:k": 10**5000}},
        {"DateEquals": {"t:k": "2026-*"}},
        {"DateEquals": {"t:k": "2026-03-01T12:00:00"}},
        {"BinaryEquals": {"t:k": "QUJ"}},
        {"IpAddress": {"t:k": "10.0.0.0/33"}},
        {"IpAddress": {"t:k": "10.0.0.0/255.0.0.0"}},
        {"IpAddress": {"t:k": "10.*"}},
        {"ArnLike": {"t:k": "a*"}},
        {"ArnLike": {"t:k": "arn:aws:*:::x"}},
        {"ArnLike": {"t:k": "x${aws:PrincipalArn}"}},
    ],
)
def test_malformed_condition_is_refused(block: Any) -> None:
    """What cannot mean anything is refused when the policy is read."""
    one = {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": block}
    with pytest.raises(ConfigurationError, match="Condition"):
        parse_policy({"Version": "2012-10-17", "Statement": one})


@pytest.mark.parametrize("pattern", ["a*" * 200 + "b", "${t:v}*" * 100 + "b", "*a" * 200 + "?b"])
@pytest.mark.parametrize("operator", ["StringLike", "StringNotLike"])
def test_patterns_take_one_step_per_character(operator: str, pattern: str) -> None:
    """Also with variables in them, a value is read once."""
    text = CountedText("a" * 2000)
    expected = Match.of(operator == "StringNotLike")
    assert holds(operator, pattern, text, **{"t:v": "a"}) is expected
    assert 0 < text.looked_at <= len(text)


BLOCKS = st.dictionaries(
    st.sampled_from([*OPERATORS, "Null", "ForAllValues:StringLike", "DateEqualsIfExists"]),
    st.dictionaries(
        st.sampled_from(["t:k", "aws:SourceIp", "aws:CurrentTime"]),
        st.text(max_size=8)
        | st.sampled_from([*SAMPLES.values(), "false", "${t:k, 'x'}", "${t:z}"]),
        max_size=2,
    ),
    max_size=2,
)
CONTEXTS = st.dictionaries(
    st.sampled_from(["t:k", "T:K", "aws:SourceIp"]) | st.text(max_size=3),
    st.text(max_size=8)
    | st.sampled_from([*SAMPLES.values(), "999999999999", "0001-01-01T00:00+23:59"])
    | st.lists(st.text(max_size=4), max_size=3)
    | st.none()
    | st.integers(),
    max_size=3,
)


@given(BLOCKS, CONTEXTS, st.sampled_from(["Allow", "Deny"]))
def test_fuzzed_conditions_and_contexts_never_raise(block: Any, known: Any, effect: str) -> None:
    """Reading raises ConfigurationError at most, and evaluating nothing."""
    one = {"Effect": effect, "Action": "*", "Resource": "*", "Condition": block}
    try:
        policy = parse_policy({"Version": "2012-10-17", "Statement": one})
    except ConfigurationError:
        return
    decision = evaluate([policy], AccessRequest(ALICE, "a:B", "*", known))
    assert decision.allowed <= (effect == "Allow")
