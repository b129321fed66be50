"""Who is let in, who is refused with which reason, and which open streams are ended."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accel_daemon.accelerator.gate import PERMISSIONS, PUBLIC, Gate
from accel_daemon.iam.principals import Principal
from accel_daemon.iam.tickets import Ticket, TicketSigner, TicketVerifier
from accel_protocol.errors import (
    AcceleratorError,
    AccessDeniedError,
    BusyError,
    ConnectionLostError,
    CredentialsError,
    LimitError,
    VersionError,
)
from accel_protocol.limits import DEFAULT_LIMITS, Limits
from accel_protocol.methods import METHODS
from tests.conftest import patience

NOW = 1_770_000_000.0
ALICE = Principal("alice", "123456789012")
BOB = Principal("bob", "123456789012")
KEY = "AKIATESTTESTTESTTEST"
OTHER_KEY = "AKIAOTHEROTHEROTHER2"
# Key and role behind it, as if it was a temporary key.
PARENTS = ("AKIAPARENTPARENTPAR2", "AROA" + "R" * 17)
SIGNER = TicketSigner.generate()
RUN = METHODS["Run"].path


class Clock:
    """Seconds since the epoch, as the test says."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        """The time now."""
        return self.now


def token(
    principal: Principal = ALICE,
    key: str = KEY,
    tenancy: int = 3,
    seconds: int = 60,
    accelerator: str = "eia-1",
) -> str:
    """A ticket as the supervisor issues it."""
    return SIGNER.issue(principal, accelerator, key, tenancy, NOW, seconds, parents=PARENTS)


def gate(clock: Clock | None = None, limits: Limits = DEFAULT_LIMITS) -> Gate:
    """The gate of accelerator eia-1 in its third tenancy."""
    verifier = TicketVerifier(SIGNER.public_key_pem(), "eia-1")
    return Gate(verifier, 3, limits, clock or Clock())


def admit(subject: Gate, ticket: str, path: str = RUN) -> Ticket:
    """Let a call with this ticket in."""
    admitted = subject.admit(path, [("authorization", f"Bearer {ticket}")])
    assert admitted is not None
    return admitted


def reason_of(subject: Gate, ticket: str) -> str:
    """Why a call with this ticket is refused."""
    with pytest.raises(AcceleratorError) as caught:
        admit(subject, ticket)
    return caught.value.reason


def test_every_method_has_a_permission() -> None:
    """No method of the service is served without an entry, and each asks for a ticket."""
    assert PUBLIC not in {PERMISSIONS[method.path] for method in METHODS.values()}


def test_only_health_is_public() -> None:
    """Load balancers may ask; nothing else is open to anyone."""
    public = [path for path, needed in PERMISSIONS.items() if needed is PUBLIC]
    assert public
    assert all(path.startswith("/grpc.health.v1.Health/") for path in public)


@pytest.mark.parametrize("path", [p for p, n in PERMISSIONS.items() if n is PUBLIC])
@pytest.mark.parametrize("metadata", [[], [("authorization", "Bearer nonsense")]])
def test_public_methods_need_no_ticket(path: str, metadata: list[tuple[str, str]]) -> None:
    """Without a ticket, or with one that is worth nothing."""
    assert gate().admit(path, metadata) is None


@pytest.mark.parametrize("path", [p for p, n in PERMISSIONS.items() if n is not PUBLIC])
def test_a_good_ticket_opens_every_method(path: str) -> None:
    """The gate answers whose ticket it is."""
    ticket = admit(gate(), token(), path)
    assert (ticket.principal, ticket.access_key_id, ticket.tenancy) == (ALICE.arn, KEY, 3)


@pytest.mark.parametrize("path", [p for p, n in PERMISSIONS.items() if n is not PUBLIC])
def test_no_method_opens_without_a_ticket(path: str) -> None:
    """Missing credentials have a reason of their own."""
    with pytest.raises(CredentialsError) as caught:
        gate().admit(path, [("user-agent", "x")])
    assert caught.value.reason == "MISSING_TICKET"


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer "])
def test_an_empty_authorization_is_a_missing_ticket(value: str) -> None:
    """Only the scheme, or nothing, is as good as no authorization."""
    with pytest.raises(CredentialsError) as caught:
        gate().admit(RUN, [("authorization", value)])
    assert caught.value.reason == "MISSING_TICKET"


@pytest.mark.parametrize(
    "path", ["", "/", "Run", RUN.lower(), RUN + "/", "/accel.v1.Accelerator/Format", "/a.b/Run"]
)
def test_unknown_methods_are_refused(path: str) -> None:
    """Even to those who hold a good ticket."""
    with pytest.raises(VersionError) as caught:
        admit(gate(), token(), path)
    assert caught.value.reason == "UNKNOWN_METHOD"


GOOD = token()


@pytest.mark.parametrize(
    "values",
    [
        [GOOD],
        [f"bearer {GOOD}"],
        [f"Basic {GOOD}"],
        [f" Bearer {GOOD}"],
        [f"Bearer  {GOOD}"],
        [f"Bearer {GOOD} "],
        [f"Bearer {GOOD}x"],
        [f"Bearer {GOOD[:-4]}"],
        ["Bearer größe"],
        [f"Bearer {GOOD}", f"Bearer {GOOD}"],
        [f"Bearer {GOOD}", "Bearer x"],
        [f"Bearer {GOOD}".encode()],
    ],
    ids=range(12),
)
def test_malformed_authorization_is_refused(values: list[str | bytes]) -> None:
    """No ticket, half a ticket, two tickets, another scheme."""
    with pytest.raises(CredentialsError) as caught:
        gate().admit(RUN, [("authorization", value) for value in values])
    assert caught.value.reason == "INVALID_TICKET"


@given(st.text(min_size=1, max_size=60))
@settings(deadline=None)
def test_no_text_is_a_ticket(text: str) -> None:
    """A stranger's text is refused in one way."""
    assert reason_of(gate(), text) == "INVALID_TICKET"


@pytest.mark.parametrize(("more", "error"), [(0, CredentialsError), (1, LimitError)])
def test_a_ticket_s_length_is_limited(more: int, error: type[Exception]) -> None:
    """Above the limit it is not even looked at."""
    with pytest.raises(error):
        admit(gate(), "x" * (DEFAULT_LIMITS.ticket_characters + more))


@pytest.mark.parametrize(
    ("ticket", "reason"),
    [
        (token(accelerator="eia-2"), "INVALID_TICKET"),
        (TicketSigner.generate().issue(ALICE, "eia-1", KEY, 3, NOW), "INVALID_TICKET"),
        (SIGNER.issue(ALICE, "eia-1", KEY, 3, NOW - 60, 60), "TICKET_EXPIRED"),
        (SIGNER.issue(ALICE, "eia-1", KEY, 3, NOW + 3600, 60), "INVALID_TICKET"),
        (token(tenancy=2), "TICKET_EXPIRED"),
        (token(tenancy=4), "TICKET_EXPIRED"),
    ],
    ids=["another accelerator", "another signer", "old", "future", "earlier", "later"],
)
def test_tickets_that_are_not_for_here_and_now_are_refused(ticket: str, reason: str) -> None:
    """Accelerator, signer, times and tenancy all have to fit."""
    assert reason_of(gate(), ticket) == reason


def test_a_ticket_expires_while_it_is_remembered() -> None:
    """A ticket that was good is refused from its last second on."""
    clock = Clock()
    subject, ticket = gate(clock), token(seconds=60)
    admit(subject, ticket)
    clock.now = NOW + 59.9
    admit(subject, ticket)
    clock.now = NOW + 60
    assert reason_of(subject, ticket) == "TICKET_EXPIRED"


def test_another_principal_is_refused() -> None:
    """The first principal of a tenancy is its tenant, and stays so."""
    subject = gate()
    admit(subject, token(ALICE))
    with pytest.raises(AccessDeniedError):
        admit(subject, token(BOB))
    admit(subject, token(ALICE, OTHER_KEY))


def test_a_refused_ticket_makes_no_tenant() -> None:
    """Who only knocked with a bad ticket does not keep others out."""
    subject = gate()
    assert reason_of(subject, token(BOB, tenancy=9)) == "TICKET_EXPIRED"
    admit(subject, token(ALICE))


@pytest.mark.parametrize("name", [KEY, ALICE.arn, *PARENTS])
@pytest.mark.parametrize("seen", [True, False], ids=["seen before", "new"])
def test_a_revoked_ticket_is_refused(name: str, seen: bool) -> None:
    """By its key, what is behind it, or its principal, whether the gate knew the ticket or not."""
    subject, ticket = gate(), token()
    if seen:
        admit(subject, ticket)
    subject.revoke([name])
    assert reason_of(subject, ticket) == "TICKET_REVOKED"
    assert reason_of(subject, token()) == "TICKET_REVOKED"


def test_revoking_a_key_leaves_the_other_keys() -> None:
    """A principal with two keys goes on with the other one."""
    subject = gate()
    subject.revoke([KEY])
    admit(subject, token(key=OTHER_KEY))


def test_many_tickets_are_not_remembered_for_ever() -> None:
    """Three hundred tickets are all admitted, and the first one still is."""
    subject, tickets = gate(), [token() for _ in range(300)]
    for ticket in [*tickets, tickets[0]]:
        admit(subject, ticket)
    assert len(subject._good) <= 256


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run in an event loop of its own, not for ever."""
    asyncio.run(asyncio.wait_for(work, 20))


@contextlib.asynccontextmanager
async def open_stream(
    subject: Gate, ticket: Ticket, *, busy: bool = False
) -> AsyncIterator[asyncio.Task[None]]:
    """A stream that waits for its next message, or is inside a call."""

    async def stream() -> None:
        with subject.streams.entered(ticket):
            inside = subject.streams.busy() if busy else contextlib.nullcontext()
            with inside:
                await asyncio.Event().wait()

    task = asyncio.create_task(stream())
    await asyncio.sleep(0)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def ending(task: asyncio.Task[None], seconds: float = 1) -> str:
    """The reason with which a stream ends, soon."""
    with pytest.raises(AcceleratorError) as caught:
        await asyncio.wait_for(asyncio.shield(task), patience(seconds))
    return caught.value.reason


@pytest.mark.parametrize("name", [KEY, ALICE.arn, *PARENTS])
@pytest.mark.parametrize("busy", [False, True])
def test_revoking_ends_open_streams(name: str, busy: bool) -> None:
    """By key, what is behind it, and principal, also in the middle of a call."""

    async def work() -> None:
        subject = gate()
        async with open_stream(subject, admit(subject, token()), busy=busy) as task:
            subject.revoke([name])
            assert await ending(task) == "TICKET_REVOKED"
        assert len(subject.streams) == 0

    run(work())


def test_revoking_a_key_leaves_streams_of_other_keys_open() -> None:
    """Only the streams of the revoked key end."""

    async def work() -> None:
        subject = gate()
        mine, other = admit(subject, token()), admit(subject, token(key=OTHER_KEY))
        async with open_stream(subject, mine) as one, open_stream(subject, other) as two:
            subject.revoke([KEY])
            assert await ending(one) == "TICKET_REVOKED"
            assert not two.done()

    run(work())


@pytest.mark.parametrize("passed", [59.95, 60.0, 1000.0])
def test_a_stream_ends_when_its_ticket_expires(passed: float) -> None:
    """The time that is left by the injected clock passes, and the stream ends."""

    async def work() -> None:
        clock = Clock()
        subject = gate(clock)
        ticket = admit(subject, token(seconds=60))
        clock.now = NOW + passed
        async with open_stream(subject, ticket) as task:
            clock.now = max(clock.now, NOW + 60)
            assert await ending(task) == "TICKET_EXPIRED"

    run(work())


def test_a_stream_ends_soon_after_a_sleep_of_the_machine() -> None:
    """The event loop knows nothing of the minute that passed: the clock is looked at again."""

    async def work() -> None:
        clock = Clock()
        subject = gate(clock)
        async with open_stream(subject, admit(subject, token(seconds=60))) as task:
            await asyncio.sleep(0.1)
            assert not task.done()
            clock.now = NOW + 60
            assert await ending(task, 5) == "TICKET_EXPIRED"

    run(work())


def test_a_stream_lives_as_long_as_its_ticket() -> None:
    """With time left it stays open."""

    async def work() -> None:
        subject = gate()
        async with open_stream(subject, admit(subject, token(seconds=60))) as task:
            await asyncio.sleep(0.1)
            assert not task.done()
            assert len(subject.streams) == 1

    run(work())


def test_streams_are_limited() -> None:
    """One above the limit is sent away with a hint; when one ends there is room again."""

    async def work() -> None:
        subject = gate(limits=Limits(streams=2))
        ticket = admit(subject, token())
        async with open_stream(subject, ticket):
            async with open_stream(subject, ticket):
                with pytest.raises(BusyError) as caught, subject.streams.entered(ticket):
                    pass
                assert int(caught.value.fields["retry_after_ms"]) > 0
            with subject.streams.entered(ticket):
                assert len(subject.streams) == 2

    run(work())


def test_a_stream_that_its_client_cancels_stays_cancelled() -> None:
    """A cancellation from outside the gate is not turned into an error."""

    async def work() -> None:
        subject = gate()
        async with open_stream(subject, admit(subject, token())) as task:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert len(subject.streams) == 0

    run(work())


def test_shutting_down_ends_idle_streams_only() -> None:
    """A call that runs is finished first, and then its stream ends as well."""

    async def work() -> None:
        subject, answer = gate(), asyncio.Event()
        ticket = admit(subject, token())

        async def calling() -> None:
            with subject.streams.entered(ticket), subject.streams.busy():
                await answer.wait()

        busy = asyncio.create_task(calling())
        async with open_stream(subject, ticket) as idle:
            subject.streams.end_idle()
            assert await ending(idle) == "UNAVAILABLE"
            assert not busy.done()
            answer.set()
            with pytest.raises(ConnectionLostError):
                await busy

    run(work())
