"""What each version of Landlock forbids."""

from __future__ import annotations

import pytest

from accel_daemon.sandbox.landlock_rights import EXECUTE, READ_WRITE, handled


@pytest.mark.parametrize(
    ("abi", "files", "network", "scopes"),
    [
        (1, 0x1FFF, 0, 0),
        (2, 0x3FFF, 0, 0),
        (3, 0x7FFF, 0, 0),
        (4, 0x7FFF, 3, 0),
        (5, 0xFFFF, 3, 0),
        (6, 0xFFFF, 3, 3),
        (7, 0xFFFF, 3, 3),
        (99, 0xFFFF, 3, 3),
    ],
)
def test_what_an_abi_can_forbid(abi: int, files: int, network: int, scopes: int) -> None:
    """The kernel's table; unknown versions are treated as the newest known one."""
    of_it = handled(abi)
    assert (of_it.files, of_it.network, of_it.scopes) == (files, network, scopes)


def test_nothing_is_executed_from_the_store() -> None:
    """Whatever a tenant uploads stays data."""
    assert not READ_WRITE & EXECUTE
