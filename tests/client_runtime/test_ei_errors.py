"""The original's error block under the errors that mean what its codes meant."""

from __future__ import annotations

import pytest

from accel_protocol.errors import REASONS, AcceleratorError, CredentialsError, GraphError, from_wire
from client_runtime.ei_errors import BY_REASON, add_block, code_of

ACCELERATOR = "eia-" + "0" * 32


def test_the_block_word_for_word() -> None:
    """Code, description, request, accelerator and version, below our own words."""
    error = from_wire("MODEL_TOO_LARGE", "It needs more.", remedy="Take more.", request_id="ab-1")
    add_block(error, ACCELERATOR)
    lines = str(error).splitlines()
    assert lines[0] == "It needs more. [MODEL_TOO_LARGE]"
    assert lines[3:7] == [
        "Last Error:",
        "    EI Error Code: [12, 5, 13]",
        "    EI Error Description: Internal error",
        f"    EI Request ID: TF-ab-1  --  EI Accelerator ID: {ACCELERATOR}",
    ]
    assert lines[7].startswith("    EI Client Version: ")
    assert len(lines) == 8


def test_nothing_was_reached() -> None:
    """Neither a request nor an accelerator is made up."""
    error = CredentialsError("Who are you?")
    add_block(error, None)
    assert "[3, 16, 8]" in str(error)
    assert "Unable to authenticate with accelerator" in str(error)
    assert "TF-00000000-0000-0000-0000-000000000000" in str(error)
    assert "EI Accelerator ID: unknown" in str(error)


def test_other_errors_stay_as_they_are() -> None:
    """No code is made up for what the original did not document."""
    error = GraphError("It failed.")
    before = str(error)
    add_block(error, ACCELERATOR)
    assert str(error) == before


@pytest.mark.parametrize("reason", REASONS)
def test_which_reasons_have_a_code(reason: str) -> None:
    """Those in the table, and every one about credentials."""
    error: AcceleratorError = from_wire(reason, "It happened.")
    expected = reason in BY_REASON or isinstance(error, CredentialsError)
    assert (code_of(error) is not None) == expected


def test_the_table_knows_only_reasons_that_there_are() -> None:
    """A reason that was renamed is noticed here."""
    assert set(BY_REASON) <= set(REASONS)
