"""A whole daemon: one accelerator with TensorFlow, one whose engine is in an attacker's hands."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from client_runtime import EIPredictor, connect
from client_runtime.cli.main import cli
from tests.conftest import Daemon, environment, eventually, patience, start_daemon, use_home
from tests.sandbox.conftest import SECRET, Host

HOSTILE = Path(__file__).with_name("hostile_accelerator.py")
PICTURE = {"inputs": np.zeros((1, 128, 128, 3), np.uint8)}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Accelerator 0 is as shipped, accelerator 1 is hostile."""
    wrapper = tmp_path_factory.mktemp("interpreter") / "python"
    wrapper.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{HOSTILE}"\n')
    wrapper.chmod(0o755)
    home = tmp_path_factory.mktemp("home")
    kinds = ("--accelerator", "host", "--accelerator", f"host,python={wrapper}")
    running = start_daemon(home, "--port", "0", *kinds)
    yield running
    assert running.stop() == 0


@pytest.fixture(scope="module")
def shouting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SavedModel with a text in and a text out."""
    from tests.integration.conftest import make_model

    return make_model(tmp_path_factory.mktemp("model"), seed=1)


@pytest.fixture
def attacker(daemon: Daemon, shouting: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs code inside of accelerator 1, through the front door."""
    use_home(monkeypatch, daemon.home)

    def attack(code: str) -> str:
        with EIPredictor(shouting, "shout", accelerator_id=1) as predictor:
            return str(predictor({"text": code}, timeout=patience(60))["loud"].decode())

    return attack


def test_tensorflow_answers_from_inside(
    daemon: Daemon, detector: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Upload, load and run, in the strict sandbox; capabilities say so."""
    use_home(monkeypatch, daemon.home)
    with EIPredictor(detector, accelerator_id=0) as predictor:
        assert "num_detections" in predictor(PICTURE)
    with connect(accelerator_id=0) as attachment:
        assert attachment.capabilities().sandbox.startswith("strict (Landlock ")


def test_everyone_who_asks_is_told(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """Status, health and `accel ls`."""
    use_home(monkeypatch, daemon.home)
    rows = daemon.status()["accelerators"]
    assert [row["sandbox"].split()[0] for row in rows] == ["strict", "strict"]
    assert "sandbox strict (" in daemon.command("status")
    from click.testing import CliRunner

    listed = json.loads(CliRunner().invoke(cli, ["ls", "--json"]).stdout)
    assert listed["accelerators"][1]["sandbox"] == rows[1]["sandbox"]
    assert "  strict  " in CliRunner().invoke(cli, ["ls"]).stdout
    context = __import__("ssl").create_default_context(cafile=daemon.ready["ca_file"])
    url = f"{daemon.ready['control']}/healthz"
    with urllib.request.urlopen(url, context=context) as answer:
        assert json.load(answer) == {"status": "ok", "sandbox": "strict"}


@pytest.mark.parametrize(
    "deed",
    [
        "open({canary!r}).read()",
        "open({home!r} + '/ca/ca.key').read()",
        "open({home!r} + '/daemon/identities.json').read()",
        "open(f'/proc/{{__import__(\"os\").getppid()}}/environ').read()",
        "__import__('socket').create_connection(('127.0.0.1', {port}))",
        "__import__('socket').socket()",
        "__import__('socket').socket(1).connect({named!r})",
        "__import__('socket').socket(1).connect('\\0' + {abstract!r})",
        "__import__('subprocess').run(['/bin/sh', '-c', 'true'])",
        "__import__('os').kill({victim}, 9)",
        "__import__('os').kill(__import__('os').getppid(), 15)",
    ],
)
def test_an_attacker_inside_gets_nowhere(
    attacker: Any, daemon: Daemon, host: Host, deed: str
) -> None:
    """The process it is in serves on, and nothing of the host has come to it."""
    names = host.names() | {"home": str(daemon.home)}
    said = attacker(f"answer = {deed.format(**names)}")
    assert "Error: [Errno " in said, said
    assert SECRET not in said
    assert host.victim.poll() is None
    assert daemon.process.poll() is None


def test_a_fork_bomb_does_not_go_off(attacker: Any) -> None:
    """Not one process is added."""
    code = """
import os
made = 0
for _ in range(10_000):
    try:
        made += os.fork() > 0
    except PermissionError:
        pass
answer = made
"""
    assert attacker(code) == "0"


def test_a_huge_allocation_is_refused(attacker: Any) -> None:
    """More than the host has is an error in the process, not the host's end."""
    assert "MemoryError" in attacker("answer = len(bytearray(10**12))")


def test_what_dies_comes_back_and_the_other_does_not_notice(
    attacker: Any, daemon: Daemon, detector: Path
) -> None:
    """Abort ends one accelerator; it is back within 20 seconds."""
    with EIPredictor(detector, accelerator_id=0) as neighbour:
        neighbour(PICTURE)
        pid = daemon.status()["accelerators"][1]["pid"]
        with pytest.raises(Exception, match=r"\w"):
            attacker("import os; os.abort()")
        died = time.monotonic()
        assert "num_detections" in neighbour(PICTURE, timeout=patience(20))
        eventually(lambda: daemon.status()["accelerators"][1]["state"] == "ready", 20)
        assert time.monotonic() - died < patience(20)
        assert daemon.status()["accelerators"][1]["pid"] != pid
    assert attacker("answer = 1") == "1"


def test_an_accelerator_that_is_not_strict_is_not_used(tmp_path: Path) -> None:
    """An interpreter with an older version in it cannot make the daemon less strict."""
    wrapper = tmp_path / "python"
    lie = tmp_path / "lie.py"
    lie.write_text(
        "import sys\nfrom accel_daemon.launch_order import Report\nsys.stdin.readline()\n"
        "print(Report('ready', port=1, sandbox='off').to_line().decode(), end='', flush=True)\n"
        "sys.stdin.read()\n"
    )
    wrapper.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{lie}"\n')
    wrapper.chmod(0o755)
    kind = f"host,python={wrapper}"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "accel_daemon", "up", "--port", "0"),
            *("--sandbox", "strict", "--accelerator", kind),
        ],
        env=environment(tmp_path / "home"),
        capture_output=True,
        text=True,
        timeout=patience(60),
        check=False,
    )
    assert done.returncode == 1
    assert "its sandbox is not strict" in done.stderr
