"""What one caller may do when groups, a boundary and a session play together: properties.

Everything goes through documents, as it does when a policy set travels to another process.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_daemon.iam.policy_set import PolicySet, Rules
from accel_daemon.iam.principals import Principal
from accel_daemon.iam.request_context import AccessRequest
from tests.accel_daemon.iam.counted_text import CountedText

ALICE = Principal("alice", "123456789012")
PREFIX = "arn:aws:elastic-inference:us-east-1:123456789012:elastic-inference-accelerator/"
CONNECT, RUN = "elastic-inference:Connect", "elastic-inference:Run"
ASKED = AccessRequest(ALICE, CONNECT, PREFIX + "eia-1")
LAYERS = ("identity", "boundary", "session")
HOSTILE = ["*", "?", "${aws:userid}", "${aws:username}", "${*}", "eia-?", "a/../b"]

Document = dict[str, Any]


def document(*statements: Document) -> Document:
    """A policy of these statements."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def rules(policies: PolicySet) -> Rules:
    """What policies mean that can be understood."""
    understood = policies.rules()
    assert understood is not None
    return understood


def allowed(policies: PolicySet, request: AccessRequest = ASKED) -> bool:
    """Whether the request may be done."""
    return rules(policies).decide(request).allowed


ALLOW: Document = {"Effect": "Allow", "Action": "*", "Resource": "*"}
DENY: Document = {**ALLOW, "Effect": "Deny"}
OTHER: Document = {**ALLOW, "Action": "s3:*"}


# ------------------------------------------------------------------------------------- tables


@pytest.mark.parametrize(
    ("identity", "boundary", "session", "expected"),
    [
        ([], None, None, False),
        ([ALLOW], None, None, True),
        ([ALLOW], [], None, False),
        ([ALLOW], None, [], False),
        ([ALLOW], [ALLOW], [ALLOW], True),
        ([OTHER, ALLOW], [OTHER, ALLOW], [ALLOW, OTHER], True),
        ([], [ALLOW], [ALLOW], False),
        ([ALLOW, DENY], [ALLOW], [ALLOW], False),
        ([ALLOW], [ALLOW, DENY], [ALLOW], False),
        ([ALLOW], [ALLOW], [ALLOW, DENY], False),
        ([ALLOW], [OTHER], [ALLOW], False),
        ([ALLOW], [ALLOW], [OTHER], False),
    ],
)
def test_decisions(identity: Any, boundary: Any, session: Any, expected: bool) -> None:
    """One document for each statement, as of a user, its groups and several limits."""
    documents = [
        None if one is None else tuple(document(statement) for statement in one)
        for one in (identity, boundary, session)
    ]
    assert documents[0] is not None
    assert allowed(PolicySet(documents[0], documents[1], documents[2])) is expected


def test_nothing_said_allows_nothing() -> None:
    """The default of a caller of whom nothing is known."""
    assert not allowed(PolicySet())
    assert not Rules().decide(ASKED).allowed


@pytest.mark.parametrize("layer", LAYERS)
def test_a_document_that_nobody_understands(layer: str) -> None:
    """It spoils the whole set, although the others would allow: it might have been a Deny."""
    whole = {name: (document(ALLOW),) for name in LAYERS}
    broken = document({**DENY, "Condition": {"NoSuchOperator": {"aws:username": "alice"}}})
    assert allowed(PolicySet(**whole))
    assert PolicySet(**{**whole, layer: (document(ALLOW), broken)}).rules() is None


# --------------------------------------------------------------------------------- properties

CONDITIONS = st.sampled_from(
    [
        {},
        {"Condition": {"StringNotEquals": {"t:k": "a"}}},
        {"Condition": {"StringLike": {"t:k": ["${aws:username}", "${t:none}"]}}},
        {"Condition": {"NumericLessThan": {"t:k": "5"}}},
        {"Condition": {"ForAllValues:StringEquals": {"t:k": ["a", "b"]}}},
    ]
)
ACTIONS = ["*", CONNECT, RUN, "elastic-inference:Con*", "s3:*"]
RESOURCES = ["*", PREFIX + "*", PREFIX + "${aws:username}", PREFIX + "${t:none}", PREFIX + "eia-?"]


def several(values: list[str]) -> st.SearchStrategy[list[str]]:
    """A list in a policy."""
    return st.lists(st.sampled_from(values), min_size=1, max_size=3)


def statements(*effects: str) -> st.SearchStrategy[Document]:
    """Statements with lists, conditions, variables and negations."""
    return st.builds(
        lambda effect, action, actions, resource, resources, condition: {
            "Effect": effect,
            action: actions,
            resource: resources,
            **condition,
        },
        st.sampled_from(effects),
        st.sampled_from(["Action", "Action", "NotAction"]),
        several(ACTIONS),
        st.sampled_from(["Resource", "Resource", "NotResource"]),
        several(RESOURCES),
        CONDITIONS,
    )


DOCUMENTS = st.lists(
    st.lists(statements("Allow", "Allow", "Allow", "Deny"), min_size=1, max_size=3).map(
        lambda several: document(*several)
    ),
    max_size=2,
).map(tuple)
# Often wide open, so that it is another layer that decides.
LIMITS = DOCUMENTS | st.just((document(ALLOW),))
SETS = st.builds(PolicySet, DOCUMENTS, st.none() | LIMITS, st.none() | LIMITS)
FULL_SETS = st.builds(PolicySet, LIMITS, LIMITS, LIMITS)
REQUESTS = st.builds(
    AccessRequest,
    st.just(ALICE),
    st.sampled_from([CONNECT, RUN, "s3:GetObject"]),
    st.sampled_from(["*", PREFIX + "eia-1", PREFIX + "alice"]),
    st.dictionaries(st.just("t:k"), st.sampled_from(["a", "alice", "3", ["a", "b"], []])),
)


def rewritten(policies: PolicySet, change: Callable[[list[Document]], list[Document]]) -> PolicySet:
    """The same with the statements of each document changed."""

    def of(documents: Any) -> Any:
        return documents and tuple(document(*change(one["Statement"])) for one in documents)

    return PolicySet(of(policies.identity), of(policies.boundary), of(policies.session))


@given(FULL_SETS, st.sampled_from(LAYERS), statements("Deny"), REQUESTS)
def test_adding_a_deny_never_grants(
    policies: PolicySet, layer: str, deny: Document, request: AccessRequest
) -> None:
    """To whichever of the three."""
    more = replace(policies, **{layer: (*getattr(policies, layer), document(deny))})
    assert allowed(more, request) <= allowed(policies, request)


@given(FULL_SETS, st.sampled_from(LAYERS), statements("Allow"), REQUESTS)
def test_adding_an_allow_never_revokes(
    policies: PolicySet, layer: str, allow: Document, request: AccessRequest
) -> None:
    """To whichever of the three."""
    more = replace(policies, **{layer: (*getattr(policies, layer), document(allow))})
    assert allowed(more, request) >= allowed(policies, request)


@given(FULL_SETS, REQUESTS)
def test_boundary_and_session_only_shrink(policies: PolicySet, request: AccessRequest) -> None:
    """Each alone grants no more than neither, and both together what each alone grants."""
    free = replace(policies, boundary=None, session=None)
    bounded, narrowed = replace(policies, session=None), replace(policies, boundary=None)
    assert allowed(bounded, request) <= allowed(free, request)
    assert allowed(narrowed, request) <= allowed(free, request)
    both = allowed(bounded, request) and allowed(narrowed, request)
    assert allowed(policies, request) == both


@given(SETS, REQUESTS, st.randoms(use_true_random=False))
def test_order_does_not_matter(policies: PolicySet, request: AccessRequest, chance: Any) -> None:
    """That of documents, and that of statements."""
    mixed = rewritten(policies, lambda many: chance.sample(many, len(many)))
    turned = PolicySet(
        mixed.identity[::-1],
        mixed.boundary and mixed.boundary[::-1],
        mixed.session and mixed.session[::-1],
    )
    assert allowed(turned, request) == allowed(policies, request)


def split(many: list[Document]) -> list[Document]:
    """One statement for each action and resource, where neither is negated."""
    parts = []
    for one in many:
        actions = one.get("Action", [None])
        resources = one.get("Resource", [None])
        for action in actions:
            for resource in resources:
                part = dict(one)
                part.update({"Action": action} if action else {})
                part.update({"Resource": resource} if resource else {})
                parts.append(part)
    return parts


@given(SETS, REQUESTS)
def test_splitting_does_not_matter(policies: PolicySet, request: AccessRequest) -> None:
    """Lists mean any of them, in each layer."""
    assert allowed(rewritten(policies, split), request) == allowed(policies, request)


@given(SETS, REQUESTS, st.sampled_from([str.upper, str.lower, str.swapcase]))
def test_case_of_actions_does_not_matter(
    policies: PolicySet, request: AccessRequest, recase: Callable[[str], str]
) -> None:
    """Neither in a document nor in the request."""

    def recased(many: list[Document]) -> list[Document]:
        return [
            {name: [*map(recase, one[name])] if "Action" in name else one[name] for name in one}
            for one in many
        ]

    expected = allowed(policies, request)
    assert allowed(rewritten(policies, recased), request) == expected
    assert allowed(policies, replace(request, action=recase(request.action))) == expected


@given(SETS, REQUESTS)
def test_it_may_travel_as_json(policies: PolicySet, request: AccessRequest) -> None:
    """What another process reads decides the same."""
    layers = {name: getattr(policies, name) for name in LAYERS}
    received = json.loads(json.dumps(layers))
    other = PolicySet(**{name: one and tuple(one) for name, one in received.items()})
    assert rules(other).decide(request) == rules(policies).decide(request)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["Version", "Statement", "Effect", "Action", "Resource", "Condition"]),
            inner,
            max_size=6,
        )
    ),
    max_leaves=10,
)
BROKEN = st.lists(JSON | statements("Allow").map(document), max_size=2).map(tuple)


@given(BROKEN, st.none() | BROKEN, st.none() | BROKEN, JSON, JSON, JSON)
def test_nothing_raises(
    identity: Any, boundary: Any, session: Any, action: Any, resource: Any, known: Any
) -> None:
    """Documents that are none are not understood; requests that are none have an answer too."""
    everything = rules(PolicySet((document(ALLOW),), (document(ALLOW),), (document(ALLOW),)))
    understood = PolicySet(identity, boundary, session).rules()
    request = AccessRequest(ALICE, action, resource, known)
    may_do = (understood or Rules()).decide(request).allowed
    assert may_do <= everything.decide(request).allowed


@given(st.lists(st.none() | JSON, max_size=2), REQUESTS)
def test_broken_rules_deny(broken: list[Any], request: AccessRequest) -> None:
    """Whatever stands where a policy should: half an answer is no answer."""
    everything = rules(PolicySet((document(ALLOW),))).identity
    spoilt: Any = [*everything, *broken, None]
    for layers in ((spoilt, None, None), (everything, spoilt, None), (everything, None, spoilt)):
        assert not Rules(*layers).decide(request).allowed


@pytest.mark.parametrize("pattern", ["a*" * 200 + "b", "*a" * 200 + "?b", "${t:v}*" * 100 + "b"])
def test_patterns_read_a_value_once_for_each_layer(pattern: str) -> None:
    """What makes a backtracking matcher explode takes one step per character, thrice."""
    text = CountedText("a" * 2000)
    denied = {**DENY, "Condition": {"StringLike": {"t:k": pattern}}}
    whole = (document(ALLOW, denied),)
    request = replace(ASKED, context={"t:k": text, "t:v": "a"})
    assert allowed(PolicySet(whole, whole, whole), request)
    assert len(text) <= text.looked_at <= 3 * len(text)


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("variable", ["${aws:username}", "${aws:userid}", "${t:name}"])
@pytest.mark.parametrize("layer", LAYERS)
def test_a_hostile_name_widens_nothing(hostile: str, variable: str, layer: str) -> None:
    """Nobody has such a name; whoever had it would get what is called exactly so."""
    caller = Principal("alice", "123456789012")
    object.__setattr__(caller, "name", hostile)
    own = document({**ALLOW, "Resource": PREFIX + variable})
    policies = PolicySet(**{**{name: (document(ALLOW),) for name in LAYERS}, layer: (own,)})
    request = AccessRequest(caller, CONNECT, PREFIX + hostile, {"t:name": hostile})
    assert allowed(policies, request)
    for other in ("alice", "eia-1", "x", "a/b", "b", *(set(HOSTILE) - {hostile})):
        assert not allowed(policies, replace(request, resource_arn=PREFIX + other))
