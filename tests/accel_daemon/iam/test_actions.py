"""The list of actions is that of the two tables of permissions."""

from __future__ import annotations

from accel_daemon.accelerator.gate import ACTIONS as OF_ACCELERATORS
from accel_daemon.control.gate import PERMISSIONS as OF_CONTROL
from accel_daemon.control.gate import Scope
from accel_daemon.iam.actions import ABOUT_AN_ACCELERATOR, ABOUT_NO_RESOURCE, SERVICE_PREFIX


def test_the_actions_are_those_that_are_asked_for() -> None:
    """Neither more nor less, and about what the tables say."""
    control = [one for one in OF_CONTROL.values() if one and one.action.startswith(SERVICE_PREFIX)]
    on_one = {one.action for one in control if one.scope is Scope.ACCELERATOR} | OF_ACCELERATORS
    assert set(ABOUT_AN_ACCELERATOR) == on_one
    assert set(ABOUT_NO_RESOURCE) == {one.action for one in control if one.scope is Scope.DAEMON}
