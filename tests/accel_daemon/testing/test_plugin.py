"""The pytest plugin, in real sessions of pytest; its accelerators are stand-ins.

`examples/pytest_project` has it with a real one, and TensorFlow.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

# Shows in a file what was started, for the outer test to look for afterwards.
CONFTEST = """
import json, os, psutil, pytest
from pathlib import Path
from accel_daemon.testing.accelerator_daemon import running_daemon

STAND_IN = "host,python={interpreter}"

def note(daemon):
    children = psutil.Process(daemon.process.pid).children(recursive=True)
    pids = [daemon.process.pid, *(child.pid for child in children)]
    line = json.dumps({{"home": str(daemon.home), "pids": pids, "control": daemon.control}})
    with open("{notes}", "a") as file:
        file.write(line + chr(10))

@pytest.fixture(scope="session")
def accelerator():
    with running_daemon([STAND_IN]) as daemon:
        note(daemon)
        yield daemon

@pytest.fixture
def stand_in(accelerator_factory):
    def start(**options):
        daemon = accelerator_factory(accelerators=[STAND_IN], **options)
        note(daemon)
        return daemon
    return start
"""

# The policy of a test holds, and what the fixture sets is undone between and after tests.
ENVIRONMENT_TESTS = """
import os
import botocore.session
import pytest
from accel_protocol.errors import AccessDeniedError
from client_runtime import accelerators

DENY = {"Version": "2012-10-17", "Statement": [
    {"Effect": "Deny", "Action": "*", "Resource": "*"}]}
BEFORE = dict(os.environ)
KEYS = []

def test_all_is_allowed(aws_environment, accelerator, monkeypatch):
    assert [one.id for one in accelerators()] == list(accelerator.accelerator_ids)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    KEYS.append(os.environ["AWS_ACCESS_KEY_ID"])

def test_all_is_as_before_in_between(request):
    assert without_test(os.environ) == without_test(BEFORE)
    assert os.environ["AWS_PROFILE"] == "of-the-developer"

@pytest.mark.accelerator_policy(DENY)
def test_policy(aws_environment):
    assert "AWS_PROFILE" not in os.environ and "ACCEL_HOME" not in os.environ
    with pytest.raises(AccessDeniedError):
        accelerators()
    KEYS.append(os.environ["AWS_ACCESS_KEY_ID"])

def test_fresh_key(aws_environment):
    assert os.environ["AWS_ACCESS_KEY_ID"] not in KEYS and len(KEYS) == 2
    assert len(accelerators()) == 1

def test_botocore(aws_environment, accelerator):
    session = botocore.session.get_session()
    assert session.get_credentials().access_key == aws_environment["AWS_ACCESS_KEY_ID"]
    assert session.get_config_variable("region") == "us-east-1"
    assert session.get_config_variable("ca_bundle") == str(accelerator.ca_file)

def test_another_user(aws_environment, accelerator, monkeypatch):
    with pytest.raises(Exception, match="JSON|policy|Version|Statement"):
        accelerator.add_user("nobody", {"Statement": "nonsense"})
    for name, value in accelerator.add_user("other", DENY).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(AccessDeniedError):
        accelerators()

def test_all_is_as_before():
    assert without_test(os.environ) == without_test(BEFORE)

def without_test(environment):
    return {k: v for k, v in environment.items() if k != "PYTEST_CURRENT_TEST"}
"""


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """What sub-sessions started, one JSON object per line."""
    return tmp_path / "started.jsonl"


@pytest.fixture
def project(
    pytester: pytest.Pytester, interpreter: Path, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> pytest.Pytester:
    """A project whose accelerators are stand-ins, and whose temporary files are apart."""
    temporary = notes.parent / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    pytester.makeconftest(CONFTEST.format(interpreter=interpreter, notes=notes))
    return pytester


def started(notes: Path) -> list[dict[str, Any]]:
    """The daemons that a session noted."""
    return [json.loads(line) for line in notes.read_text().splitlines()]


def assert_nothing_is_left(notes: Path, tools: Any) -> None:
    """No process and no file of what was noted."""
    daemons = started(notes)
    assert daemons
    pids = [pid for one in daemons for pid in one["pids"]]
    assert len(pids) >= 2 * len(daemons)
    tools.wait_until(lambda: not any(psutil.pid_exists(pid) for pid in pids), 40)
    tools.wait_until(lambda: not list((notes.parent / "tmp").glob("accel-test-*")), 10)


def test_environment(
    project: pytest.Pytester, notes: Path, tools: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AWS's variables lead to the accelerator, the policy holds, and all is undone afterwards."""
    project.makepyfile(ENVIRONMENT_TESTS)
    monkeypatch.setenv("AWS_PROFILE", "of-the-developer")
    done = project.runpytest_subprocess("-q", "--strict-markers", "-p", "no:cacheprovider")
    done.assert_outcomes(passed=7)
    assert len(started(notes)) == 1
    assert_nothing_is_left(notes, tools)


FACTORY_TESTS = """
import subprocess, sys
import psutil, pytest

CODE = "import client_runtime; print(len(client_runtime.accelerators()))"
PIDS = []

def listed(daemon):
    done = subprocess.run([sys.executable, "-c", CODE], text=True,
                          env=daemon.client_environment(), capture_output=True)
    return done.stdout + done.stderr

def test_two_and_a_failure(stand_in):
    deny = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Deny", "Action": "*", "Resource": "*"}]}
    first, second = stand_in(), stand_in(policy=deny)
    PIDS.extend([first.process.pid, second.process.pid])
    assert first.home != second.home and first.control != second.control
    assert listed(first) == "1\\n"
    assert "AccessDeniedError" in listed(second)
    assert False, "as planned"

def test_they_have_ended(stand_in):
    assert len(PIDS) == 2 and not any(map(psutil.pid_exists, PIDS))

def test_none(accelerator_factory):
    with pytest.raises(ValueError, match="At least one"):
        accelerator_factory(accelerators=0)

def test_unknown_type(accelerator_factory):
    with pytest.raises(Exception, match="There is no accelerator type 'eia9.huge'"):
        accelerator_factory(type="eia9.huge")
"""


def test_factory(project: pytest.Pytester, notes: Path, tools: Any) -> None:
    """Each call is a daemon of its own with its policy; they end with the test, failed or not."""
    project.makepyfile(FACTORY_TESTS)
    done = project.runpytest_subprocess("-q", "-p", "no:cacheprovider")
    done.assert_outcomes(passed=3, failed=1)
    done.stdout.fnmatch_lines(["*AssertionError: as planned"])
    assert_nothing_is_left(notes, tools)


FAULT_TESTS = """
import pytest
from client_runtime import accelerators
from accel_protocol.errors import CallError

def health():
    return [one.status for one in accelerators()]

def test_for_a_block(aws_environment, accelerator):
    with accelerator.inject_fault("unhealthy", accelerator=0) as fault:
        assert health() == ["Unavailable"]
        assert [one["id"] for one in accelerator.faults()] == [fault.id]
        assert fault.happened == 0
    assert health() == ["Ok"] and accelerator.faults() == []

def test_that_forgets_to_clear(aws_environment, accelerator):
    accelerator.inject_fault("unhealthy:seconds=600")
    accelerator.inject_fault({"kind": "slow", "latency_ms": 5}, seed=3)
    assert health() == ["Unavailable"]

def test_is_cleared_up_after(aws_environment, accelerator):
    assert health() == ["Ok"] and accelerator.faults() == []
    accelerator.inject_fault("drop").clear()
    accelerator.clear_faults()

def test_from_the_beginning(stand_in):
    daemon = stand_in(faults=["drop:probability=0.3,seed=7", {"kind": "unhealthy"}])
    assert [one["text"] for one in daemon.faults()] == [
        "drop:probability=0.3,seed=7", "unhealthy"]
    daemon.clear_faults()
    assert daemon.faults() == []

@pytest.mark.parametrize("fault", ["burning", "drop:probability=2", {}])
def test_what_is_no_fault(accelerator_factory, fault):
    with pytest.raises(CallError, match="A fault's"):
        accelerator_factory(faults=[fault])
"""


def test_faults(project: pytest.Pytester, notes: Path, tools: Any) -> None:
    """Faults come with the factory or in a test, and end with it at the latest."""
    project.makepyfile(FAULT_TESTS)
    done = project.runpytest_subprocess("-q", "-p", "no:cacheprovider")
    done.assert_outcomes(passed=7)
    assert_nothing_is_left(notes, tools)


def test_xdist(project: pytest.Pytester, notes: Path, tools: Any) -> None:
    """Each worker has one daemon, whatever the number of its tests."""
    project.makepyfile(
        """
        import pytest
        from client_runtime import accelerators

        @pytest.mark.parametrize("number", range(6))
        def test_lists(aws_environment, accelerator, number):
            assert [one.id for one in accelerators()] == list(accelerator.accelerator_ids)
        """
    )
    done = project.runpytest_subprocess("-q", "-p", "no:cacheprovider", "-n", "2")
    done.assert_outcomes(passed=6)
    assert len({one["control"] for one in started(notes)}) == len(started(notes)) == 2
    assert_nothing_is_left(notes, tools)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_interrupted(
    project: pytest.Pytester, notes: Path, tools: Any, number: signal.Signals
) -> None:
    """Ctrl-C, or a session that is ended by force, leaves nothing either."""
    project.makepyfile(
        """
        import time

        def test_hangs(aws_environment, stand_in):
            stand_in()
            time.sleep(600)
        """
    )
    with subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=project.path,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    ) as session:
        tools.wait_until(lambda: notes.exists() and len(started(notes)) == 2, 60)
        session.send_signal(number)
        session.wait(60)
    assert_nothing_is_left(notes, tools)


def test_a_session_without_accelerators(pytester: pytest.Pytester, tmp_path: Path) -> None:
    """Where no fixture is used, nothing is started and nothing heavy is imported."""
    pytester.makepyfile(
        """
        import sys

        HEAVY = {"accel_daemon.control", "accel_daemon.testing.accelerator_daemon",
                 "accel_protocol", "aiohttp", "client_runtime", "cryptography", "grpc",
                 "numpy", "tensorflow"}

        def test_light():
            assert "accel_daemon.testing.plugin" in sys.modules
            assert not HEAVY & set(sys.modules)
        """
    )
    done = pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider")
    done.assert_outcomes(passed=1)


def test_import_costs_little() -> None:
    """Less than 50 ms on top of pytest, the best of three."""
    code = (
        "import pytest, time; start = time.perf_counter(); "
        "import accel_daemon.testing.plugin; print(time.perf_counter() - start)"
    )
    times = [
        float(subprocess.check_output([sys.executable, "-c", code], text=True)) for _ in range(3)
    ]
    assert min(times) < 0.05


def test_what_is_missing_is_named(pytester: pytest.Pytester) -> None:
    """A client's installation without the daemon's packages says which extra to install."""
    pytester.makeconftest("import sys; sys.modules['aiohttp'] = None")
    pytester.makepyfile("def test_it(accelerator): pass")
    done = pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider")
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(["*pip install 'elastic-accelerator?testing?'*"])
