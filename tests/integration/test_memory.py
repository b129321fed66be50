"""Memory pressure on `host`: idle graphs go, then work is refused, and the process lives.

One accelerator may take 1 GiB, so that this machine has enough for all tests; the other is a
neighbour.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from accel_daemon.control_groups import MEMBERSHIP, MOUNTS, MemoryGroup, memory_groups
from accel_protocol.errors import ModelError
from client_runtime import EIPredictor, connect
from tests.conftest import Daemon, eventually, patience, start_daemon, use_home
from tests.integration.conftest import make_model
from tests.integration.test_emulation import dense

HIT, NEIGHBOUR = 0, 1  # ordinals
GIB = 1 << 30
# Float32 weights of a square layer, of which two do not fit beside the engine.
HALF = 9_500
FEEDS = {"x": np.ones((1, 4), np.float32)}
NAMES: dict[str, Any] = {"input_names": {"x": "x:0"}, "output_names": {"y": "y:0"}}


@pytest.fixture(scope="module")
def bounded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with an accelerator that may take 1 GiB, and a neighbour."""
    kinds = ("--accelerator", "host,memory=1GiB", "--accelerator", "host")
    running = start_daemon(tmp_path_factory.mktemp("home"), "--port", "0", *kinds)
    yield running
    assert running.stop() == 0


@pytest.fixture
def daemon_of_test(bounded: Daemon, monkeypatch: pytest.MonkeyPatch) -> Daemon:
    """The daemon, which this test's process uses as a client."""
    use_home(monkeypatch, bounded.home)
    return bounded


def pid(daemon: Daemon, ordinal: int = HIT) -> int:
    """The process id of an accelerator, 0 while there is none."""
    return int(daemon.status()["accelerators"][ordinal]["pid"] or 0)


def swelling(size: Any) -> Any:
    """Keeps one tensor of so many floats more in each round, for ever."""
    held = tf.TensorArray(tf.float32, 0, dynamic_size=True, clear_after_read=False)
    _, held = tf.while_loop(
        lambda i, held: i < 2**30,
        lambda i, held: (i + 1, held.write(i, tf.fill([size], tf.cast(i, tf.float32)))),
        (tf.constant(0), held),
    )
    return tf.reduce_sum(held.read(0))


def filling(size: Any) -> Any:
    """One tensor of so many floats, which one op fills."""
    return tf.reduce_sum(tf.fill([size], tf.cast(size, tf.float32)))


def bomb(folder: Path, serve: Callable[[Any], Any], ordinal: int = HIT) -> EIPredictor:
    """A client with a model that takes memory."""
    module = tf.Module()
    module.serve = tf.function(
        lambda size: {"sum": serve(size)},
        input_signature=[tf.TensorSpec([], tf.int32, name="size")],
        autograph=False,
    )
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.serve})
    return EIPredictor(folder, accelerator_id=ordinal)


def answers(folder: Path, ordinal: int) -> bool:
    """Whether an accelerator runs a tiny model."""
    with EIPredictor(folder, accelerator_id=ordinal) as predictor:
        return float(predictor(FEEDS, timeout=patience(60))["z"]) == 4.0


@pytest.mark.usefixtures("each_lane")
def test_a_run_that_grows_evenly_is_stopped(
    daemon_of_test: Daemon, tmp_path: Path, model: Path
) -> None:
    """64 MiB a round; the process is the same, and serves on."""
    assert answers(model, HIT)
    assert answers(model, NEIGHBOUR)
    before = pid(daemon_of_test)
    with bomb(tmp_path / "bomb", swelling) as predictor:
        with pytest.raises(ModelError, match="memory ran out") as caught:
            predictor({"size": np.int32(2**24)}, timeout=patience(60))
        assert caught.value.reason == "MODEL_TOO_LARGE"
        assert answers(model, NEIGHBOUR)
        assert answers(model, HIT)
    assert pid(daemon_of_test) == before


def test_a_run_that_cannot_be_stopped_ends_its_process(
    daemon_of_test: Daemon, tmp_path: Path, model: Path
) -> None:
    """One op that takes 3 GiB. Its caller is told why, and the process is started again."""
    assert answers(model, NEIGHBOUR)
    before, neighbour = pid(daemon_of_test), pid(daemon_of_test, NEIGHBOUR)
    with (
        bomb(tmp_path / "bomb", filling) as predictor,
        pytest.raises(ModelError, match="memory ran out"),
    ):
        predictor({"size": np.int32(3 * 2**28)}, timeout=patience(60))
    eventually(lambda: pid(daemon_of_test) not in (0, before), 60)
    assert answers(model, NEIGHBOUR)
    assert answers(model, HIT)
    assert pid(daemon_of_test, NEIGHBOUR) == neighbour
    assert "memory ran out, and what took it could not be stopped" in daemon_of_test.log.read_text()


def test_graphs_of_which_one_fits_take_turns(daemon_of_test: Daemon, tmp_path: Path) -> None:
    """The idle one goes before the other is loaded, and comes back when it is run."""
    before = pid(daemon_of_test)
    x = {"x": np.zeros((1, HALF), np.float32)}
    folders = [dense(tmp_path / name, HALF) for name in ("first", "second")]
    with (
        EIPredictor(folders[0], accelerator_id=HIT) as first,
        EIPredictor(folders[1], accelerator_id=HIT) as second,
        connect(accelerator_id=HIT) as attachment,
    ):
        for predictor in (first, second, first, second):
            predictor(x, timeout=patience(120))
            large = [one for one in attachment.list().graphs if one.memory_bytes > GIB // 4]
            assert len(large) == 1
    assert pid(daemon_of_test) == before


def test_a_graph_without_room_is_refused(
    daemon_of_test: Daemon, tmp_path: Path, model: Path
) -> None:
    """Before it is loaded, in the same process, with what is needed and what there is."""
    assert answers(model, HIT)
    before = pid(daemon_of_test)
    path = frozen(tmp_path / "large.pb", 7_200)
    with EIPredictor(path, accelerator_id=HIT, **NAMES) as predictor:
        for _ in range(2):
            with pytest.raises(ModelError) as caught:
                predictor({"x": np.zeros((1, 7_200), np.float32)}, timeout=patience(120))
            assert caught.value.reason == "MODEL_TOO_LARGE"
            fields = caught.value.fields
            assert fields["needed_bytes"] == str(4 * path.stat().st_size)
            assert 0 < int(fields["limit_bytes"]) < GIB
    assert answers(model, HIT)
    assert pid(daemon_of_test) == before


def frozen(path: Path, size: int) -> Path:
    """A frozen graph of one square layer, all of whose numbers stand in the file."""
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None, size], name="x")
        tf.matmul(x, tf.constant(np.ones((size, size), np.float32)), name="y")
        path.write_bytes(graph.as_graph_def().SerializeToString())
    return path


@pytest.fixture
def group() -> Iterator[MemoryGroup]:
    """A control group of 1 GiB."""
    groups = memory_groups(Path(MEMBERSHIP).read_text(), Path(MOUNTS).read_text())
    top = next((Path(one.limit).parent for one in reversed(groups) if in_use(one)), None)
    if top is None or not os.access(top, os.W_OK):
        pytest.skip("no control group for memory can be made here")
    folder = top / f"accel-test-{os.getpid()}"
    folder.mkdir()
    try:
        made = next(one for one in groups if Path(one.limit).parent == top)
        mine = MemoryGroup(*(str(folder / Path(file).name) for file in made.files), "")
        if not Path(mine.limit).exists():
            pytest.skip("control groups do not bound memory here")
        Path(mine.limit).write_text(str(GIB))
        yield mine
    finally:
        eventually(lambda: not (folder / "cgroup.procs").read_text())
        folder.rmdir()


def in_use(group: MemoryGroup) -> bool:
    """Whether the system has its folder, and memory is bounded by groups of this version."""
    return Path(group.statistics).exists()


def ended_by_the_kernel(group: MemoryGroup) -> int:
    """How many processes of a group the kernel has ended for want of memory."""
    folder = Path(group.limit).parent
    name = "memory.events" if (folder / "memory.events").exists() else "memory.oom_control"
    lines = (line.split() for line in (folder / name).read_text().splitlines())
    return next(int(count) for what, count in lines if what == "oom_kill")


def test_a_control_group_bounds_its_accelerator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: MemoryGroup
) -> None:
    """It is found in the sandbox, and the kernel, which would end the process, never has to."""
    wrapper = tmp_path / "python"
    procs = Path(group.limit).parent / "cgroup.procs"
    wrapper.write_text(f'#!/bin/sh\necho $$ > {procs}\nexec "{sys.executable}" "$@"\n')
    wrapper.chmod(0o755)
    kind = f"host,python={wrapper}"
    daemon = start_daemon(tmp_path / "home", "--port", "0", "--accelerator", kind)
    try:
        use_home(monkeypatch, daemon.home)
        tiny = make_model(tmp_path / "tiny", seed=1)
        before = pid(daemon)
        assert str(before) in procs.read_text().split()
        with bomb(tmp_path / "bomb", swelling) as predictor:
            for _ in range(3):
                with pytest.raises(ModelError, match="memory ran out"):
                    predictor({"size": np.int32(2**22)}, timeout=patience(60))
                assert answers(tiny, HIT)
        assert pid(daemon) == before
        assert ended_by_the_kernel(group) == 0
    finally:
        assert daemon.stop() == 0
