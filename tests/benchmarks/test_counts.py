"""What a call costs in bytes and copies, counted at a real daemon; `test_budgets` has messages."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from benchmarks.counting import count, wire_bytes
from benchmarks.field import _certificates
from benchmarks.floors import Floors
from benchmarks.work import WORKS
from client_runtime import EIPredictor
from tests.conftest import Daemon

tf = pytest.importorskip("tensorflow", reason="the models are made with TensorFlow")
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def sums(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model of which the payload is all that matters."""
    from benchmarks import models

    folder = tmp_path_factory.mktemp("models") / "sum"
    models.sums(folder)
    return folder


@pytest.fixture(autouse=True)
def _over_tls(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is counted is TCP's."""
    monkeypatch.setenv("ACCEL_LANES", "tls")


@pytest.mark.parametrize("work", ["payload-64", "large"])
def test_call_sends_its_payload_once(daemon: Daemon, home: Path, sums: Path, work: str) -> None:
    """All layers together add less than half a kilobyte and a fortieth of the payload."""
    feeds = {"x": WORKS[work].feed()}
    with EIPredictor(sums) as predictor:
        counts = count(lambda: predictor(feeds), 5, WORKS[work].size)

    assert counts.payload <= counts.sent <= 512 + 1.025 * counts.payload
    assert counts.received <= 1024


def test_large_call_is_never_held_a_second_time(daemon: Daemon, home: Path, sums: Path) -> None:
    """The client copies a piece at a time: of 19 MB it never holds more than four pieces."""
    feeds = {"x": WORKS["large"].feed()}
    with EIPredictor(sums) as predictor:
        counts = count(lambda: predictor(feeds), 3, WORKS["large"].size)

    assert counts.held <= 4 * MIB


def test_counted_bytes_are_those_on_the_wire(tmp_path: Path) -> None:
    """A payload over a TLS socket is counted as itself and what TLS adds to it."""
    floors = Floors(str(_certificates(tmp_path / "certificates")))
    call = floors.caller("payload-600000", "tls")
    call()
    sent, received = wire_bytes()
    call()
    sent_after, received_after = wire_bytes()

    assert 600_000 <= sent_after - sent <= 620_000
    assert 16 <= received_after - received <= 64


def test_copy_is_counted_as_held() -> None:
    """A call that copies its feed is told from one that does not."""
    feed = np.ones(MIB, np.uint8)

    assert count(feed.copy, 3, feed.nbytes).held >= MIB
    assert count(lambda: feed[1:], 3, feed.nbytes).held < MIB / 10
    assert not tracemalloc.is_tracing()
