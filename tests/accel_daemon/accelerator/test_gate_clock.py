"""How long tickets are good while somebody sets the machine's clock."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from accel_daemon.accelerator.gate import Gate
from accel_daemon.clock import Clock
from accel_daemon.iam.principals import Principal
from accel_daemon.iam.tickets import TicketSigner, TicketVerifier
from accel_protocol.errors import CredentialsError
from accel_protocol.limits import DEFAULT_LIMITS
from accel_protocol.methods import METHODS

ALICE = Principal("alice", "123456789012")
SIGNER = TicketSigner.generate()
VERIFIER = TicketVerifier(SIGNER.public_key_pem(), "eia-1")
HOUR, YEAR = 3600, 365 * 86_400


@dataclass(frozen=True)
class Issued:
    """A ticket, and the elapsed time at which its life ends."""

    token: str
    until: float


class SetClock(RuleBasedStateMachine):
    """A supervisor and its accelerator's process, which starts again now and then."""

    def __init__(self) -> None:
        super().__init__()
        self.wall, self.up = 1_770_000_000.0, 5000.0
        self.supervisor = self.clock(None)
        self.issued: list[Issued] = []
        self.start_again()

    def clock(self, anchor: float | None) -> Clock:
        """The clock of a process that starts now."""
        return Clock.start(anchor, lambda: self.wall, lambda: self.up)

    @rule()
    def start_again(self) -> None:
        """Another process, which is told how the supervisor counts."""
        steady = self.clock(self.supervisor.anchor).steady
        self.gate = Gate(VERIFIER, 1, DEFAULT_LIMITS, steady)

    @rule(seconds=st.sampled_from([1, 59, 300, 899, HOUR]))
    def wait(self, seconds: int) -> None:
        """Time passes, or the machine sleeps: both clocks go on."""
        self.wall += seconds
        self.up += seconds

    @rule(seconds=st.sampled_from([-YEAR, -HOUR, -60, 60, HOUR, YEAR]))
    def set_clock(self, seconds: int) -> None:
        """Somebody sets the clock."""
        self.wall += seconds

    @rule(seconds=st.sampled_from([1, 60, 900]))
    def issue(self, seconds: int) -> None:
        """Connect."""
        now = self.supervisor.steady()
        token = SIGNER.issue(ALICE, "eia-1", "AKIATEST", 1, now, seconds)
        self.issued.append(Issued(token, self.up + seconds))

    @rule()
    def call(self) -> None:
        """Every ticket is good as long as it was issued for, and not longer."""
        for one in self.issued[-8:]:
            metadata = [("authorization", f"Bearer {one.token}")]
            try:
                self.gate.admit(METHODS["Run"].path, metadata)
            except CredentialsError as error:
                assert error.reason == "TICKET_EXPIRED"
                assert self.up >= one.until
            else:
                assert self.up < one.until


TestSetClock = SetClock.TestCase
