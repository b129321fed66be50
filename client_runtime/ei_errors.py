"""The error block of the original, for programs and people who look for it.

Amazon's client ended some errors with four lines that name a code; scripts and runbooks search for
them. The errors that mean the same here end with the same lines, after our own words. Only codes
whose meaning is documented are used; other errors have no such block.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from accel_protocol.errors import AcceleratorError, CredentialsError

_NO_REQUEST = "00000000-0000-0000-0000-000000000000"
_NO_ACCELERATOR = "unknown"


@dataclass(frozen=True)
class EICode:
    """One code of the original, and what it called it."""

    code: tuple[int, int, int]
    description: str


NOT_AUTHENTICATED = EICode((3, 16, 8), "Unable to authenticate with accelerator")
OUT_OF_MEMORY = EICode((12, 5, 13), "Internal error")
BY_REASON: Mapping[str, EICode] = {"MODEL_TOO_LARGE": OUT_OF_MEMORY}
BY_CLASS: Mapping[type[AcceleratorError], EICode] = {CredentialsError: NOT_AUTHENTICATED}


def code_of(error: AcceleratorError) -> EICode | None:
    """The original's code for an error; None where it had none that is known."""
    by_class = (code for kind, code in BY_CLASS.items() if isinstance(error, kind))
    return BY_REASON.get(error.reason) or next(by_class, None)


def add_block(error: AcceleratorError, accelerator_id: str | None) -> None:
    """End an error's text with the original's block, where there is a code for it.

    Args:
        error: as it was raised.
        accelerator_id: the accelerator that was used; None when none was reached.
    """
    code = code_of(error)
    if code is not None:
        error.appendix = block(code, error.request_id, accelerator_id)


def block(code: EICode, request_id: str, accelerator_id: str | None) -> str:
    """The lines of the original."""
    return "\n".join(
        [
            "Last Error:",
            f"    EI Error Code: [{', '.join(map(str, code.code))}]",
            f"    EI Error Description: {code.description}",
            f"    EI Request ID: TF-{request_id or _NO_REQUEST}"
            f"  --  EI Accelerator ID: {accelerator_id or _NO_ACCELERATOR}",
            f"    EI Client Version: {_client_version()}",
        ]
    )


def _client_version() -> str:
    try:
        return version("elastic-accelerator")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "0+unknown"
