"""Policy variables: `${aws:username}`, `${aws:PrincipalTag/team, 'none'}`, `${*}`, `${?}`, `${$}`.

A variable is replaced once, and what replaces it is literal: wildcards and variables in a user's
name mean nothing. Under Version 2008-10-17 there are no variables; `${` is then plain text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from accel_daemon.iam.wildcards import Wildcard

Lookup = Callable[[str], str | None]

_VARIABLE = re.compile(r"\$\{([^{}]*)\}")
_REFERENCE = re.compile(r" ?([A-Za-z0-9-]{1,64}:[^\s{}',][^{}',]{0,254}?) ?(?:, ?'([^'{}]*)' ?)?")
_ESCAPES = ("*", "?", "$")


@dataclass(frozen=True)
class Variable:
    """A reference to a condition key; `default` stands in when the request has no such key."""

    key: str
    default: str | None


@dataclass(frozen=True)
class Template:
    """A text of a policy, in pieces: pattern text, literal text, and variables.

    Attributes:
        text: as it stands in the policy.
        pieces: variables, or texts with whether their `*` and `?` are wildcards.
    """

    text: str
    pieces: tuple[Variable | tuple[str, bool], ...]

    @staticmethod
    def plain(text: str) -> Template:
        """A text without variables, whatever it holds."""
        return Template(text, ((text, True),))

    @staticmethod
    def parse(text: str, with_variables: bool = True) -> Template | None:
        """None when a variable is malformed."""
        if not with_variables or "${" not in text:
            return Template.plain(text)
        pieces: list[Variable | tuple[str, bool]] = []
        end = 0
        for found in _VARIABLE.finditer(text):
            piece = _read_piece(found[1])
            between = text[end : found.start()]
            if piece is None or "${" in between:
                return None
            pieces += [(between, True), piece]
            end = found.end()
        if "${" in text[end:]:
            return None
        return Template(text, (*pieces, (text[end:], True)))

    @cached_property
    def _fixed(self) -> Wildcard:
        """The pattern of a template without variables, made once."""
        return Wildcard.of(piece for piece in self.pieces if not isinstance(piece, Variable))

    @cached_property
    def variables(self) -> tuple[Variable, ...]:
        """The variables in it."""
        return tuple(piece for piece in self.pieces if isinstance(piece, Variable))

    def resolve(self, lookup: Lookup) -> tuple[tuple[str, bool], ...] | None:
        """The pieces with values for variables; None when one has neither value nor default.

        Args:
            lookup: gives the one value of a condition key, or None.
        """
        resolved: list[tuple[str, bool]] = []
        for piece in self.pieces:
            if isinstance(piece, Variable):
                value = lookup(piece.key)
                value = piece.default if value is None else value
                if value is None:
                    return None
                piece = (value, False)
            resolved.append(piece)
        return tuple(resolved)

    def literal(self, lookup: Lookup) -> str | None:
        """The resolved text, in which `*` and `?` stand for themselves; None as resolve."""
        pieces = self.resolve(lookup)
        return None if pieces is None else "".join(text for text, _ in pieces)

    def wildcard(self, lookup: Lookup) -> Wildcard | None:
        """The resolved pattern; None as resolve."""
        if not self.variables:
            return self._fixed
        pieces = self.resolve(lookup)
        return None if pieces is None else Wildcard.of(pieces)


def split_outside_variables(text: str, parts: int) -> list[str]:
    """Split at colons into at most `parts` parts; colons inside `${…}` do not count."""
    found: list[str] = []
    start, inside = 0, False
    for place, character in enumerate(text):
        if len(found) == parts - 1:
            break
        if text.startswith("${", place):
            inside = True
        elif character == "}":
            inside = False
        elif character == ":" and not inside:
            found.append(text[start:place])
            start = place + 1
    return [*found, text[start:]]


def _read_piece(inner: str) -> Variable | tuple[str, bool] | None:
    if inner in _ESCAPES:
        return (inner, False)
    found = _REFERENCE.fullmatch(inner)
    return None if found is None else Variable(found[1], found[2])
