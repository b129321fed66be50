"""The table of published types, and what is read off it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_protocol.accelerator_types import (
    HOST_TYPE,
    PUBLISHED_TYPES,
    TYPES,
    fitting_type,
    published_type,
)

MIB = 1 << 20


def test_every_type_but_ours_is_published() -> None:
    """`host` has no published figures; every other name has."""
    assert published_type(HOST_TYPE) is None
    assert [published_type(name) for name in TYPES[1:]] == list(PUBLISHED_TYPES)


@pytest.mark.parametrize(
    ("needed", "name"),
    [
        (0, "eia1.medium"),
        (1024 * MIB, "eia1.medium"),
        (1024 * MIB + 1, "eia2.medium"),
        (2048 * MIB + 1, "eia2.large"),
        (8192 * MIB, "eia2.xlarge"),
        (8192 * MIB + 1, HOST_TYPE),
    ],
)
def test_the_smallest_that_fits(needed: int, name: str) -> None:
    """By memory, then by throughput; our own type when none is large enough."""
    assert fitting_type(needed) == name


@given(st.integers(0, 20 * 1024 * MIB))
def test_what_is_named_fits(needed: int) -> None:
    """Whatever is needed, the type that is named holds it."""
    one = published_type(fitting_type(needed))
    assert one is None or one.memory_bytes >= needed


def test_seconds_add_both_widths() -> None:
    """At 8 and 1 TFLOPS: a second each."""
    one = published_type("eia2.medium")
    assert one is not None
    assert one.seconds(8 * 10**12, 10**12) == pytest.approx(2.0)
