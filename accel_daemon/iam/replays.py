"""Refuse a signature that was used before, where using it again would change something.

A signature is good for minutes, and whoever has read a request could send it again. Most requests
only read, and then a second answer is no harm; clients even send the same bytes twice within a
second, and SigV4 gives both the same signature. So only routes that change something ask here.

That no signature counts twice does not depend on any clock: each one that was used is either
remembered, or was made no later than a time up to which all are refused. While nobody sets the
daemon's clock back, that time lies behind what is too old anyway. Afterwards the clock shows times
a second time; who signs with these is told the latest time that the clock has ever shown, which
goes on and is always good.

Memory is bounded per access key, and a full one refuses rather than forgets: who floods, floods
only itself. The memory does not outlive the daemon. The caller passes the time; no I/O.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from accel_daemon.iam.authentication import clock_skew
from accel_protocol.errors import BusyError, CredentialsError

# No signature is good for longer: presigned ones live 15 minutes, signed up to 5 in the future.
REMEMBERED = timedelta(minutes=20)
MAX_SIGNATURES_PER_KEY = 20_000
# Of all keys, beyond those of the last minutes: with few changes, those of weeks.
MAX_OLD_SIGNATURES = 50_000

_ALWAYS = datetime.min.replace(tzinfo=UTC)
# Signatures name whole seconds, so that the two sides of REMEMBERED need some room between them.
_FORGOTTEN = (REMEMBERED + timedelta(minutes=1)).total_seconds()


@dataclass(frozen=True, slots=True)
class _Use:
    """The first use of a signature: whose, when made, and when used by the elapsed time."""

    access_key_id: str
    signature: str
    signed_at: datetime
    first: float


@dataclass(frozen=True)
class Moment:
    """When a request came.

    Attributes:
        wall: the latest that the daemon takes for the time now, aware.
        elapsed: seconds that only rise, whoever sets the clock.
    """

    wall: datetime
    elapsed: float


@dataclass
class SignatureMemory:
    """The signatures that were used, in the order of their first use.

    Attributes:
        capacity: signatures of one access key at most, within 20 minutes.
        old: how many older ones are kept, of all keys together.
    """

    capacity: int = MAX_SIGNATURES_PER_KEY
    old: int = MAX_OLD_SIGNATURES
    _uses: OrderedDict[str, _Use] = field(default_factory=OrderedDict)
    _recent: deque[_Use] = field(default_factory=deque)
    _counts: Counter[str] = field(default_factory=Counter)
    _refused_until: datetime = _ALWAYS
    _ahead: float | None = None

    def __len__(self) -> int:
        """How many signatures are remembered."""
        return len(self._uses)

    def latest_time(self, now: Moment) -> datetime:
        """The latest time that the clock has ever shown, and what passed since.

        To be asked for each request. It is `now` as long as nobody sets the clock back.
        """
        shown = now.wall.timestamp() - now.elapsed
        self._ahead = shown if self._ahead is None else max(self._ahead, shown)
        latest = datetime.fromtimestamp(self._ahead + now.elapsed, UTC)
        return max(now.wall, latest)

    def use(
        self,
        access_key_id: str,
        signature: str,
        signed_at: datetime,
        now: Moment,
        grace: timedelta,
    ) -> None:
        """Remember a signature that was found to be right.

        Args:
            access_key_id: whose it is.
            signature: 64 hex digits.
            signed_at: the time that it names.
            now: when it came.
            grace: how long after its first use it may come again: SDKs repeat a request that got
                no answer, and do so within the second that their signature names.

        Raises:
            CredentialsError: it was used before (SIGNATURE_REPLAYED), or that cannot be known
                because the clock was set back (CLOCK_SKEW, with a time that is good).
            BusyError: the key used too many signatures lately.
        """
        self._forget(now.elapsed)
        known = self._uses.get(signature)
        if known is not None:
            if not grace or now.elapsed - known.first > grace.total_seconds():
                raise _replayed()
            return
        if signed_at <= self._refused_until:
            raise clock_skew(signed_at, self.latest_time(now))
        if self._counts[access_key_id] >= self.capacity:
            raise BusyError(
                "This access key made too many changes within 20 minutes.",
                fields={"retry_after_ms": "60000"},
            )
        use = _Use(access_key_id, signature, signed_at, now.elapsed)
        self._uses[signature] = use
        self._recent.append(use)
        self._counts[access_key_id] += 1

    def _forget(self, elapsed: float) -> None:
        while self._recent and elapsed - self._recent[0].first > REMEMBERED.total_seconds():
            key = self._recent.popleft().access_key_id
            self._counts[key] -= 1
            if not self._counts[key]:
                del self._counts[key]
        while len(self._uses) - len(self._recent) > self.old:
            eldest = next(iter(self._uses.values()))
            if elapsed - eldest.first <= _FORGOTTEN:
                return
            del self._uses[eldest.signature]
            self._refused_until = max(self._refused_until, eldest.signed_at)


def _replayed() -> CredentialsError:
    return CredentialsError("This signed request was sent before.", reason="SIGNATURE_REPLAYED")
