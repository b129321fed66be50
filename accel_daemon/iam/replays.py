"""Refuse a signature that was used before, where using it again would change something.

A signature is good for minutes, and whoever has read a request could send it again. Most requests
only read, and then a second answer is no harm; clients even send the same bytes twice within a
second, and SigV4 gives both the same signature. So only routes that change something ask here.

Memory is bounded per access key, and a full one refuses rather than forgets: who floods, floods
only itself. The memory does not outlive the daemon. The caller passes the time; no I/O.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from accel_protocol.errors import BusyError, CredentialsError

# No signature is good for longer: presigned ones live 15 minutes, signed up to 5 in the future.
REMEMBERED = timedelta(minutes=20)
MAX_SIGNATURES_PER_KEY = 20_000


@dataclass(frozen=True)
class _Use:
    access_key_id: str
    first: datetime


@dataclass
class SignatureMemory:
    """The signatures that were used lately, in the order of their first use.

    Attributes:
        capacity: signatures of one access key at most.
    """

    capacity: int = MAX_SIGNATURES_PER_KEY
    _uses: OrderedDict[str, _Use] = field(default_factory=OrderedDict)
    _counts: Counter[str] = field(default_factory=Counter)

    def __len__(self) -> int:
        """How many signatures are remembered."""
        return len(self._uses)

    def use(self, access_key_id: str, signature: str, now: datetime, grace: timedelta) -> None:
        """Remember a signature that was found to be right.

        Args:
            access_key_id: whose it is.
            signature: 64 hex digits.
            now: aware time.
            grace: how long after its first use it may come again: SDKs repeat a request that got
                no answer, and do so within the second that their signature names.

        Raises:
            CredentialsError: it was used before (SIGNATURE_REPLAYED).
            BusyError: the key used too many signatures lately.
        """
        self._forget(now - REMEMBERED)
        known = self._uses.get(signature)
        if known is not None:
            if now - known.first > grace or not grace:
                raise _replayed()
            return
        if self._counts[access_key_id] >= self.capacity:
            raise BusyError(
                "This access key made too many changes within 20 minutes.",
                fields={"retry_after_ms": "60000"},
            )
        self._uses[signature] = _Use(access_key_id, now)
        self._counts[access_key_id] += 1

    def _forget(self, before: datetime) -> None:
        while self._uses and next(iter(self._uses.values())).first < before:
            _, use = self._uses.popitem(last=False)
            self._counts[use.access_key_id] -= 1
            if not self._counts[use.access_key_id]:
                del self._counts[use.access_key_id]


def _replayed() -> CredentialsError:
    return CredentialsError("This signed request was sent before.", reason="SIGNATURE_REPLAYED")
