"""Patterns with `*` and `?`, matched in one step per character, without backtracking."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Wildcard:
    """A pattern with `*` (any characters) and `?` (one).

    It runs all positions of the pattern at once, as bits of an integer. Bit i of a state says: the
    first i characters of the pattern (not counting `*`) have been matched.
    """

    characters: str
    loops: int
    any_character: int

    @staticmethod
    def parse(pattern: str) -> Wildcard:
        """Every text is a pattern."""
        return Wildcard.of([(pattern, True)])

    @staticmethod
    def of(pieces: Iterable[tuple[str, bool]]) -> Wildcard:
        """From pieces: a text, and whether `*` and `?` in it are wildcards or stand for themselves.

        What was substituted for a variable is a piece of the second kind, so that a user who is
        named `*` is one user and not all.
        """
        characters: list[str] = []
        loops, any_character = 0, 0
        for text, is_pattern in pieces:
            for character in text:
                if is_pattern and character == "*":
                    loops |= 1 << len(characters)
                    continue
                any_character |= int(is_pattern and character == "?") << len(characters)
                characters.append(character)
        return Wildcard("".join(characters), loops, any_character)

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
