"""What comparing a request with a part of a policy can give."""

from __future__ import annotations

from enum import IntEnum


class Match(IntEnum):
    """An answer in order of strength: "any of" is `max`, and "all of" is `min`.

    UNRESOLVED: a policy variable has no value, so the statement does not apply. MALFORMED: the
    request's value is not of the operator's type; that never helps an Allow, and never weakens a
    Deny.
    """

    NO = 0
    UNRESOLVED = 1
    MALFORMED = 2
    YES = 3

    @staticmethod
    def of(answer: bool) -> Match:
        """YES or NO."""
        return Match.YES if answer else Match.NO

    def inverted(self) -> Match:
        """The opposite of a clear answer; an unclear one stays unclear."""
        if self in (Match.YES, Match.NO):
            return Match.of(self is Match.NO)
        return self
