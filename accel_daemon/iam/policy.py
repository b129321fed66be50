"""Policies: read an IAM policy document. This module is what the rest of the daemon imports.

The language is that of AWS identity policies. What is not understood (Principal, unknown elements
and operators, values of another type) makes a document invalid; skipping it could grant what its
author meant to withhold. `evaluation` decides, `conditions` and `operators` compare, `lint` warns.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

from accel_daemon.iam.conditions import Condition, read_conditions
from accel_daemon.iam.evaluation import Decision, Policy, Statement, evaluate, judge_all
from accel_daemon.iam.request_context import AccessRequest
from accel_daemon.iam.resources import ArnPattern
from accel_daemon.iam.wildcards import Wildcard
from accel_protocol.errors import ConfigurationError

__all__ = [
    "AccessRequest",
    "ArnPattern",
    "Decision",
    "Policy",
    "Statement",
    "Wildcard",
    "evaluate",
    "judge_all",
    "load_document",
    "parse_policies",
    "parse_policy",
]

MAX_POLICY_CHARACTERS = 10_240
VERSIONS = ("2008-10-17", "2012-10-17")

_POLICY_ELEMENTS = frozenset({"Version", "Id", "Statement"})
_STATEMENT_ELEMENTS = frozenset(
    {"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"}
)
_SID = re.compile(r"[A-Za-z0-9]{0,128}")
_ACTION_PATTERN = re.compile(r"\*(:\*)?|[A-Za-z0-9-]{1,64}:[A-Za-z0-9*?]{1,128}")


def load_document(text: str) -> dict[str, object]:
    """Read a policy file's text strictly, for parse_policy.

    Raises:
        ConfigurationError: too long, not JSON, not an object, or an element that is there twice.
    """
    if len(text) > MAX_POLICY_CHARACTERS:
        raise _invalid(f"has more than {MAX_POLICY_CHARACTERS} characters")
    try:
        document = json.loads(text, object_pairs_hook=_unique_elements)
    except (ValueError, RecursionError):
        raise _invalid("is not JSON") from None
    if not isinstance(document, dict):
        raise _invalid("is not an object")
    return document


def parse_policies(documents: Iterable[Mapping[str, object]]) -> tuple[Policy, ...]:
    """parse_policy for each of a user's documents."""
    return tuple(parse_policy(document) for document in documents)


def parse_policy(document: Mapping[str, object]) -> Policy:
    """Read a policy document.

    Raises:
        ConfigurationError: malformed, or with an element this version does not understand; the
            message names the element.
    """
    if not isinstance(document, Mapping):
        raise _invalid("is not an object")
    _refuse_unknown(document, _POLICY_ELEMENTS)
    version = document.get("Version", VERSIONS[0])
    if version not in VERSIONS:
        raise _invalid(f"has a Version other than {' or '.join(VERSIONS)}")
    if not isinstance(document.get("Id", ""), str):
        raise _invalid("has an Id that is not a text")
    with_variables = version != VERSIONS[0]
    statements = _read_statements(document.get("Statement"), with_variables)
    labels = [statement.label for statement in statements]
    if len(set(labels)) != len(labels):
        raise _invalid("has the same Sid twice")
    return Policy(statements)


def _read_statements(value: object, with_variables: bool) -> tuple[Statement, ...]:
    items = value if isinstance(value, list) else [value]
    if not items:
        raise _invalid("has an empty Statement list")
    return tuple(
        _read_statement(item, f"Statement {number}", with_variables)
        for number, item in enumerate(items, start=1)
    )


def _read_statement(value: object, place: str, with_variables: bool) -> Statement:
    if not isinstance(value, Mapping):
        raise _invalid("has a Statement that is missing or not an object")
    _refuse_unknown(value, _STATEMENT_ELEMENTS)
    effect = value.get("Effect")
    if effect not in ("Allow", "Deny"):
        raise _invalid("has an Effect other than Allow or Deny")
    action_element, actions = _read_choice(value, "Action")
    resource_element, resources = _read_choice(value, "Resource")
    return Statement(
        label=_read_sid(value) or place,
        effect="Allow" if effect == "Allow" else "Deny",
        actions=tuple(_read_action(text, action_element) for text in actions),
        action_texts=tuple(actions),
        actions_inverted=action_element == "NotAction",
        resources=tuple(
            _read_resource(text, resource_element, with_variables) for text in resources
        ),
        resources_inverted=resource_element == "NotResource",
        conditions=_read_conditions(value, with_variables),
    )


def _read_sid(statement: Mapping[object, object]) -> str:
    sid = statement.get("Sid", "")
    if not isinstance(sid, str) or not _SID.fullmatch(sid):
        raise _invalid("has a Sid that is not of letters and digits")
    return sid


def _read_choice(statement: Mapping[object, object], name: str) -> tuple[str, list[str]]:
    """The element and its texts: exactly one of `name` and its Not form, one text or several."""
    present = [element for element in (name, f"Not{name}") if element in statement]
    if len(present) != 1:
        raise _invalid(f"needs exactly one of {name} and Not{name} in each statement")
    value = statement[present[0]]
    items = value if isinstance(value, list) else [value]
    texts = [item for item in items if isinstance(item, str)]
    if not texts or len(texts) != len(items):
        raise _invalid(f"has a {present[0]} that is neither a text nor a list of texts")
    return present[0], texts


def _read_action(text: str, element: str) -> Wildcard:
    if not _ACTION_PATTERN.fullmatch(text):
        raise _invalid(f"has a malformed {element} (expected service:Name)")
    return Wildcard.parse(text.lower())


def _read_resource(text: str, element: str, with_variables: bool) -> ArnPattern:
    pattern = ArnPattern.parse(text, with_variables)
    if pattern is None or len(text) > MAX_POLICY_CHARACTERS:
        raise _invalid(
            f"has a malformed {element} (expected * or arn:PARTITION:SERVICE:…, with variables "
            "after the fifth colon only)"
        )
    return pattern


def _read_conditions(
    statement: Mapping[object, object], with_variables: bool
) -> tuple[Condition, ...]:
    if "Condition" not in statement:
        return ()
    return read_conditions(statement["Condition"], with_variables)


def _refuse_unknown(
    members: Mapping[object, object] | Mapping[str, object], known: frozenset[str]
) -> None:
    for name in members:
        if name not in known:
            raise _invalid(f"has the element {str(name)[:64]!r}, which is not supported here")


def _unique_elements(pairs: list[tuple[str, object]]) -> dict[str, object]:
    elements = dict(pairs)
    if len(elements) != len(pairs):
        raise _invalid("has an element twice")
    return elements


def _invalid(problem: str) -> ConfigurationError:
    return ConfigurationError(f"The policy {problem}.", remedy="Correct the policy document.")
