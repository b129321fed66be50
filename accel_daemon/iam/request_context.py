"""The question that policies answer, and what is known about the request: its condition keys.

Names of keys are compared whatever their case, values exactly. A key has one value or several; one
that has none is missing. What follows from the principal is taken from it and from nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from accel_daemon.iam.callers import AnyPrincipal, Principal

ContextValue = str | Sequence[str]

# Keys that every request has, so that a policy need not fear that they are missing.
PRINCIPAL_KEYS = (
    "aws:userid",
    "aws:PrincipalArn",
    "aws:PrincipalAccount",
    "aws:PrincipalType",
)
# Keys that the control endpoint adds; it knows the accelerator's type when there is one.
ENDPOINT_KEYS = ("aws:SourceIp", "aws:CurrentTime", "aws:EpochTime", "aws:SecureTransport")
OPTIONAL_KEYS = (
    "aws:username",  # of a user, not of a role's session
    "aws:TokenIssueTime",  # of temporary credentials
    "elastic-inference:AcceleratorType",
    "elastic-inference:GraphId",
    "aws:TagKeys",
)
KEY_PREFIXES = ("aws:ResourceTag/", "aws:RequestTag/")


@dataclass(frozen=True)
class AccessRequest:
    """One question to the policies.

    Attributes:
        principal: who asks.
        action: for instance "elastic-inference:Connect", in any case.
        resource_arn: what it is about; "*" for an action that has no resource.
        context: condition keys and their values, as texts: times in ISO 8601, numbers in decimal.
    """

    principal: AnyPrincipal
    action: str
    resource_arn: str
    context: Mapping[str, ContextValue] = field(default_factory=dict)


@dataclass(frozen=True)
class Context:
    """The condition keys of one request, by their names in lower case."""

    known: Mapping[str, tuple[str, ...]]

    @staticmethod
    def of(request: AccessRequest) -> Context:
        """Everything that is known about a request.

        Raises:
            TypeError: a value is neither a text nor several; or the context is no mapping.
            ValueError: a key is there twice.
        """
        known: dict[str, tuple[str, ...]] = {}
        for key, value in dict(request.context).items():
            if key.lower() in known:
                raise ValueError("a condition key is there twice")
            known[key.lower()] = _values(value)
        return Context(known | _of_principal(request.principal))

    def values(self, key: str) -> tuple[str, ...]:
        """All values of a key; empty when it is missing."""
        return self.known.get(key.lower(), ())

    def single(self, key: str) -> str | None:
        """The value of a key that has exactly one: what may replace a policy variable."""
        values = self.values(key)
        return values[0] if len(values) == 1 else None


def _values(value: ContextValue) -> tuple[str, ...]:
    values = (value,) if isinstance(value, str) else tuple(value)
    if isinstance(value, Mapping | bytes) or not all(isinstance(one, str) for one in values):
        raise TypeError("the value of a condition key is neither a text nor several")
    return values


def _of_principal(principal: AnyPrincipal) -> dict[str, tuple[str, ...]]:
    """What follows from who calls; of a role's session, the role's ARN counts, as in AWS."""
    if isinstance(principal, Principal):
        name: tuple[str, ...] = (principal.name,)
        values = (principal.name, principal.arn, principal.account, "User")
    else:
        # Not only left out: a context that says something else must not stand in its place.
        name = ()
        values = (principal.user_id, principal.role_arn, principal.account, "AssumedRole")
    known = {key.lower(): (value,) for key, value in zip(PRINCIPAL_KEYS, values, strict=True)}
    return {**known, "aws:username": name}
