"""Which signatures may come again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from accel_daemon.iam.authentication import authenticate
from accel_daemon.iam.replays import REMEMBERED, Moment, SignatureMemory
from accel_protocol.clock_skew import MOST_CORRECTIONS, server_time
from accel_protocol.errors import BusyError, CredentialsError
from accel_protocol.sigv4 import AccessKey, HttpRequest, sign

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
ONCE = timedelta(0)
SECOND = timedelta(seconds=1)
LONG = REMEMBERED + 2 * timedelta(minutes=1)


def at(passed: timedelta) -> Moment:
    """A moment so long after NOW, of a clock that nobody sets."""
    return Moment(NOW + passed, passed.total_seconds())


def use(
    memory: SignatureMemory,
    key: str,
    signature: str,
    passed: timedelta = timedelta(),
    grace: timedelta = ONCE,
) -> None:
    """Use a signature that was made just when it comes."""
    memory.use(key, signature, NOW + passed, at(passed), grace)


def test_second_use_is_refused() -> None:
    """Even at the same moment; another signature is another request."""
    memory = SignatureMemory()
    use(memory, "A", "1")
    use(memory, "A", "2")
    for passed in (timedelta(), SECOND, REMEMBERED, 100 * REMEMBERED):
        with pytest.raises(CredentialsError) as caught:
            use(memory, "A", "1", passed)
        assert caught.value.reason == "SIGNATURE_REPLAYED"


@pytest.mark.parametrize(("seconds", "good"), [(0, True), (2, True), (2.001, False), (60, False)])
def test_grace(seconds: float, good: bool) -> None:
    """An SDK's repetition is let through, and does not begin a grace of its own."""
    memory, grace = SignatureMemory(), 2 * SECOND
    use(memory, "A", "1", grace=grace)
    use(memory, "A", "1", SECOND, grace)
    if good:
        use(memory, "A", "1", seconds * SECOND, grace)
    else:
        with pytest.raises(CredentialsError):
            use(memory, "A", "1", seconds * SECOND, grace)


def test_grace_does_not_grow_when_the_clock_is_set_back() -> None:
    """It is elapsed time that counts."""
    memory = SignatureMemory()
    use(memory, "A", "1", grace=2 * SECOND)
    with pytest.raises(CredentialsError):
        memory.use("A", "1", NOW, Moment(NOW - 60 * SECOND, 3.0), 2 * SECOND)


def test_full_memory_refuses_its_key_only() -> None:
    """Nothing is forgotten before its time, and others do not suffer."""
    memory = SignatureMemory(capacity=2)
    for signature in ("1", "2"):
        use(memory, "A", signature)
    with pytest.raises(BusyError):
        use(memory, "A", "3", REMEMBERED)
    with pytest.raises(CredentialsError):
        use(memory, "A", "1")
    use(memory, "B", "4")
    use(memory, "A", "3", REMEMBERED + SECOND)


@given(st.lists(st.tuples(st.sampled_from("AB"), st.integers(0, 9), st.integers(0, 900))))
def test_memory_is_bounded(uses: list[tuple[str, int, int]]) -> None:
    """By the keys' recent signatures and some old ones."""
    memory, passed = SignatureMemory(capacity=5, old=3), timedelta()
    for count, (key, number, pause) in enumerate(uses):
        passed += timedelta(seconds=pause)
        try:
            use(memory, key, f"{key}{number}{count}", passed)
        except BusyError:
            continue
        # Those of one more minute are old already, and cannot be forgotten yet.
        assert len(memory) <= 2 * 5 + 3 + 2 * 5


def test_nothing_recent_is_forgotten() -> None:
    """However little room there is for old ones: no time that is good is refused for it."""
    memory = SignatureMemory(old=0)
    for minutes in range(21):
        use(memory, "A", str(minutes), minutes * 60 * SECOND)
    assert len(memory) == 21
    memory.use("A", "presigned", NOW + 6 * 60 * SECOND, at(21 * 60 * SECOND), ONCE)


def forgotten_once() -> SignatureMemory:
    """A memory that has used the signature "old" of NOW, and forgotten it."""
    memory = SignatureMemory(old=0)
    use(memory, "A", "old")
    use(memory, "A", "new", LONG)
    assert len(memory) == 1
    return memory


def test_what_was_forgotten_is_refused_when_the_clock_is_set_back() -> None:
    """It would be in time again, and the refusal says which time is good for everybody."""
    memory = forgotten_once()
    back = Moment(NOW, LONG.total_seconds() + 1)
    memory.latest_time(at(LONG))
    with pytest.raises(CredentialsError) as caught:
        memory.use("A", "old", NOW, back, ONCE)
    assert caught.value.reason == "CLOCK_SKEW"
    told = server_time(caught.value)
    assert told == NOW + LONG + SECOND
    memory.use("A", "fresh", told, back, ONCE)


def test_the_latest_time_goes_on_where_the_clock_was_set_back() -> None:
    """And is the clock's own where that is later."""
    memory = SignatureMemory()
    assert memory.latest_time(Moment(NOW, 0.0)) == NOW
    hour = timedelta(hours=1)
    assert memory.latest_time(Moment(NOW - hour, 60.0)) == NOW + 60 * SECOND
    assert memory.latest_time(Moment(NOW + hour, 120.0)) == NOW + hour
    assert memory.latest_time(Moment(NOW, 180.0)) == NOW + hour + 60 * SECOND


class JumpingClock(RuleBasedStateMachine):
    """Requests that change something, to a daemon whose clock is set again and again."""

    KEY = AccessKey("AKIA" + "T" * 16, "s" * 40)

    def __init__(self) -> None:
        super().__init__()
        self.memory = SignatureMemory(old=2)
        self.offset, self.elapsed = 0.0, 0.0
        self.sent: list[HttpRequest] = []
        self.accepted: list[str] = []

    def now(self) -> Moment:
        """What the daemon's clocks show."""
        return Moment(max(self.wall, self.steady), self.elapsed)

    @property
    def steady(self) -> datetime:
        """The time, which the client's clocks show where they are right."""
        return NOW + timedelta(seconds=self.elapsed)

    @property
    def wall(self) -> datetime:
        """What the daemon's clock shows."""
        return self.steady + timedelta(seconds=self.offset)

    def signed(self, when: datetime) -> HttpRequest:
        """A new request."""
        headers = (("Host", "h"), ("X-Accel-Nonce", str(len(self.sent))))
        request = HttpRequest("POST", "/connect", "", headers, b"")
        service = "elastic-inference"
        added = sign(request, self.KEY, region="us-east-1", service=service, now=when)
        self.sent.append(
            HttpRequest("POST", "/connect", "", (*headers, *added.items()), b""),
        )
        return self.sent[-1]

    def send(self, request: HttpRequest) -> None:
        """What the control endpoint's gate does with it."""
        came = self.now()
        authenticate(
            request,
            now=self.wall,
            region="us-east-1",
            find_secret=lambda _: self.KEY.secret_access_key,
            also=(self.steady, self.memory.latest_time(came)),
            use_once=lambda key, signature, made: self.memory.use(key, signature, made, came, ONCE),
        )
        self.accepted.append(dict(request.headers)["X-Accel-Nonce"])

    @rule(seconds=st.sampled_from([1, 60, 299, 600, 1201, 1261, 7200]))
    def wait(self, seconds: int) -> None:
        """Time passes."""
        self.elapsed += seconds

    @rule(seconds=st.sampled_from([-86_400, -7200, -1260, -600, -60, -1, 1, 60, 1260, 86_400]))
    def set_clock(self, seconds: int) -> None:
        """Somebody sets the daemon's clock, which may show the same time again."""
        self.offset += seconds

    @rule(wrong=st.sampled_from([-7200, -60, 0, 60, 7200]))
    def ask(self, wrong: int) -> None:
        """A client whose clock is wrong, or not, gets through in two corrections at most.

        Where nothing was forgotten, one whose clock is right needs none.
        """
        when = self.steady + timedelta(seconds=wrong)
        for _ in range(MOST_CORRECTIONS):
            try:
                return self.send(self.signed(when))
            except CredentialsError as error:
                told = server_time(error)
                assert told is not None
                assert abs(wrong) > 300 or len(self.memory) < len(self.accepted)
                when = told
        return self.send(self.signed(when))

    @rule()
    def replay(self) -> None:
        """Somebody sends once more what was sent before, in time or not."""
        for request in self.sent[-40:]:
            try:
                self.send(request)
            except CredentialsError:
                continue

    @invariant()
    def no_request_counts_twice(self) -> None:
        """Whatever the clock did."""
        assert len(set(self.accepted)) == len(self.accepted)


TestJumpingClock = JumpingClock.TestCase
