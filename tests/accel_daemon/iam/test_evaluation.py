"""How policies are combined: boundaries, sessions, groups, and properties with conditions."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_daemon.iam.policy import AccessRequest, Policy, evaluate, judge_all, parse_policy
from accel_daemon.iam.principals import Principal

ALICE = Principal("alice", "123456789012")
PREFIX = "arn:aws:elastic-inference:us-east-1:123456789012:elastic-inference-accelerator/"
Document = dict[str, Any]


def policy(*statements: Document) -> Policy:
    """A policy of these statements."""
    return parse_policy({"Version": "2012-10-17", "Statement": list(statements)})


ALLOW = {"Effect": "Allow", "Action": "*", "Resource": "*"}
DENY = {**ALLOW, "Effect": "Deny"}
OTHER = {**ALLOW, "Action": "s3:*"}
ASKED = AccessRequest(ALICE, "elastic-inference:Connect", PREFIX + "eia-1")


@pytest.mark.parametrize(
    ("own", "boundary", "session", "allowed", "why"),
    [
        ([ALLOW], None, None, True, "Statement 1 allows it."),
        ([ALLOW], [ALLOW], [ALLOW], True, "Statement 1 allows it."),
        ([ALLOW], [OTHER], None, False, "The permission boundary does not allow it."),
        ([ALLOW], None, [OTHER], False, "The session does not allow it."),
        ([ALLOW], [OTHER], [OTHER], False, "The permission boundary does not allow it."),
        ([OTHER], [ALLOW], [ALLOW], False, "No statement allows it."),
        ([ALLOW], [ALLOW, DENY], None, False, "Statement 2 denies it."),
        ([ALLOW], [OTHER], [ALLOW, DENY], False, "Statement 2 denies it."),
        ([ALLOW, DENY], [OTHER], None, False, "Statement 2 denies it."),
    ],
)
def test_order_of_decisions(own: Any, boundary: Any, session: Any, allowed: bool, why: str) -> None:
    """A Deny anywhere, then boundary, then session, then the identity's own."""
    decision = evaluate(
        [policy(*own)],
        ASKED,
        boundary=None if boundary is None else [policy(*boundary)],
        session=None if session is None else [policy(*session)],
    )
    assert (decision.allowed, decision.why) == (allowed, why)
    assert decision.explicit_deny is ("denies" in why)


@pytest.mark.parametrize("limit", ["boundary", "session"])
def test_an_empty_limit_allows_nothing(limit: str) -> None:
    """There being none, None, is another thing."""
    limits: dict[str, Any] = {limit: ()}
    assert not evaluate([policy(ALLOW)], ASKED, **limits).allowed


def test_policies_of_groups_are_united_with_those_of_the_user() -> None:
    """Any of them allows, and any of them denies."""
    assert evaluate([policy(OTHER), policy(ALLOW)], ASKED).allowed
    assert not evaluate([policy(OTHER), policy(ALLOW), policy(DENY)], ASKED).allowed


@pytest.mark.parametrize(
    "known", [None, 1, {"a:b": 1}, {"a:b": [1]}, {"a:b": None}, {"a:b": {"c": "d"}}, {1: "x"},
              {"a:b": "x", "A:B": "y"}, {"a:b": b"x"}],
)  # fmt: skip
def test_malformed_context_is_denied(known: Any) -> None:
    """Context that cannot be understood might have met a Deny."""
    request = AccessRequest(ALICE, ASKED.action, ASKED.resource_arn, known)
    decision = evaluate([policy(ALLOW)], request)
    assert (decision.allowed, decision.why) == (False, "The policies could not be evaluated.")


def test_each_statement_says_why() -> None:
    """What `accel-daemon policy check` prints."""
    judgements = judge_all(
        [
            policy(
                ALLOW,
                OTHER,
                {**ALLOW, "Resource": PREFIX + "eia-2"},
                {**ALLOW, "Resource": PREFIX + "${t:none}"},
                {**ALLOW, "Condition": {"Bool": {"t:k": "true"}}},
                {**DENY, "Condition": {"NumericEquals": {"t:n": "1"}}},
                {**ALLOW, "Condition": {"StringLike": {"t:n": "${t:none}"}}},
            )
        ],
        AccessRequest(ALICE, ASKED.action, ASKED.resource_arn, {"t:n": "one"}),
    )
    assert [(one.applies, one.why) for one in judgements] == [
        (True, "action, resource and conditions match"),
        (False, "it does not name the action"),
        (False, "it does not name the resource"),
        (False, "its resource has a variable without a value"),
        (False, "Bool on t:k does not hold"),
        (True, "NumericEquals on t:n meets a value that is not of its type"),
        (False, "StringLike on t:n has a variable without a value"),
    ]


CONDITIONS = st.sampled_from(
    [
        {},
        {"Condition": {"StringNotEquals": {"t:k": "a"}}},
        {"Condition": {"StringLike": {"t:k": ["${aws:username}", "${t:none}"]}}},
        {"Condition": {"NumericLessThan": {"t:k": "5"}}},
        {"Condition": {"ForAllValues:StringEquals": {"t:k": ["a", "b"]}}},
        {"Condition": {"Null": {"t:k": "true"}, "BoolIfExists": {"t:b": "true"}}},
    ]
)
RESOURCES = ["*", PREFIX + "*", PREFIX + "${aws:username}", PREFIX + "${t:none}", PREFIX + "eia-?"]


def statements(effects: list[str]) -> st.SearchStrategy[Document]:
    """Statements with conditions and variables."""
    return st.builds(
        lambda effect, action, element, resource, condition: {
            "Effect": effect,
            "Action": action,
            element: resource,
            **condition,
        },
        st.sampled_from(effects),
        st.sampled_from(["*", "elastic-inference:Con*", "s3:*"]),
        st.sampled_from(["Resource", "NotResource"]),
        st.lists(st.sampled_from(RESOURCES), min_size=1, max_size=2),
        CONDITIONS,
    )


ANY = st.lists(statements(["Allow", "Deny"]), max_size=4)
REQUESTS = st.builds(
    AccessRequest,
    st.just(ALICE),
    st.sampled_from(["elastic-inference:Connect", "s3:GetObject"]),
    st.sampled_from(["*", PREFIX + "eia-1", PREFIX + "alice"]),
    st.dictionaries(
        st.sampled_from(["t:k", "t:b"]),
        st.sampled_from(["a", "alice", "3", "true"]) | st.lists(st.sampled_from("ab3"), max_size=2),
    ),
)


def read(many: list[Document]) -> list[Policy]:
    """One policy for each statement."""
    return [policy(one) for one in many]


@given(ANY, statements(["Deny"]), statements(["Allow"]), REQUESTS)
def test_deny_takes_and_allow_gives(
    many: list[Document], deny: Document, allow: Document, request: AccessRequest
) -> None:
    """Adding a Deny never grants, adding an Allow never revokes."""
    before = evaluate(read(many), request).allowed
    assert evaluate(read([*many, deny]), request).allowed <= before
    assert evaluate(read([*many, allow]), request).allowed >= before


@given(ANY, ANY, ANY, REQUESTS)
def test_limits_only_shrink(
    own: list[Document], boundary: list[Document], session: list[Document], request: AccessRequest
) -> None:
    """A boundary or a session never grants, and two limits grant no more than either."""
    mine, first, second = read(own), read(boundary), read(session)
    free = evaluate(mine, request).allowed
    bounded = evaluate(mine, request, boundary=first).allowed
    limited = evaluate(mine, request, session=second).allowed
    both = evaluate(mine, request, boundary=first, session=second).allowed
    assert bounded <= free
    assert limited <= free
    assert both == (bounded and limited)


@given(ANY, REQUESTS)
def test_order_and_splitting_do_not_matter(many: list[Document], request: AccessRequest) -> None:
    """Reversed, and with one statement for each resource, the answer is the same."""
    expected = evaluate(read(many), request)
    backwards = evaluate(read(many[::-1]), request)
    split = [
        {**one, "Resource": resource} if "Resource" in one else one
        for one in many
        for resource in one.get("Resource", [None])
    ]
    parts = evaluate(read(split), request)
    for other in (backwards, parts):
        assert (other.allowed, other.explicit_deny) == (expected.allowed, expected.explicit_deny)
