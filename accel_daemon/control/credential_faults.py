"""The fault `expired-credentials` at the control endpoint: good credentials answered as expired."""

from __future__ import annotations

from accel_daemon.control.service import Call
from accel_protocol.errors import CredentialsError

# Whoever tests with faults must be able to end them.
_EXEMPT = frozenset(
    f"elastic-inference:{name}" for name in ("ListFaults", "InjectFault", "ClearFaults")
)


def meet_credential_faults(call: Call) -> None:
    """Refuse a call whose credentials are good, where a fault on demand wants that.

    Raises:
        CredentialsError: as for temporary credentials whose time is over; audited.
    """
    faults = call.service.faults
    if faults is None or call.action in _EXEMPT or not faults.refuses_credentials():
        return
    raise CredentialsError(
        "The request's credentials have expired (fault on demand).", reason="CREDENTIALS_EXPIRED"
    )
