"""Conditions: whether a request's condition keys are as a statement wants them.

Operators and keys are all needed; of one key's values any will do. Where a key is missing, negated
operators are true, `…IfExists` is true, `ForAllValues:` is true, and everything else is false.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from accel_daemon.iam.condition_values import read_truth
from accel_daemon.iam.matching import Match
from accel_daemon.iam.operators import OPERATORS, Comparison
from accel_daemon.iam.request_context import Context
from accel_daemon.iam.variables import Variable
from accel_protocol.errors import ConfigurationError

_KEY = re.compile(r"[A-Za-z0-9-]{1,64}:[^\s*?${}][^*?${}]{0,254}")
_OPERATOR = re.compile(r"(?:(ForAllValues|ForAnyValue):)?([A-Za-z]{1,40}?)(IfExists)?")


class Quantifier(Enum):
    """How several values of the request count."""

    ONE = ""
    ALL = "ForAllValues"
    ANY = "ForAnyValue"


@dataclass(frozen=True)
class Condition:
    """One operator on one key.

    Attributes:
        name: the operator as it stands in the policy.
        base: the operator without quantifier and IfExists.
        key: the condition key as it stands in the policy.
        quantifier: whether `ForAllValues:` or `ForAnyValue:` stands in front.
        if_exists: whether a missing key is good enough.
        comparisons: the policy's values; any will do. For Null they are never compared.
    """

    name: str
    base: str
    key: str
    quantifier: Quantifier
    if_exists: bool
    comparisons: tuple[Comparison, ...]

    @property
    def negated(self) -> bool:
        """Whether it is true for what does not compare."""
        return self.base != "Null" and OPERATORS[self.base].negated

    @property
    def variables(self) -> tuple[Variable, ...]:
        """All policy variables in its values."""
        return tuple(one for comparison in self.comparisons for one in comparison.variables)

    @property
    def wanted(self) -> tuple[str, ...]:
        """Its values as they stand in the policy."""
        return tuple(comparison.text for comparison in self.comparisons)

    def holds(self, context: Context) -> Match:
        """Whether the request is as wanted."""
        values = context.values(self.key)
        if self.base == "Null":
            return Match.of(any(read_truth(one) is not bool(values) for one in self.wanted))
        if not values:
            return Match.of(self._holds_when_missing())
        answers = [self._compare(value, context) for value in values]
        if self.quantifier is Quantifier.ALL:
            return min(answers)
        # Without a quantifier, "not" means that none of several values compares.
        if self.quantifier is Quantifier.ONE and self.negated:
            return min(answers)
        return max(answers)

    def _holds_when_missing(self) -> bool:
        if self.if_exists or self.quantifier is Quantifier.ALL:
            return True
        return self.negated and self.quantifier is Quantifier.ONE

    def _compare(self, value: str, context: Context) -> Match:
        best = max(comparison.test(value, context.single) for comparison in self.comparisons)
        return best.inverted() if self.negated else best


def read_conditions(block: object, with_variables: bool) -> tuple[Condition, ...]:
    """Read a statement's Condition.

    Raises:
        ConfigurationError: malformed, or with an operator that there is not.
    """
    if not isinstance(block, Mapping) or not block:
        raise _invalid("is not an object with at least one operator")
    return tuple(
        _read_condition(str(name), str(key), value, with_variables)
        for name, keys in block.items()
        for key, value in _read_keys(keys)
    )


def _read_keys(keys: object) -> list[tuple[object, object]]:
    if not isinstance(keys, Mapping) or not keys:
        raise _invalid("has an operator whose value is not an object with at least one key")
    names = [str(key).lower() for key in keys]
    if len(set(names)) != len(names):
        raise _invalid("has the same key twice in one operator")
    return list(keys.items())


def _read_condition(name: str, key: str, value: object, with_variables: bool) -> Condition:
    found = _OPERATOR.fullmatch(name)
    base = found[2] if found else ""
    if found is None or (base != "Null" and base not in OPERATORS):
        raise _invalid(f"has the operator {name[:64]!r}, which is not one of the language")
    if base == "Null" and (found[1] or found[3]):
        raise _invalid("has a Null with ForAllValues, ForAnyValue or IfExists, which means nothing")
    if not _KEY.fullmatch(key):
        raise _invalid(f"has a malformed key in {name} (expected prefix:Name)")
    quantifier = Quantifier(found[1] or "")
    comparisons = tuple(
        _read_comparison(base, text, name, with_variables) for text in _read_texts(value, name)
    )
    return Condition(name, base, key, quantifier, bool(found[3]), comparisons)


def _read_comparison(base: str, text: str, name: str, with_variables: bool) -> Comparison:
    kind = OPERATORS["Bool"] if base == "Null" else OPERATORS[base]
    comparison = kind.make(text, with_variables)
    if comparison is None:
        raise _invalid(f"has a value in {name} that the operator cannot compare")
    return comparison


def _read_texts(value: object, name: str) -> list[str]:
    items = value if isinstance(value, list) else [value]
    texts = [_as_text(item) for item in items]
    known = [text for text in texts if text is not None]
    if not known or len(known) != len(texts):
        raise _invalid(f"has values in {name} that are neither texts, nor numbers, nor booleans")
    return known


def _as_text(value: object) -> str | None:
    """Numbers and booleans of JSON stand for the texts they are written as."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return value
    return repr(value)[:400] if isinstance(value, float) or _is_small(value) else None


def _is_small(value: object) -> bool:
    # Python refuses to print an integer of thousands of digits.
    return isinstance(value, int) and value.bit_length() <= 256


def _invalid(problem: str) -> ConfigurationError:
    return ConfigurationError(
        f"The policy's Condition {problem}.", remedy="Correct the policy document."
    )
