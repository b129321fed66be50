"""Everything that says what one caller may do, as one value that can go to another process. Pure.

`PolicySet` holds documents, `Rules` what they mean. The control endpoint decides with it about
requests, and an accelerator about what a ticket's owner does there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from accel_daemon.iam.evaluation import Decision, Policy, evaluate
from accel_daemon.iam.policy import parse_policy
from accel_daemon.iam.request_context import AccessRequest
from accel_protocol.errors import ConfigurationError

Document = Mapping[str, object]


@dataclass(frozen=True)
class PolicySet:
    """Policy documents of one caller.

    Attributes:
        identity: of the user and its groups, or of the role.
        boundary: the permission boundary; None where there is none.
        session: policies that the session was narrowed with; None where it was not.
    """

    identity: tuple[Document, ...] = ()
    boundary: tuple[Document, ...] | None = None
    session: tuple[Document, ...] | None = None

    def rules(self) -> Rules | None:
        """What the documents mean; None when one cannot be understood, which then denies all."""
        try:
            identity, boundary, session = (
                None if documents is None else tuple(parse_policy(one) for one in documents)
                for documents in (self.identity, self.boundary, self.session)
            )
        except ConfigurationError:
            return None
        return Rules(identity or (), boundary, session)


@dataclass(frozen=True)
class Rules:
    """The understood policies of one caller; see PolicySet."""

    identity: Sequence[Policy] = ()
    boundary: Sequence[Policy] | None = None
    session: Sequence[Policy] | None = None

    def decide(self, request: AccessRequest) -> Decision:
        """Decide about a request. Never raises: whatever goes wrong while deciding is a denial."""
        return evaluate(self.identity, request, boundary=self.boundary, session=self.session)
