"""A text for tests that must not take long: it knows how often it was read."""

from __future__ import annotations

from collections.abc import Iterator


class CountedText(str):
    """A text that counts how many of its characters were looked at."""

    looked_at = 0

    def __iter__(self) -> Iterator[str]:
        """Its characters, counted."""
        for character in super().__iter__():
            self.looked_at += 1
            yield character
