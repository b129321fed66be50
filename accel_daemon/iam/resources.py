"""Amazon Resource Names and patterns of them: six parts, each compared on its own.

The sixth part is all that follows the fifth colon, and may itself hold colons, so a `*` there spans
them, and nowhere else (docs/decisions/0009 says why).
"""

from __future__ import annotations

from dataclasses import dataclass

from accel_daemon.iam.matching import Match
from accel_daemon.iam.variables import Lookup, Template, split_outside_variables

ARN_PARTS = 6


def no_value(key: str) -> str | None:
    """The lookup of a request that has no condition keys."""
    return None


def split_arn(text: str) -> list[str] | None:
    """The six parts; None when the text is no ARN."""
    parts = text.split(":", ARN_PARTS - 1)
    return parts if len(parts) == ARN_PARTS and parts[0] == "arn" else None


@dataclass(frozen=True)
class ArnPattern:
    """A pattern of ARNs. A lone `*`, here without parts, matches everything.

    Attributes:
        text: as it stands in the policy.
        parts: none or six.
    """

    text: str
    parts: tuple[Template, ...]

    @staticmethod
    def parse(
        text: str, with_variables: bool = False, in_condition: bool = False
    ) -> ArnPattern | None:
        """None when the text is neither `*` nor an ARN whose service is spelt out.

        Args:
            text: as it stands in the policy.
            with_variables: whether `${` starts a variable; a malformed one gives None.
            in_condition: whether it is a condition's, which may have wildcards in the service, and
                variables before the fifth colon.
        """
        if text == "*":
            return ArnPattern(text, ())
        parts = split_outside_variables(text, ARN_PARTS) if with_variables else text.split(":", 5)
        well_formed = len(parts) == ARN_PARTS and parts[0] == "arn" and all(parts[1:3] + parts[5:])
        if not well_formed or (not in_condition and any(one in parts[2] for one in "*?$")):
            return None
        if with_variables and not in_condition and any("${" in part for part in parts[:5]):
            return None
        templates = [Template.parse(part, with_variables) for part in parts]
        known = tuple(template for template in templates if template is not None)
        return ArnPattern(text, known) if len(known) == ARN_PARTS else None

    @property
    def templates(self) -> tuple[Template, ...]:
        """All texts in it that may hold variables."""
        return self.parts

    def compare(self, arn: str, lookup: Lookup) -> Match:
        """Whether a concrete ARN falls under the pattern, case-sensitively."""
        if not self.parts:
            return Match.YES
        parts = split_arn(arn)
        if parts is None:
            return Match.NO
        return min(
            _compare_part(template, part, lookup)
            for template, part in zip(self.parts, parts, strict=True)
        )

    def matches(self, arn: str, lookup: Lookup = no_value) -> bool:
        """Whether a concrete ARN certainly falls under the pattern."""
        return self.compare(arn, lookup) is Match.YES


def _compare_part(template: Template, part: str, lookup: Lookup) -> Match:
    wildcard = template.wildcard(lookup)
    if wildcard is None:
        return Match.UNRESOLVED
    return Match.of(wildcard.matches(part))
