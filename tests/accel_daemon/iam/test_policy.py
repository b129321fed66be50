"""What policies allow: tables, and properties that hold for all policies."""

from __future__ import annotations

import contextlib
import json
import random
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from accel_daemon.iam.policy import (
    MAX_POLICY_CHARACTERS,
    AccessRequest,
    ArnPattern,
    Decision,
    Policy,
    Wildcard,
    evaluate,
    load_document,
    parse_policies,
    parse_policy,
)
from accel_daemon.iam.principals import Principal
from accel_protocol.errors import ConfigurationError
from tests.accel_daemon.iam.counted_text import CountedText

ALICE = Principal("alice", "123456789012")
PREFIX = "arn:aws:elastic-inference:us-east-1:123456789012:elastic-inference-accelerator"
ARN = f"{PREFIX}/eia-1"
CONNECT = "elastic-inference:Connect"

Document = dict[str, Any]


def statement(
    effect: str = "Allow", action: object = CONNECT, resource: object = "*", **more: object
) -> Document:
    """One statement of a policy."""
    return {"Effect": effect, "Action": action, "Resource": resource, **more}


def document(*statements: Document, version: str = "2012-10-17") -> Document:
    """A policy of these statements."""
    return {"Version": version, "Statement": list(statements)}


def decide(*documents: Document, action: str = CONNECT, resource: str = ARN) -> Decision:
    """What these policies say to Alice."""
    return evaluate(parse_policies(documents), AccessRequest(ALICE, action, resource))


def test_no_policy_denies_implicitly() -> None:
    """Nobody said yes."""
    assert decide() == Decision(False, False, None, "No statement allows it.")


def test_allow_allows_and_says_which_statement() -> None:
    """The audit log can name what decided."""
    decision = decide(document(statement(Sid="Users")))
    assert (decision.allowed, decision.explicit_deny, decision.statement) == (True, False, "Users")


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("together", [False, True])
def test_explicit_deny_wins(swapped: bool, together: bool) -> None:
    """A Deny beats an Allow, in one policy or two, in either order."""
    pair = [statement(), statement("Deny", Sid="Never")]
    if swapped:
        pair.reverse()
    decision = decide(document(*pair)) if together else decide(*map(document, pair))
    assert (decision.allowed, decision.explicit_deny, decision.statement) == (False, True, "Never")


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        (CONNECT, True),
        ("ELASTIC-inference:connect", True),
        ("*", True),
        ("*:*", True),
        ("elastic-inference:*", True),
        ("elastic-inference:Con*", True),
        ("elastic-inference:*t", True),
        ("elastic-inference:Co??ect", True),
        ("elastic-inference:Connect?", False),
        ("elastic-inference:Connec", False),
        ("elastic-inference:Describe*", False),
        ("s3:*", False),
        ([CONNECT, "s3:*"], True),
        (["s3:Get*", "s3:Put*"], False),
    ],
)
def test_action_patterns(pattern: object, matches: bool) -> None:
    """Actions match whatever their case, with * and ?; NotAction is the exact opposite."""
    assert decide(document(statement(action=pattern))).allowed is matches
    inverted = statement(NotAction=pattern)
    del inverted["Action"]
    assert decide(document(inverted)).allowed is not matches


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("*", True),
        (ARN, True),
        (f"{PREFIX}/*", True),
        (f"{PREFIX}/eia-?", True),
        (f"{PREFIX}/eia-??", False),
        (f"{PREFIX}/EIA-1", False),
        (ARN.upper().replace("ARN", "arn", 1), False),
        ("arn:aws:elastic-inference:*:*:*", True),
        ("arn:*:elastic-inference:*:*:*", True),
        ("arn:aws:elastic-inference:us-*-1:1234*:elastic-inference-accelerator/*", True),
        ("arn:aws:elastic-inference:eu-*:*:*", False),
        ("arn:aws:elastic-inference:*::elastic-inference-accelerator/eia-1", False),
        ("arn:aws:elastic-inference:*:123456789012*:x", False),
        ("arn:aws:s3:::*", False),
        (["arn:aws:s3:::*", ARN], True),
    ],
)
def test_resource_patterns(pattern: object, matches: bool) -> None:
    """ARNs match part by part and case-sensitively; NotResource is the exact opposite."""
    assert decide(document(statement(resource=pattern))).allowed is matches
    inverted = statement(NotResource=pattern)
    del inverted["Resource"]
    assert decide(document(inverted)).allowed is not matches


@pytest.mark.parametrize(
    ("pattern", "arn", "matches"),
    [
        ("arn:aws:logs:*:*:log-group:*", "arn:aws:logs:r:1:log-group:a:b:c", True),
        ("arn:aws:logs:*:*:*", "arn:aws:logs:r:1:a:b", True),
        ("arn:aws:logs:*:a", "arn:aws:logs:r:1:a", None),
        ("arn:aws:logs:*:*:a", "arn:aws:logs:r:x:y:a", False),
        ("arn:aws:s3:::b", "arn:aws:s3:::b", True),
        ("arn:aws:s3:::b", "arn:aws:s3:r::b", False),
    ],
)
def test_star_spans_colons_in_the_last_part_only(
    pattern: str, arn: str, matches: bool | None
) -> None:
    """None: the pattern has too few parts to be one."""
    parsed = ArnPattern.parse(pattern)
    assert (parsed.matches(arn) if parsed else None) is matches


def test_action_without_resource_needs_the_lone_star() -> None:
    """An action on no resource is allowed by "*" and by no ARN pattern."""
    assert decide(document(statement()), resource="*").allowed
    everything = statement(resource="arn:aws:elastic-inference:*:*:*")
    assert not decide(document(everything), resource="*").allowed


@pytest.mark.parametrize("action", ["", "*", "Connect", "elastic-inference:*", "a:b:c", "a:b\n"])
def test_malformed_action_is_denied(action: str) -> None:
    """A question that makes no sense is answered no, whatever is allowed."""
    assert not decide(document(statement(action="*")), action=action).allowed


@pytest.mark.parametrize("resource", ["", "eia-1", "arn:aws:s3", "urn:a:b:c:d:e", "**"])
def test_malformed_resource_is_denied(resource: str) -> None:
    """NotResource must not let garbage through."""
    assert not decide(document(statement(action="*")), resource=resource).allowed


@pytest.mark.parametrize("version", ["2008-10-17", "2012-10-17"])
def test_known_versions(version: str) -> None:
    """Both versions of the language are read."""
    assert decide(document(statement(), version=version)).allowed


def test_version_may_be_absent_and_statement_single() -> None:
    """The shortest policy there is."""
    assert decide({"Statement": statement()}).allowed


def test_dollar_brace_is_literal_in_the_old_version_only() -> None:
    """Under 2008-10-17 there are no variables; under 2012-10-17 there are."""
    name = PREFIX + "/${aws:username}"
    old = document(statement(resource=name), version="2008-10-17")
    assert decide(old, resource=name).allowed
    assert not decide(old, resource=PREFIX + "/alice").allowed
    new = document(statement(resource=name))
    assert decide(new, resource=PREFIX + "/alice").allowed
    assert not decide(new, resource=name).allowed


def without(name: str) -> Document:
    """A statement that lacks an element."""
    made = statement()
    del made[name]
    return made


@pytest.mark.parametrize(
    ("broken", "named"),
    [
        ({}, "Statement"),
        ({"Statement": []}, "Statement"),
        ({"Statement": "x"}, "Statement"),
        ({"Statement": [[]]}, "Statement"),
        ({"Statement": statement(), "Versoin": "2012-10-17"}, "Versoin"),
        ({"Statement": statement(), "statement": statement()}, "statement"),
        ({"Statement": statement(), "Version": "2012-10-18"}, "Version"),
        ({"Statement": statement(), "Version": None}, "Version"),
        ({"Statement": statement(), "Version": ["2012-10-17"]}, "Version"),
        ({"Statement": statement(), "Id": 1}, "Id"),
        (document(statement(Condition={})), "Condition"),
        (document(statement(Principal="*")), "Principal"),
        (document(statement(NotPrincipal="*")), "NotPrincipal"),
        (document(statement(effect="allow")), "Effect"),
        (document(statement(effect="Allow ")), "Effect"),
        (document(without("Effect")), "Effect"),
        (document(without("Action")), "Action"),
        (document(without("Resource")), "Resource"),
        (document(statement(NotAction="*")), "NotAction"),
        (document(statement(NotResource="*")), "NotResource"),
        (document(statement(action=[])), "Action"),
        (document(statement(action=[1])), "Action"),
        (document(statement(action={"a": "b"})), "Action"),
        (document(statement(action="Connect")), "Action"),
        (document(statement(action="elastic*:Connect")), "Action"),
        (document(statement(action="s3:Get Object")), "Action"),
        (document(statement(action="s3:${x}")), "Action"),
        (document(statement(action="")), "Action"),
        (document(statement(resource=[])), "Resource"),
        (document(statement(resource=None)), "Resource"),
        (document(statement(resource="")), "Resource"),
        (document(statement(resource="**")), "Resource"),
        (document(statement(resource="eia-1")), "Resource"),
        (document(statement(resource="arn:aws:elastic-inference:*")), "Resource"),
        (document(statement(resource="arn:aws:*:::x")), "Resource"),
        (document(statement(resource="*:aws:s3:::x")), "Resource"),
        (document(statement(resource="arn:aws:s3:::")), "Resource"),
        (document(statement(Sid="a b")), "Sid"),
        (document(statement(Sid=1)), "Sid"),
        (document(statement(Sid="a"), statement(Sid="a")), "Sid"),
        (document(statement(), statement(Condition={})), "Condition"),
    ],
)
def test_malformed_policy_is_refused_by_name(broken: Document, named: str) -> None:
    """What is not understood is refused as a whole, and the message says what it was."""
    with pytest.raises(ConfigurationError, match=rf"\b{named}\b"):
        parse_policy(broken)


@pytest.mark.parametrize("value", [None, [], "x", 1, [document(statement())]])
def test_policy_that_is_no_object_is_refused(value: Any) -> None:
    """A policy is a JSON object."""
    with pytest.raises(ConfigurationError, match="object"):
        parse_policy(value)


def test_policy_file_is_read() -> None:
    """A file's text becomes the document that parse_policy takes."""
    assert load_document(json.dumps(document(statement()))) == document(statement())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{]",
        "[" * 10_000,
        '{"Statement": [], "Statement": []}',
        '{"Statement": {"Effect": "Deny", "Effect": "Allow", "Action": "*", "Resource": "*"}}',
        json.dumps(document(statement())) + " " * MAX_POLICY_CHARACTERS,
    ],
)
def test_malformed_policy_file_is_refused(text: str) -> None:
    """An element that is there twice would otherwise let the later one win unseen."""
    with pytest.raises(ConfigurationError):
        load_document(text)


ACTIONS = st.sampled_from(
    [CONNECT, "elastic-inference:Describe*", "elastic-inference:*", "s3:Get?bject", "*", "*:*"]
)
RESOURCES = st.sampled_from(
    [
        ARN,
        f"{PREFIX}/*",
        f"{PREFIX}/eia-?",
        "arn:aws:s3:::*",
        "arn:aws:elastic-inference:*:*:*",
        "*",
    ]
)


def lists_of(texts: st.SearchStrategy[str]) -> st.SearchStrategy[list[str]]:
    """One to three of these texts."""
    return st.lists(texts, min_size=1, max_size=3)


def statements(effect: str | None = None) -> st.SearchStrategy[Document]:
    """Any valid statement, or any with this effect."""
    effects = st.just(effect) if effect else st.sampled_from(["Allow", "Deny"])
    return st.builds(
        lambda chosen, action, actions, resource, resources: {
            "Effect": chosen,
            action: actions,
            resource: resources,
        },
        effects,
        st.sampled_from(["Action", "NotAction"]),
        lists_of(ACTIONS),
        st.sampled_from(["Resource", "NotResource"]),
        lists_of(RESOURCES),
    )


MANY_STATEMENTS = st.lists(statements(), max_size=5)
REQUESTS = st.builds(
    AccessRequest,
    st.just(ALICE),
    st.sampled_from([CONNECT, "elastic-inference:DescribeAccelerators", "s3:GetObject"]),
    st.sampled_from([ARN, f"{PREFIX}/eia-22", "arn:aws:s3:::bucket/a:b", "*"]),
)


def answer(many: list[Document], request: AccessRequest) -> tuple[bool, bool]:
    """What one policy per statement answers."""
    decision = evaluate(parse_policies(map(document, many)), request)
    return decision.allowed, decision.explicit_deny


@given(MANY_STATEMENTS, statements("Deny"), REQUESTS)
def test_adding_a_deny_never_grants(
    many: list[Document], deny: Document, request: AccessRequest
) -> None:
    """Whatever the Deny says, it can only take away."""
    assert answer([*many, deny], request)[0] <= answer(many, request)[0]


@given(MANY_STATEMENTS, statements("Allow"), REQUESTS)
def test_adding_an_allow_never_revokes(
    many: list[Document], allow: Document, request: AccessRequest
) -> None:
    """Whatever the Allow says, it can only give, and it never hides a Deny."""
    before, after = answer(many, request), answer([*many, allow], request)
    assert after[0] >= before[0]
    assert after[1] == before[1]


@given(MANY_STATEMENTS, REQUESTS, st.randoms(use_true_random=False))
def test_order_does_not_matter(
    many: list[Document], request: AccessRequest, source: random.Random
) -> None:
    """Statements may stand in any order, in one policy or several."""
    shuffled = list(many)
    source.shuffle(shuffled)
    assert answer(shuffled, request) == answer(many, request)
    if many:
        decision = evaluate([parse_policy(document(*shuffled))], request)
        assert (decision.allowed, decision.explicit_deny) == answer(many, request)


def split(one: Document) -> Iterator[Document]:
    """The same in one statement per item of Action and of Resource, whose lists are unions."""
    actions = [{"Action": item} for item in one.get("Action", [])]
    resources = [{"Resource": item} for item in one.get("Resource", [])]
    for action in actions or [{"NotAction": one["NotAction"]}]:
        for resource in resources or [{"NotResource": one["NotResource"]}]:
            yield {"Effect": one["Effect"], **action, **resource}


@given(MANY_STATEMENTS, REQUESTS)
def test_splitting_lists_does_not_matter(many: list[Document], request: AccessRequest) -> None:
    """[a, b] in one statement is a and b in two."""
    parts = [part for one in many for part in split(one)]
    assert answer(parts, request) == answer(many, request)


@given(MANY_STATEMENTS, REQUESTS, st.sampled_from([str.upper, str.lower, str.swapcase]))
def test_case_of_actions_does_not_matter(
    many: list[Document], request: AccessRequest, recase: Any
) -> None:
    """Neither in the policy nor in the request."""
    recased = [
        {
            name: list(map(recase, value)) if "Action" in name else value
            for name, value in one.items()
        }
        for one in many
    ]
    asked = AccessRequest(request.principal, recase(request.action), request.resource_arn)
    assert answer(recased, request) == answer(many, request)
    assert answer(many, asked) == answer(many, request)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | ACTIONS | RESOURCES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["Version", "Statement", "Effect", "Action", "Resource", "Sid"])
            | st.text(max_size=5),
            inner,
            max_size=6,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_fuzzed_json_is_read_or_refused(value: Any) -> None:
    """Reading raises ConfigurationError and nothing else."""
    with contextlib.suppress(ConfigurationError):
        assert isinstance(parse_policy(value), Policy)


@given(st.lists(JSON, max_size=3), JSON, JSON)
@example([document(statement())], CONNECT, ARN)
def test_evaluation_never_raises(policies: Any, action: Any, resource: Any) -> None:
    """Things that are no policies at all, and no requests, are a denial."""
    assert not evaluate(policies, AccessRequest(ALICE, action, resource)).allowed


def test_error_while_evaluating_denies_although_a_statement_allows() -> None:
    """Half an answer is no answer: the broken policy might have been a Deny."""
    policies: Any = [parse_policy(document(statement())), None]
    assert not evaluate(policies, AccessRequest(ALICE, CONNECT, ARN)).allowed


@pytest.mark.parametrize("pattern", ["a*" * 200 + "b", "*a" * 200 + "?b", "?*" * 100 + "b"])
def test_wildcards_take_one_step_per_character(pattern: str) -> None:
    """Patterns that make a backtracking matcher explode read their text once."""
    text = CountedText("a" * 2000)
    assert not Wildcard.parse(pattern).matches(text)
    assert text.looked_at <= len(text)


@given(st.text("ab*?", max_size=12), st.text("ab?*", max_size=12))
def test_wildcards_match_as_a_regular_expression_would(pattern: str, text: str) -> None:
    """The one-pass matcher decides as the definition does."""
    meaning = {"*": ".*", "?": "."}
    expression = "".join(meaning.get(c, re.escape(c)) for c in pattern)
    expected = re.fullmatch(expression, text, re.DOTALL) is not None
    assert Wildcard.parse(pattern).matches(text) is expected
