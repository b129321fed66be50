"""What a published type allows."""

from __future__ import annotations

import pytest

from accel_daemon.accelerator.emulation import counted_bytes, emulation_of, too_large
from accel_daemon.engines.engine import Cost, Weights
from accel_protocol.accelerator_types import PUBLISHED_TYPES

MIB = 1 << 20


def test_the_host_emulates_nothing() -> None:
    """No memory limit of a type, and no pace."""
    assert emulation_of("host") is None


@pytest.mark.parametrize("published", PUBLISHED_TYPES)
def test_each_published_type_is_emulated(published: object) -> None:
    """With its own figures."""
    emulation = emulation_of(published.name, paced=True)  # type: ignore[attr-defined]
    assert emulation is not None
    assert emulation.published is published
    assert emulation.paced


def test_seconds_of_a_run() -> None:
    """16-bit operations are cheaper."""
    emulation = emulation_of("eia1.medium")
    assert emulation is not None
    assert emulation.seconds(Cost(0, 10**9, 0, False)) == pytest.approx(1e-3)
    assert emulation.seconds(Cost(10**9, 0, 0, False)) == pytest.approx(1e-3 / 8)


@pytest.mark.parametrize(
    ("weights", "grown", "counted"),
    [
        (Weights(900 * MIB, 0), 950 * MIB, 900 * MIB),  # the engine's own is not the graph's
        (Weights(900 * MIB, 0), 0, 900 * MIB),  # memory that was free already
        (Weights(0, 0), 2000 * MIB, 1744 * MIB),  # variables made while loading
        (Weights(0, 900 * MIB), 3400 * MIB, 900 * MIB),  # copies of constants
    ],
)
def test_what_counts(weights: Weights, grown: int, counted: int) -> None:
    """The weights; what the process grew by only where that cannot be the engine's own."""
    assert counted_bytes(weights, grown) == counted


def test_the_refusal_says_what_was_needed_and_what_fits() -> None:
    """In words and in fields."""
    error = too_large(PUBLISHED_TYPES[0], 1024 * MIB + 1)
    assert "1025 MiB" in error.message
    assert "eia1.medium has 1024 MiB" in error.message
    assert "eia2.medium" in error.remedy
    assert error.fields == {
        "needed_bytes": str(1024 * MIB + 1),
        "limit_bytes": str(1024 * MIB),
        "accelerator_type": "eia1.medium",
        "fitting_type": "eia2.medium",
    }


def test_a_run_that_does_not_fit_names_its_share() -> None:
    """Smaller feeds help too."""
    error = too_large(PUBLISHED_TYPES[0], 9000 * MIB, run_bytes=8999 * MIB)
    assert "8999 MiB of it for a run with these feeds" in error.message
    assert "smaller feeds" in error.remedy
    assert error.fields["fitting_type"] == "host"


def test_a_run_that_was_stopped_needs_at_least_that_much() -> None:
    """How much more it would have taken is not known."""
    error = too_large(PUBLISHED_TYPES[0], 1500 * MIB, run_bytes=1500 * MIB, at_least=True)
    assert "needs at least 1500 MiB" in error.message
    assert "eia2.medium or larger, or smaller feeds" in error.remedy
