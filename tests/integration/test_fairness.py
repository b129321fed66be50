"""One greedy model of a user does not starve another one on the same accelerator."""

from __future__ import annotations

import statistics
import sys
import threading
from pathlib import Path
from types import TracebackType

import numpy as np
import pytest

from accel_protocol.limits import DEFAULT_LIMITS
from client_runtime import EIPredictor
from tests.conftest import eventually, patience
from tests.integration.conftest import counting_model

PLACES = DEFAULT_LIMITS.concurrent_runs
CALLERS = 8 * PLACES
CALLS = 15
SLOW = {"steps": np.int64(2_000)}
FEEDS = {"x": np.ones((1, 4), np.float32)}


class Flood:
    """Many threads that call a slow model, each again at once when it is answered."""

    def __init__(self, predictor: EIPredictor) -> None:
        self.answered = 0
        self.failures: list[BaseException] = []
        self._predictor, self._is_over = predictor, threading.Event()
        self._counting = threading.Lock()
        self._threads = [threading.Thread(target=self._call) for _ in range(CALLERS)]

    def __enter__(self) -> Flood:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _call(self) -> None:
        try:
            while not self._is_over.is_set():
                self._predictor(SLOW, timeout=patience(120))
                with self._counting:
                    self.answered += 1
        except BaseException as error:
            self.failures.append(error)


@pytest.mark.usefixtures("each_lane")
def test_a_flood_of_one_model_is_not_ahead_of_another(
    home: Path, tmp_path: Path, model: Path
) -> None:
    """Before a call is answered, those of the flood that run already are, and two turns of it.

    Counted in answers, so that it does not matter how fast this machine is. Of one queue for all,
    `CALLERS` less `PLACES` would be ahead.
    """
    with (
        EIPredictor(counting_model(tmp_path / "greedy")) as greedy,
        EIPredictor(model) as modest,
    ):
        modest(FEEDS, timeout=patience(60))
        with Flood(greedy) as flood:
            eventually(lambda: flood.answered > CALLERS or flood.failures, 120)
            ahead = []
            for _ in range(CALLS):
                before = flood.answered
                modest(FEEDS, timeout=patience(60))
                ahead.append(flood.answered - before)
        assert flood.failures == []
    sys.stdout.write(f"\nanswers of the flood before each call's own: {sorted(ahead)}\n")
    assert 0 < statistics.median(ahead) <= 2 * PLACES
