"""The environment of an accelerator process, and its scratch folder."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import sys
from pathlib import Path

import pytest

from accel_daemon.supervisor import launcher
from accel_daemon.supervisor.launcher import LocalLauncher, child_environment

ALLOWED = {
    *("PATH", "HOME", "TMPDIR", "LANG", "TF_CPP_MIN_LOG_LEVEL", "PYTHONPATH"),
    *("PYTHONNOUSERSITE", "PYTHONSAFEPATH"),
    *("LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "XLA_FLAGS"),
}
SHOW = """
import json, os, sys
print(json.dumps({"environment": dict(os.environ), "path": sys.path, "sid": os.getsid(0),
                  "fds": os.listdir("/proc/self/fd"), "cwd": os.getcwd()}))
"""


def test_nothing_but_the_named_variables_is_handed_on(tmp_path: Path) -> None:
    """Credentials, settings and tokens of the operator stay with the supervisor."""
    operators = dict.fromkeys(ALLOWED, "x")
    operators |= {"AWS_SECRET_ACCESS_KEY": "x", "ACCEL_HOME": "x", "SSH_AUTH_SOCK": "x"}
    built = child_environment(operators, "/other/python", tmp_path)
    assert set(built) <= ALLOWED
    assert built["HOME"] == built["TMPDIR"] == str(tmp_path)


def test_a_child_really_sees_only_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real process: its environment, session, import path and open files."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret")
    scratch = tmp_path / "scratch"

    async def show() -> dict[str, object]:
        child = await LocalLauncher(("-c", SHOW)).start(sys.executable, scratch)
        line = await child.receive()
        assert await child.wait() == 0
        return {**json.loads(line), "pid": child.pid}

    with open(tmp_path / "kept-open", "w") as file:
        os.set_inheritable(file.fileno(), True)
        shown = asyncio.run(show())
    # LC_CTYPE is what Python sets in itself.
    assert set(shown["environment"]) <= ALLOWED | {"LC_CTYPE"}
    assert shown["sid"] == shown["pid"]
    assert shown["cwd"] == "/"
    assert not {"", "/", str(scratch)} & set(shown["path"])
    assert len(shown["fds"]) <= 4


def test_scratch_is_emptied_at_every_start(tmp_path: Path) -> None:
    """Not even a locked folder of the last tenant survives."""
    scratch = tmp_path / "scratch"
    locked = scratch / "a" / "locked"
    locked.mkdir(parents=True)
    (locked / "sitecustomize.py").write_text("evil")
    locked.chmod(0)

    async def start() -> None:
        child = await LocalLauncher(("-c", "")).start(sys.executable, scratch)
        await child.wait()

    asyncio.run(start())
    assert list(scratch.iterdir()) == []
    assert stat.S_IMODE(scratch.stat().st_mode) == 0o700


def test_a_line_that_is_too_long_is_an_error(tmp_path: Path) -> None:
    """A process cannot fill the supervisor's memory."""

    async def read() -> None:
        code = f"print('x' * {3 * launcher.MAX_LINE_BYTES})"
        child = await LocalLauncher(("-c", code)).start(sys.executable, tmp_path / "scratch")
        with pytest.raises(ValueError, match="limit"):
            await child.receive()
        child.kill()
        await child.wait()

    asyncio.run(read())


def test_sending_to_a_process_that_ended_is_no_error(tmp_path: Path) -> None:
    """Whoever waits for it learns of its end; a sender need not."""

    async def send() -> None:
        child = await LocalLauncher(("-c", "")).start(sys.executable, tmp_path / "scratch")
        await child.wait()
        await child.send(b"x" * 1_000_000)

    asyncio.run(send())


DEAF_UNTIL_TOLD = """
import os, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(flush=True)
sys.stdin.readline()
os._exit(3)
"""


def test_signals_leave_the_exit_status_alone(tmp_path: Path) -> None:
    """Whoever waits gets the status, although signals come at the very moment of the end."""

    async def end() -> int:
        arguments = ("-c", DEAF_UNTIL_TOLD)
        child = await LocalLauncher(arguments).start(sys.executable, tmp_path / "scratch")
        await child.receive()
        waiting = asyncio.create_task(child.wait())
        await child.send(b"\n")
        while not waiting.done():
            child.terminate()
            await asyncio.sleep(0)
        return await waiting

    assert [asyncio.run(end()) for _ in range(10)] == [3] * 10
