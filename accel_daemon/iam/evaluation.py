"""Decide: statements are judged one by one, and what they say is combined.

The order is the documented one. A Deny that applies, wherever it stands, says no. Then a permission
boundary, where there is one, must allow; then session policies, where there are any; then the
policies of the user and of its groups, together. What nobody allows is denied.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from accel_daemon.iam.conditions import Condition
from accel_daemon.iam.matching import Match
from accel_daemon.iam.request_context import AccessRequest, Context
from accel_daemon.iam.resources import ArnPattern, split_arn
from accel_daemon.iam.wildcards import Wildcard

Effect = Literal["Allow", "Deny"]

_ACTION = re.compile(r"[A-Za-z0-9-]{1,64}:[A-Za-z0-9]{1,128}")


@dataclass(frozen=True)
class Decision:
    """The answer.

    Attributes:
        allowed: whether the action may be done.
        explicit_deny: whether a Deny statement said no, rather than nobody saying yes.
        statement: which statement decided: its Sid, or its place; None when none did.
        why: one sentence for the audit log.
    """

    allowed: bool
    explicit_deny: bool
    statement: str | None
    why: str


@dataclass(frozen=True)
class Judgement:
    """What one statement says about a request: whether it applies, and why (not)."""

    statement: Statement
    applies: bool
    why: str


@dataclass(frozen=True)
class Statement:
    """One statement.

    Attributes:
        label: its Sid, or its place in the document.
        effect: what it says when it applies.
        actions: patterns, in lower case.
        action_texts: the same, as they stand in the policy.
        actions_inverted: whether they are those of NotAction.
        resources: patterns.
        resources_inverted: whether they are those of NotResource.
        conditions: all of them must hold.
    """

    label: str
    effect: Effect
    actions: tuple[Wildcard, ...]
    action_texts: tuple[str, ...]
    actions_inverted: bool
    resources: tuple[ArnPattern, ...]
    resources_inverted: bool
    conditions: tuple[Condition, ...] = ()

    def names_action(self, action: str) -> bool:
        """Whether the statement speaks about an action."""
        named = any(pattern.matches(action.lower()) for pattern in self.actions)
        return named != self.actions_inverted

    def names_resource(self, arn: str, context: Context) -> Match:
        """Whether the statement speaks about a resource."""
        match = max(pattern.compare(arn, context.single) for pattern in self.resources)
        return match.inverted() if self.resources_inverted else match

    def judge(self, request: AccessRequest, context: Context) -> Judgement:
        """Whether the statement speaks about this request, and why (not)."""
        if not self.names_action(request.action):
            return Judgement(self, False, "it does not name the action")
        named = self.names_resource(request.resource_arn, context)
        if named is not Match.YES:
            return Judgement(self, False, _WHY_RESOURCE[named])
        answers = [(condition.holds(context), condition) for condition in self.conditions]
        weakest = min((answer for answer, _ in answers), default=Match.YES)
        if weakest is Match.YES:
            return Judgement(self, True, "action, resource and conditions match")
        failed = next(condition for answer, condition in answers if answer is weakest)
        why = f"{failed.name} on {failed.key} {_WHY_CONDITION[weakest]}"
        # A value that cannot be read must not open a door that a Deny would have shut.
        return Judgement(self, weakest is Match.MALFORMED and self.effect == "Deny", why)


_WHY_RESOURCE = {
    Match.NO: "it does not name the resource",
    Match.UNRESOLVED: "its resource has a variable without a value",
    Match.MALFORMED: "the resource is malformed",
}
_WHY_CONDITION = {
    Match.NO: "does not hold",
    Match.UNRESOLVED: "has a variable without a value",
    Match.MALFORMED: "meets a value that is not of its type",
}


@dataclass(frozen=True)
class Policy:
    """A document that was understood completely."""

    statements: tuple[Statement, ...]


def evaluate(
    policies: Sequence[Policy],
    request: AccessRequest,
    *,
    boundary: Sequence[Policy] | None = None,
    session: Sequence[Policy] | None = None,
) -> Decision:
    """Decide. Never raises: whatever goes wrong while deciding is a denial.

    Args:
        policies: those of the user and of its groups, together.
        request: what is asked.
        boundary: the permission boundary; None where there is none, which limits nothing, while an
            empty one allows nothing.
        session: the session's policies, in the same way.
    """
    try:
        return _decide(policies, request, boundary, session)
    except Exception:  # The door stays shut, whatever broke its lock.
        return Decision(False, False, None, "The policies could not be evaluated.")


def judge_all(policies: Iterable[Policy], request: AccessRequest) -> tuple[Judgement, ...]:
    """What each statement says about a request, in their order.

    Raises:
        TypeError: the request's context holds something that is no text.
        ValueError: the request's context has a key twice.
    """
    context = Context.of(request)
    return tuple(
        statement.judge(request, context) for policy in policies for statement in policy.statements
    )


def _decide(
    policies: Sequence[Policy],
    request: AccessRequest,
    boundary: Sequence[Policy] | None,
    session: Sequence[Policy] | None,
) -> Decision:
    if not _ACTION.fullmatch(request.action) or not _is_resource(request.resource_arn):
        return Decision(False, False, None, "The action or the resource is malformed.")
    limits = [("permission boundary", boundary), ("session", session)]
    sets = [(name, judge_all(one, request)) for name, one in limits if one is not None]
    own = judge_all(policies, request)
    for judgement in [*own, *(one for _, several in sets for one in several)]:
        if judgement.applies and judgement.statement.effect == "Deny":
            label = judgement.statement.label
            return Decision(False, True, label, f"{label} denies it.")
    for name, judgements in sets:
        if _first_allow(judgements) is None:
            return Decision(False, False, None, f"The {name} does not allow it.")
    label_or_none = _first_allow(own)
    if label_or_none is None:
        return Decision(False, False, None, "No statement allows it.")
    return Decision(True, False, label_or_none, f"{label_or_none} allows it.")


def _first_allow(judgements: Iterable[Judgement]) -> str | None:
    for judgement in judgements:
        if judgement.applies and judgement.statement.effect == "Allow":
            return judgement.statement.label
    return None


def _is_resource(arn: str) -> bool:
    return arn == "*" or split_arn(arn) is not None
