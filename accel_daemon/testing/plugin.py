"""The pytest plugin: `accelerator`, `accelerator_factory`, `aws_environment`.

pytest imports this module in every session, so what the fixtures need is imported when one is used.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from accel_daemon.testing.accelerator_daemon import AcceleratorDaemon

AcceleratorFactory = Callable[..., "AcceleratorDaemon"]

_MARKER = "accelerator_policy"
# Of the daemon itself; an engine that is missing is named by the accelerator.
_NEEDED = (
    "aiohttp",
    "cryptography",
    "grpc_health",
    "grpc_reflection",
    "jwt",
    "prometheus_client",
    "psutil",
)


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known, also to --strict-markers."""
    text = f"{_MARKER}(document): the IAM policy of the user whom `aws_environment` makes"
    config.addinivalue_line("markers", text)


@pytest.fixture(scope="session")
def accelerator() -> Iterator[AcceleratorDaemon]:
    """One daemon with one accelerator of type `host`, for all tests of this process."""
    with _running(("host",), None) as daemon:
        yield daemon


@pytest.fixture
def accelerator_factory() -> Iterator[AcceleratorFactory]:
    """Starts daemons of the test's own: `accelerator_factory(type=…, faults=…, policy=…)`.

    `type` is the type of all accelerators, by default `host`; `accelerators` is how many there are,
    or the value of `--accelerator` for each; `policy` is the policy document of the user;
    `faults` are texts like "drop:probability=0.3,seed=7", or dicts, of what goes wrong.
    """
    with contextlib.ExitStack() as running:

        def start(
            *,
            type: str = "host",  # noqa: A002 - what the command line and AWS call it
            accelerators: int | Sequence[str] = 1,
            policy: Mapping[str, object] | None = None,
            faults: Sequence[str | Mapping[str, object]] = (),
        ) -> AcceleratorDaemon:
            values = (type,) * accelerators if isinstance(accelerators, int) else accelerators
            if not values:
                raise ValueError("At least one accelerator is needed.")
            return running.enter_context(_running(values, policy, faults))

        yield start


@pytest.fixture
def aws_environment(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    accelerator: AcceleratorDaemon,
) -> Iterator[Mapping[str, str]]:
    """This process as a client of `accelerator`, through AWS's variables and a fresh key.

    Faults that tests injected into `accelerator` end before and after it.

    `@pytest.mark.accelerator_policy(document)` says what its user may do, otherwise everything.
    """
    marker = request.node.get_closest_marker(_MARKER)
    policy = marker.args[0] if marker is not None else None
    _end_faults(accelerator)
    with accelerator.policy(policy) as variables:
        _replace_variables(monkeypatch, variables)
        yield variables
    _end_faults(accelerator)


def _end_faults(daemon: AcceleratorDaemon) -> None:
    if daemon.injected and daemon.process.poll() is None:
        daemon.clear_faults()


def _running(
    accelerators: Sequence[str],
    policy: Mapping[str, object] | None,
    faults: Sequence[str | Mapping[str, object]] = (),
) -> contextlib.AbstractContextManager[AcceleratorDaemon]:
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        pytest.fail(
            f"The accelerator for tests needs {missing[0]}, which is not installed: "
            "pip install 'elastic-accelerator[testing]'",
            pytrace=False,
        )
    from accel_daemon.testing.accelerator_daemon import running_daemon

    return running_daemon(accelerators, policy, faults)


def _replace_variables(monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str]) -> None:
    """Only these variables of ours and of AWS's until the test's monkeypatch is undone."""
    from accel_daemon.testing.environment import without_ours

    for name in set(os.environ) - set(without_ours(os.environ)):
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
