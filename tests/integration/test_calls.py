"""What a single call can do besides answering: end early, wait asynchronously, explain itself."""

from __future__ import annotations

import asyncio
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from accel_protocol.errors import DeadlineError
from client_runtime import EIPredictor
from tests.conftest import Daemon, environment, eventually, patience
from tests.integration.conftest import counting_model

FOREVER = {"steps": np.int64(10**15)}
SHORT = {"steps": np.int64(1000)}


@pytest.fixture(scope="module")
def counter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that counts to `steps`, one at a time."""
    return counting_model(tmp_path_factory.mktemp("counter"))


def is_idle(daemon: Daemon) -> bool:
    """Whether the accelerator's process uses almost no processor."""
    process = psutil.Process(daemon.accelerator_pid())
    process.cpu_percent()
    time.sleep(0.3)
    return process.cpu_percent() < 20


@pytest.mark.usefixtures("each_lane")
def test_timeout_stops_the_work(daemon: Daemon, home: Path, counter: Path) -> None:
    """A call that takes too long ends in time, here and on the accelerator."""
    with EIPredictor(counter) as predictor:
        assert predictor(SHORT)["count"] == 1000
        started = time.monotonic()
        with pytest.raises(DeadlineError):
            predictor(FOREVER, timeout=0.5)
        assert time.monotonic() - started < patience(3)

        eventually(lambda: is_idle(daemon), 5)
        assert predictor(SHORT)["count"] == 1000


@pytest.mark.usefixtures("each_lane")
def test_timeout_bounds_sending_the_model_too(home: Path, new_model: Callable[[int], Path]) -> None:
    """A first call that runs out of time while its model is sent says so; the next one goes on."""
    with EIPredictor(new_model(30)) as predictor:
        feeds = {"x": np.ones((1, 4), np.float32)}
        started = time.monotonic()
        with pytest.raises(DeadlineError):
            predictor(feeds, timeout=0.003)
        assert time.monotonic() - started < patience(3)

        assert predictor(feeds)["z"] == 4


@pytest.mark.usefixtures("each_lane")
def test_timeout_is_a_timeout_error(home: Path, counter: Path) -> None:
    """Code that catches TimeoutError keeps working."""
    with EIPredictor(counter) as predictor, pytest.raises(TimeoutError):
        predictor(FOREVER, timeout=0.2)


@pytest.mark.usefixtures("each_lane")
def test_generous_timeout_changes_nothing(home: Path, counter: Path) -> None:
    """A call that is done in time answers as without a time-out."""
    with EIPredictor(counter) as predictor:
        assert predictor(SHORT, timeout=60)["count"] == 1000


@pytest.mark.usefixtures("each_lane")
def test_interrupt_returns_at_once_and_stops_the_work(
    daemon: Daemon, home: Path, counter: Path
) -> None:
    """Ctrl-C in a waiting call raises KeyboardInterrupt, and the accelerator stops working."""
    script = (
        "import sys, numpy as np\n"
        "from client_runtime import EIPredictor\n"
        "predictor = EIPredictor(sys.argv[1])\n"
        "predictor({'steps': np.int64(10)})\n"
        "print('waiting', flush=True)\n"
        "predictor({'steps': np.int64(10**15)})\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(counter)],
        env=environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    eventually(lambda: not is_idle(daemon), 10)

    process.send_signal(signal.SIGINT)
    # It took half a second in most of many tries, and once above 5 beside other work.
    _, errors = process.communicate(timeout=patience(20))

    assert "KeyboardInterrupt" in errors
    eventually(lambda: is_idle(daemon), 5)


@pytest.mark.usefixtures("each_lane")
def test_cancelling_one_call_harms_no_other(home: Path, counter: Path) -> None:
    """While one task's call is cancelled, another call of the same graph is answered."""

    async def both(predictor: EIPredictor) -> Any:
        doomed = asyncio.create_task(predictor.predict_async(FOREVER))
        other = asyncio.create_task(predictor.predict_async({"steps": np.int64(500_000)}))
        await asyncio.sleep(0.3)
        doomed.cancel()
        with pytest.raises(asyncio.CancelledError):
            await doomed
        return await other

    with EIPredictor(counter) as predictor:
        predictor(SHORT)
        assert asyncio.run(both(predictor))["count"] == 500_000


@pytest.mark.usefixtures("each_lane")
def test_many_asynchronous_calls(home: Path, counter: Path) -> None:
    """Calls awaited together each get their own answer."""

    async def all_of(predictor: EIPredictor) -> list[int]:
        calls = [predictor.predict_async({"steps": np.int64(n)}) for n in range(40)]
        return [int(answer["count"]) for answer in await asyncio.gather(*calls)]

    with EIPredictor(counter) as predictor:
        assert asyncio.run(all_of(predictor)) == list(range(40))


@pytest.mark.usefixtures("each_lane")
def test_timing_adds_up(home: Path, counter: Path) -> None:
    """The parts of a call's time are its total, and computing is most of a long call."""
    with EIPredictor(counter) as predictor:
        assert predictor.last_timing is None
        predictor(SHORT)
        predictor({"steps": np.int64(300_000)})
        timing = predictor.last_timing

    assert timing is not None
    parts = (
        timing.serialize + timing.wire + timing.queue + timing.load + timing.compute + timing.parse
    )
    assert parts == pytest.approx(timing.total, abs=1e-4)
    assert timing.compute > timing.total / 2
    assert timing.load < timing.compute


def test_pickling_says_why_not(home: Path, counter: Path) -> None:
    """A predictor cannot be pickled, and the error says what to do."""
    with EIPredictor(counter) as predictor, pytest.raises(TypeError, match="in each process"):
        pickle.dumps(predictor)


@pytest.mark.usefixtures("each_lane")
def test_closed_predictor_opens_again(home: Path, counter: Path) -> None:
    """close() ends the connection; the next call makes a new one."""
    predictor = EIPredictor(counter)
    predictor(SHORT)

    predictor.close()

    assert predictor(SHORT)["count"] == 1000
    predictor.close()
