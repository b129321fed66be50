"""The condition operators: how one value of a policy compares with one value of a request.

A comparison is made once, when the policy is read; there a value that is not of the operator's type
refuses the policy. Variables have a meaning in string and ARN operators only.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from accel_daemon.iam.condition_values import (
    read_address,
    read_bytes,
    read_network,
    read_number,
    read_time,
    read_truth,
)
from accel_daemon.iam.matching import Match
from accel_daemon.iam.resources import ArnPattern, split_arn
from accel_daemon.iam.variables import Lookup, Template, Variable

Test = Callable[[str, Lookup], Match]


@dataclass(frozen=True)
class Comparison:
    """One value of a policy, ready to be compared.

    Attributes:
        text: as it stands in the policy.
        variables: what it refers to.
        test: compares a value of the request with it.
    """

    text: str
    variables: tuple[Variable, ...]
    test: Test


Maker = Callable[[str, bool], Comparison | None]


@dataclass(frozen=True)
class Operator:
    """An operator; `make` turns a policy's value into a comparison, or None when it is malformed.

    `negated` operators are true when no value of the policy compares, also when the key is missing.
    """

    make: Maker
    negated: bool = False


def _strings(recase: Callable[[str], str]) -> Maker:
    def make(text: str, with_variables: bool) -> Comparison | None:
        template = Template.parse(text, with_variables)
        if template is None:
            return None

        def test(value: str, lookup: Lookup) -> Match:
            wanted = template.literal(lookup)
            if wanted is None:
                return Match.UNRESOLVED
            return Match.of(recase(wanted) == recase(value))

        return Comparison(text, template.variables, test)

    return make


def _make_like(text: str, with_variables: bool) -> Comparison | None:
    template = Template.parse(text, with_variables)
    if template is None:
        return None

    def test(value: str, lookup: Lookup) -> Match:
        pattern = template.wildcard(lookup)
        return Match.UNRESOLVED if pattern is None else Match.of(pattern.matches(value))

    return Comparison(text, template.variables, test)


def _make_arn(text: str, with_variables: bool) -> Comparison | None:
    whole = Template.parse(text, with_variables)
    pattern = ArnPattern.parse(text, with_variables, in_condition=True)
    if pattern is not None:
        variables = tuple(one for part in pattern.parts for one in part.variables)
        return Comparison(text, variables, pattern.compare)
    # A variable alone stands for a whole ARN, literally.
    if whole is None or not whole.variables or any(piece[0] for piece in _texts(whole)):
        return None

    def test(value: str, lookup: Lookup) -> Match:
        wanted = whole.literal(lookup)
        if wanted is None:
            return Match.UNRESOLVED
        return Match.of(wanted == value and split_arn(value) is not None)

    return Comparison(text, whole.variables, test)


def _texts(template: Template) -> list[tuple[str, bool]]:
    return [piece for piece in template.pieces if not isinstance(piece, Variable)]


def _typed(read: Callable[[str], Any], compare: Callable[[Any, Any], bool]) -> Maker:
    """Comparisons of values that are read from their texts."""
    return _pairs(read, read, compare)


def _pairs(
    read_request: Callable[[str], Any],
    read_policy: Callable[[str], Any],
    compare: Callable[[Any, Any], bool],
) -> Maker:
    def make(text: str, with_variables: bool) -> Comparison | None:
        wanted = read_policy(text)
        if wanted is None:
            return None

        def test(value: str, lookup: Lookup) -> Match:
            actual = read_request(value)
            return Match.MALFORMED if actual is None else Match.of(compare(actual, wanted))

        return Comparison(text, (), test)

    return make


def _ordered(kind: str, read: Callable[[str], Any]) -> dict[str, Operator]:
    return {
        f"{kind}Equals": Operator(_typed(read, operator.eq)),
        f"{kind}NotEquals": Operator(_typed(read, operator.eq), negated=True),
        f"{kind}LessThan": Operator(_typed(read, operator.lt)),
        f"{kind}LessThanEquals": Operator(_typed(read, operator.le)),
        f"{kind}GreaterThan": Operator(_typed(read, operator.gt)),
        f"{kind}GreaterThanEquals": Operator(_typed(read, operator.ge)),
    }


def _is_within(address: Any, network: Any) -> bool:
    return bool(address in network)


OPERATORS: Mapping[str, Operator] = {
    "StringEquals": Operator(_strings(str)),
    "StringNotEquals": Operator(_strings(str), negated=True),
    "StringEqualsIgnoreCase": Operator(_strings(str.lower)),
    "StringNotEqualsIgnoreCase": Operator(_strings(str.lower), negated=True),
    "StringLike": Operator(_make_like),
    "StringNotLike": Operator(_make_like, negated=True),
    **_ordered("Numeric", read_number),
    **_ordered("Date", read_time),
    "Bool": Operator(_typed(read_truth, operator.eq)),
    "BinaryEquals": Operator(_typed(read_bytes, operator.eq)),
    "IpAddress": Operator(_pairs(read_address, read_network, _is_within)),
    "NotIpAddress": Operator(_pairs(read_address, read_network, _is_within), negated=True),
    "ArnEquals": Operator(_make_arn),
    "ArnLike": Operator(_make_arn),
    "ArnNotEquals": Operator(_make_arn, negated=True),
    "ArnNotLike": Operator(_make_arn, negated=True),
}
