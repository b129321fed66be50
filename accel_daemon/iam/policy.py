"""Policies: read an IAM policy document, and decide whether it lets a principal do something.

The rules are those of AWS identity policies: an explicit Deny wins, else any Allow allows, else the
answer is no. What this version does not understand (Condition, Principal, policy variables, unknown
elements) makes a document invalid; skipping it could grant what its author meant to withhold.

To grow the language: read the new element in `_read_statement`, keep it in `Statement`, and add its
test to `Statement.applies`.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from accel_daemon.iam.principals import Principal
from accel_protocol.errors import ConfigurationError

MAX_POLICY_CHARACTERS = 10_240
VERSIONS = ("2008-10-17", "2012-10-17")

_POLICY_ELEMENTS = frozenset({"Version", "Id", "Statement"})
_STATEMENT_ELEMENTS = frozenset({"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource"})
_SID = re.compile(r"[A-Za-z0-9]{0,128}")
_ACTION_PATTERN = re.compile(r"\*(:\*)?|[A-Za-z0-9-]{1,64}:[A-Za-z0-9*?]{1,128}")
_ACTION = re.compile(r"[A-Za-z0-9-]{1,64}:[A-Za-z0-9]{1,128}")
_ARN_PARTS = 6


@dataclass(frozen=True)
class AccessRequest:
    """One question to the policies.

    Attributes:
        principal: who asks.
        action: for instance "elastic-inference:Connect", in any case.
        resource_arn: what it is about; "*" for an action that has no resource.
    """

    principal: Principal
    action: str
    resource_arn: str


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
class Wildcard:
    """A pattern with `*` (any characters) and `?` (one), matched in one step per character.

    It runs all positions of the pattern at once, as bits of an integer, so no pattern can make it
    backtrack. Bit i of a state says: the first i characters of the pattern (not counting `*`) have
    been matched.
    """

    characters: str
    loops: int
    any_character: int

    @staticmethod
    def parse(pattern: str) -> Wildcard:
        """Every text is a pattern."""
        characters, loops, any_character = "", 0, 0
        for character in pattern:
            if character == "*":
                loops |= 1 << len(characters)
                continue
            any_character |= int(character == "?") << len(characters)
            characters += character
        return Wildcard(characters, loops, any_character)

    def matches(self, text: str) -> bool:
        """Whether the whole text matches, compared case by case."""
        accepts: dict[str, int] = {}
        for position, character in enumerate(self.characters):
            accepts[character] = accepts.get(character, self.any_character) | 1 << position
        state = 1
        for character in text:
            advances = accepts.get(character, self.any_character)
            state = (state & advances) << 1 | state & self.loops
            if not state:
                return False
        return bool(state >> len(self.characters) & 1)


@dataclass(frozen=True)
class ArnPattern:
    """A resource pattern: its six parts are compared each on its own, so `*` stays in its part.

    The sixth part is all that follows the fifth colon, and may itself hold colons, so a `*` there
    spans them. A lone `*`, here without parts, matches everything.
    """

    parts: tuple[Wildcard, ...]

    @staticmethod
    def parse(text: str) -> ArnPattern | None:
        """None when the text is neither `*` nor an ARN whose service is spelt out."""
        if text == "*":
            return ArnPattern(())
        parts = text.split(":", _ARN_PARTS - 1)
        well_formed = len(parts) == _ARN_PARTS and parts[0] == "arn" and all(parts[1:3] + parts[5:])
        if not well_formed or "*" in parts[2] or "?" in parts[2]:
            return None
        return ArnPattern(tuple(Wildcard.parse(part) for part in parts))

    def matches(self, arn: str) -> bool:
        """Whether a concrete ARN falls under the pattern, case-sensitively."""
        if not self.parts:
            return True
        parts = arn.split(":", _ARN_PARTS - 1)
        return len(parts) == _ARN_PARTS and all(
            pattern.matches(part) for pattern, part in zip(self.parts, parts, strict=True)
        )


@dataclass(frozen=True)
class Statement:
    """One statement; `inverted` marks NotAction and NotResource."""

    label: str
    effect: Literal["Allow", "Deny"]
    actions: tuple[Wildcard, ...]
    actions_inverted: bool
    resources: tuple[ArnPattern, ...]
    resources_inverted: bool

    def applies(self, request: AccessRequest) -> bool:
        """Whether the statement speaks about this request."""
        action = request.action.lower()
        names_action = any(pattern.matches(action) for pattern in self.actions)
        if names_action == self.actions_inverted:
            return False
        names_resource = any(pattern.matches(request.resource_arn) for pattern in self.resources)
        return names_resource != self.resources_inverted


@dataclass(frozen=True)
class Policy:
    """A document that was understood completely."""

    statements: tuple[Statement, ...]


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
    statements = _read_statements(document.get("Statement"), str(version))
    labels = [statement.label for statement in statements]
    if len(set(labels)) != len(labels):
        raise _invalid("has the same Sid twice")
    return Policy(statements)


def evaluate(policies: Sequence[Policy], request: AccessRequest) -> Decision:
    """Decide. Never raises: whatever goes wrong while deciding is a denial."""
    try:
        return _decide(policies, request)
    except Exception:  # The door stays shut, whatever broke its lock.
        return Decision(False, False, None, "The policies could not be evaluated.")


def _decide(policies: Sequence[Policy], request: AccessRequest) -> Decision:
    if not _ACTION.fullmatch(request.action) or not _is_resource(request.resource_arn):
        return Decision(False, False, None, "The action or the resource is malformed.")
    applying = [
        statement
        for policy in policies
        for statement in policy.statements
        if statement.applies(request)
    ]
    for statement in applying:
        if statement.effect == "Deny":
            return Decision(False, True, statement.label, f"{statement.label} denies it.")
    for statement in applying:
        if statement.effect == "Allow":
            return Decision(True, False, statement.label, f"{statement.label} allows it.")
    return Decision(False, False, None, "No statement allows it.")


def _is_resource(arn: str) -> bool:
    parts = arn.split(":", _ARN_PARTS - 1)
    return arn == "*" or (len(parts) == _ARN_PARTS and parts[0] == "arn")


def _read_statements(value: object, version: str) -> tuple[Statement, ...]:
    items = value if isinstance(value, list) else [value]
    if not items:
        raise _invalid("has an empty Statement list")
    return tuple(
        _read_statement(item, f"Statement {number}", version)
        for number, item in enumerate(items, start=1)
    )


def _read_statement(value: object, place: str, version: str) -> Statement:
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
        actions_inverted=action_element == "NotAction",
        resources=tuple(_read_resource(text, resource_element, version) for text in resources),
        resources_inverted=resource_element == "NotResource",
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


def _read_resource(text: str, element: str, version: str) -> ArnPattern:
    if "${" in text and version != VERSIONS[0]:
        raise _invalid(f"uses a policy variable in {element}, which is not supported")
    pattern = ArnPattern.parse(text)
    if pattern is None or len(text) > MAX_POLICY_CHARACTERS:
        raise _invalid(f"has a malformed {element} (expected * or arn:PARTITION:SERVICE:…)")
    return pattern


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
