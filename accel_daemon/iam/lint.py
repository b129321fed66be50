"""Name the classic holes of policies: what is allowed by accident, and what a Deny forgets.

A finding is advice. A document with findings is valid and does exactly what it says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from accel_daemon.iam.conditions import Condition, Quantifier
from accel_daemon.iam.evaluation import Policy, Statement
from accel_daemon.iam.request_context import (
    ENDPOINT_KEYS,
    KEY_PREFIXES,
    OPTIONAL_KEYS,
    PRINCIPAL_KEYS,
)
from accel_daemon.iam.variables import Variable

ALWAYS_THERE = frozenset(key.lower() for key in (*PRINCIPAL_KEYS, *ENDPOINT_KEYS))
# What changes something or hands something out; the other actions only tell.
WRITE_ACTIONS = ("elastic-inference:Connect",)

_KNOWN = ALWAYS_THERE | {key.lower() for key in OPTIONAL_KEYS}
_PREFIXES = tuple(prefix.lower() for prefix in KEY_PREFIXES)
_WHO = frozenset(key.lower() for key in (*PRINCIPAL_KEYS, "aws:username"))


class Severity(Enum):
    """How much a finding matters."""

    WARNING = "warning"
    INFORMATION = "information"


@dataclass(frozen=True)
class Finding:
    """One piece of advice.

    Attributes:
        severity: WARNING, or INFORMATION where it may well be meant.
        code: a stable name in capitals.
        statement: the statement's Sid or place.
        message: what happens, in one sentence.
    """

    severity: Severity
    code: str
    statement: str
    message: str


def lint(policy: Policy) -> tuple[Finding, ...]:
    """All findings about a policy, in the order of its statements."""
    return tuple(
        finding for statement in policy.statements for rule in _RULES for finding in rule(statement)
    )


def has_variables_as_text(document: str, version: object) -> bool:
    """Whether a document writes variables under a Version in which they are plain text."""
    return "${" in document and version != "2012-10-17"


def _for_all_values(statement: Statement) -> Iterator[Finding]:
    for one in _risky(statement, "Allow"):
        if one.quantifier is Quantifier.ALL:
            yield _warn(
                statement,
                "FOR_ALL_VALUES_ALLOWS",
                f"{one.name} on {one.key} is true when the key is missing or empty, and then "
                'allows; add "Null": {"' + one.key + '": "false"}.',
            )


def _if_exists(statement: Statement) -> Iterator[Finding]:
    for one in _risky(statement, statement.effect):
        if not one.if_exists:
            continue
        if statement.effect == "Deny":
            message = f"{one.name} denies every request without {one.key}."
            yield _warn(statement, "IF_EXISTS_DENIES", message)
        else:
            message = f"{one.name} allows every request without {one.key}."
            yield _warn(statement, "IF_EXISTS_ALLOWS", message)


def _negated(statement: Statement) -> Iterator[Finding]:
    for one in _risky(statement, "Allow"):
        if one.negated and one.quantifier is Quantifier.ONE and not one.if_exists:
            yield _warn(
                statement,
                "NEGATED_ALLOWS_MISSING",
                f"{one.name} is true for every request without {one.key}, and then allows.",
            )


def _inverted(statement: Statement) -> Iterator[Finding]:
    if statement.effect != "Allow":
        return
    if statement.actions_inverted:
        message = "Allow with NotAction allows every other action, also those of later versions."
        yield _warn(statement, "NOT_ACTION_ALLOWS", message)
    if statement.resources_inverted:
        message = "Allow with NotResource allows every other resource, also those made later."
        yield _warn(statement, "NOT_RESOURCE_ALLOWS", message)


def _everything(statement: Statement) -> Iterator[Finding]:
    if statement.effect != "Allow" or statement.resources_inverted:
        return
    if not any(pattern.text == "*" for pattern in statement.resources):
        return
    if not statement.actions_inverted and {"*", "*:*"} & set(statement.action_texts):
        message = "It allows every action on every resource: what an administrator may do."
        yield _inform(statement, "ALLOWS_EVERYTHING", message)
        return
    for action in WRITE_ACTIONS:
        if statement.names_action(action):
            message = f"It allows {action} on every accelerator, also those added later."
            yield _inform(statement, "WRITES_EVERYWHERE", message)


def _wildcard_principal(statement: Statement) -> Iterator[Finding]:
    for one in statement.conditions:
        anyone = any(set(text) == {"*"} for text in one.wanted)
        compares_patterns = one.base.endswith("Like") or one.base.startswith("Arn")
        if one.key.lower() in _WHO and anyone and compares_patterns:
            whom = "no one" if one.negated else "every principal"
            message = f'{one.name} on {one.key} with "*" means {whom}.'
            yield _warn(statement, "WILDCARD_PRINCIPAL", message)


def _variables(statement: Statement) -> Iterator[Finding]:
    for one in _variables_of(statement):
        if one.default is not None or one.key.lower() in ALWAYS_THERE:
            continue
        if statement.effect == "Deny":
            message = (
                f"Where {one.key} is missing, this Deny does not apply; write a default, "
                "for instance ${" + one.key + ", 'none'}, or deny without the variable."
            )
            yield _warn(statement, "DENY_VARIABLE_MISSING", message)
        else:
            message = f"Where {one.key} is missing, what names it matches nothing."
            yield _inform(statement, "VARIABLE_MISSING", message)


def _unknown_keys(statement: Statement) -> Iterator[Finding]:
    keys = [*(one.key for one in statement.conditions)]
    keys += [one.key for one in _variables_of(statement)]
    for key in dict.fromkeys(keys):
        if key.lower() not in _KNOWN and not key.lower().startswith(_PREFIXES):
            message = f"The daemon knows no key {key}; it is missing in every request."
            yield _warn(statement, "UNKNOWN_KEY", message)


_RULES: Sequence[Callable[[Statement], Iterator[Finding]]] = (
    _for_all_values,
    _if_exists,
    _negated,
    _inverted,
    _everything,
    _wildcard_principal,
    _variables,
    _unknown_keys,
)


def _risky(statement: Statement, effect: str) -> Iterator[Condition]:
    """Conditions of a statement with this effect whose key may be missing, unguarded by Null."""
    if statement.effect != effect:
        return
    guarded = {
        one.key.lower()
        for one in statement.conditions
        if one.base == "Null" and all(text.lower() == "false" for text in one.wanted)
    }
    for one in statement.conditions:
        if one.base != "Null" and one.key.lower() not in guarded | ALWAYS_THERE:
            yield one


def _variables_of(statement: Statement) -> list[Variable]:
    """Each variable once, of the resources and of the conditions."""
    found = [one for named in statement.resources for part in named.parts for one in part.variables]
    found += [one for condition in statement.conditions for one in condition.variables]
    return list(dict.fromkeys(found))


def _warn(statement: Statement, code: str, message: str) -> Finding:
    return Finding(Severity.WARNING, code, statement.label, message)


def _inform(statement: Statement, code: str, message: str) -> Finding:
    return Finding(Severity.INFORMATION, code, statement.label, message)
