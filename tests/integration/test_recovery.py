"""What breaks between two calls costs the caller nothing but a little time."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from client_runtime import EIPredictor, connect
from tests.conftest import Daemon, eventually, start_daemon, use_home
from tests.integration.conftest import one_per_lane

FEEDS = {"x": np.ones((1, 4), np.float32)}


@pytest.fixture(scope="module")
def daemons() -> Iterator[list[Daemon]]:
    """The daemons of one home, one after the other; the last one may be running."""
    started: list[Daemon] = []
    yield started
    for daemon in started:
        daemon.stop()


@pytest.fixture
def own_daemon(
    daemons: list[Daemon],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Daemon:
    """A daemon that this test may break; one that was ended is started anew."""
    if not daemons:
        daemons.append(start_daemon(tmp_path_factory.mktemp("home"), "--port", "0"))
    if daemons[-1].process.poll() is not None:
        daemons.append(start_daemon(daemons[-1].home, "--port", port_of(daemons[-1])))
    use_home(monkeypatch, daemons[-1].home)
    return daemons[-1]


def port_of(daemon: Daemon) -> str:
    """The port of its control endpoint."""
    return str(daemon.ready["control"].rsplit(":", 1)[1])


def test_killed_accelerator_is_back_at_the_next_call(own_daemon: Daemon, model: Path) -> None:
    """The process is started again and loads from its store: nothing is uploaded twice."""
    predictors = one_per_lane(model)
    first = [predictor(FEEDS)["y"] for predictor in predictors]
    uploaded = [predictor.uploaded_bytes for predictor in predictors]
    pid = own_daemon.accelerator_pid()

    os.kill(pid, signal.SIGKILL)
    second = [predictor(FEEDS)["y"] for predictor in predictors]

    np.testing.assert_array_equal(first, second)
    assert [predictor.uploaded_bytes for predictor in predictors] == uploaded
    assert sum(uploaded) > 0
    assert own_daemon.accelerator_pid() != pid
    with connect() as attachment:
        assert attachment.list().counters.uploaded_bytes == 0


def test_damaged_store_is_healed_by_upload(own_daemon: Daemon, model: Path) -> None:
    """A file damaged on disk is never served: it is noticed at the next load and sent again."""
    predictor = EIPredictor(model)
    first = predictor(FEEDS)
    for blob in own_daemon.home.glob("daemon/accelerators/*/store/*/blobs/*"):
        os.chmod(blob, 0o600)
        blob.write_bytes(b"damaged" + blob.read_bytes()[7:])
    pid = own_daemon.accelerator_pid()
    os.kill(pid, signal.SIGKILL)

    np.testing.assert_array_equal(first["y"], predictor(FEEDS)["y"])


def test_restarted_daemon_is_found_again(
    own_daemon: Daemon, daemons: list[Daemon], model: Path
) -> None:
    """A daemon that was stopped and started: new tickets, same predictor, no upload."""
    predictors = one_per_lane(model)
    first = [predictor(FEEDS)["y"] for predictor in predictors]
    uploaded = [predictor.uploaded_bytes for predictor in predictors]
    assert own_daemon.stop() == 0

    daemons.append(start_daemon(own_daemon.home, "--port", port_of(own_daemon)))

    np.testing.assert_array_equal(first, [predictor(FEEDS)["y"] for predictor in predictors])
    assert [predictor.uploaded_bytes for predictor in predictors] == uploaded


def test_revoked_key_stops_open_streams(
    own_daemon: Daemon, new_model: Callable[[int], Path]
) -> None:
    """Within two seconds of its removal a key's streams end and its calls are refused."""
    predictors = one_per_lane(new_model(5))
    for predictor in predictors:
        predictor(FEEDS)
    key = own_daemon.command("user", "list").split()[1]

    own_daemon.command("key", "revoke", key)

    def refused(predictor: EIPredictor) -> bool:
        try:
            predictor(FEEDS)
        except Exception as error:
            return getattr(error, "reason", "") in ("TICKET_REVOKED", "SIGNATURE_MISMATCH")
        return False

    eventually(lambda: all(refused(predictor) for predictor in predictors), 2.5)


def test_accelerator_ends_with_its_supervisor(own_daemon: Daemon) -> None:
    """A supervisor that is killed leaves no accelerator behind."""
    pid = int(own_daemon.ready["accelerators"][0]["pid"])
    assert alive(pid)

    own_daemon.process.kill()
    own_daemon.process.wait()

    eventually(lambda: not alive(pid))


def alive(pid: int) -> bool:
    """Whether the process runs (a zombie does not)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
