"""Groups, boundaries and sessions together: what the whole chain lets through."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from accel_daemon.iam.callers import AnyPrincipal, AssumedRole, Principal
from accel_daemon.iam.policy_set import PolicySet
from accel_daemon.iam.principals import Group, Identities, Role, User, new_role_id
from accel_daemon.iam.request_context import AccessRequest, Context
from accel_daemon.iam.sessions import SessionIssuer

ACCOUNT = "123456789012"
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
ARN = "arn:aws:elastic-inference:us-east-1:123456789012:elastic-inference-accelerator/"
ACTIONS = ("elastic-inference:Connect", "elastic-inference:Run", "elastic-inference:GetStatus")
ISSUER = SessionIssuer(bytes(32))

documents = st.builds(
    lambda effect, action, resource, condition: {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": effect,
            "Action": action,
            "Resource": resource,
            **({"Condition": condition} if condition else {}),
        },
    },
    st.sampled_from(["Allow", "Allow", "Deny"]),
    st.sampled_from([*ACTIONS, "elastic-inference:*", "*"]),
    st.sampled_from(["*", ARN + "eia-1", ARN + "eia-*", ARN + "${aws:username}"]),
    st.sampled_from(
        [
            None,
            {"StringEquals": {"aws:PrincipalType": "User"}},
            {"StringNotEquals": {"aws:username": "ann"}},
            {"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/*"}},
        ]
    ),
)
lists = st.lists(documents, max_size=3).map(tuple)
questions = st.builds(
    lambda principal, action, resource: AccessRequest(principal, action, resource),
    st.sampled_from(
        [Principal("ann", ACCOUNT), AssumedRole("lab", "AROA" + "A" * 17, "night", ACCOUNT)]
    ),
    st.sampled_from(ACTIONS),
    st.sampled_from([ARN + "eia-1", ARN + "eia-2", ARN + "ann"]),
)


def allowed(policies: PolicySet, question: AccessRequest) -> bool:
    """What the policies say."""
    rules = policies.rules()
    assert rules is not None
    return rules.decide(question).allowed


@given(own=lists, boundary=documents, question=questions)
def test_a_boundary_only_shrinks(own: Any, boundary: Any, question: AccessRequest) -> None:
    """Whatever it says, a user with it may do nothing that it may not do without."""
    user = User("ann", own)
    identities = Identities(ACCOUNT, (user,))
    if allowed(identities.policy_set(replace(user, boundary=boundary)), question):
        assert allowed(identities.policy_set(user), question)
        assert allowed(PolicySet((boundary,)), question)


@given(own=lists, boundary=st.none() | documents, session=lists, question=questions)
def test_a_session_only_shrinks(
    own: Any, boundary: Any, session: Any, question: AccessRequest
) -> None:
    """Whatever it was narrowed with, a session may do nothing that the role may not do."""
    role = Role("lab", new_role_id(), own, (), boundary)
    identities = Identities(ACCOUNT, (), (), (role,))
    issued = ISSUER.issue(identities, "lab", "night", NOW, 900, policies=session)
    opened = ISSUER.open(issued.access_key_id, issued.session_token, NOW, identities)
    if allowed(opened.policy_set(identities), question):
        assert allowed(identities.role_policy_set(role, None), question)


@given(groups=st.lists(lists, max_size=4), seed=st.integers(), question=questions)
def test_the_order_of_groups_does_not_matter(
    groups: Any, seed: int, question: AccessRequest
) -> None:
    """Neither that of the groups, nor that in which the user joined them."""
    made = [Group(f"g{number}", policies) for number, policies in enumerate(groups)]
    names = [group.name for group in made]
    before = Identities(ACCOUNT, (User("ann", groups=tuple(names)),), tuple(made))
    shuffled = random.Random(seed)
    shuffled.shuffle(made)
    shuffled.shuffle(names)
    after = Identities(ACCOUNT, (User("ann", groups=tuple(names)),), tuple(made))
    (first,), (second,) = before.users, after.users
    assert allowed(before.policy_set(first), question) == allowed(
        after.policy_set(second), question
    )


@given(own=lists, shared=lists, question=questions)
def test_a_group_is_as_if_its_policies_were_the_users(
    own: Any, shared: Any, question: AccessRequest
) -> None:
    """A union, and a Deny of the group's counts."""
    group, user = Group("staff", shared), User("ann", own, groups=("staff",))
    identities = Identities(ACCOUNT, (user,), (group,))
    assert allowed(identities.policy_set(user), question) == allowed(
        PolicySet((*own, *shared)), question
    )


def test_a_user_is_not_in_other_groups() -> None:
    """Only those that it was put into."""
    everything = {"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}
    user = User("ann")
    identities = Identities(ACCOUNT, (user,), (Group("staff", (everything,)),))
    assert identities.policy_set(user) == PolicySet()


def values(principal: AnyPrincipal, key: str, **context: str) -> tuple[str, ...]:
    """A condition key of a request."""
    return Context.of(AccessRequest(principal, ACTIONS[0], "*", context)).values(key)


def test_condition_keys_of_a_roles_session() -> None:
    """As AWS has them: the role's ARN, and no user name."""
    session = AssumedRole("lab", "AROA" + "B" * 17, "night-run", ACCOUNT)
    assert session.arn == f"arn:aws:sts::{ACCOUNT}:assumed-role/lab/night-run"
    assert values(session, "aws:PrincipalArn") == (f"arn:aws:iam::{ACCOUNT}:role/lab",)
    assert values(session, "aws:userid") == ("AROA" + "B" * 17 + ":night-run",)
    assert values(session, "aws:PrincipalType") == ("AssumedRole",)
    assert values(session, "aws:PrincipalAccount") == (ACCOUNT,)
    assert values(session, "aws:username") == ()


def test_no_context_gives_a_session_a_user_name() -> None:
    """What follows from the principal is taken from nothing else."""
    session = AssumedRole("lab", "AROA" + "B" * 17, "night-run", ACCOUNT)
    assert values(session, "aws:username", **{"AWS:UserName": "administrator"}) == ()
