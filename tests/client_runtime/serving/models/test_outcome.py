"""How far models have come, and what is said of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from accel_protocol.errors import Status
from client_runtime.serving.models.ledger import Model
from client_runtime.serving.models.lifecycle import State, Version
from client_runtime.serving.models.outcome import Finding, Settled, must_wait, settled
from client_runtime.serving.servable import ServableId
from client_runtime.serving.statuses import ServingError

_ERROR = ServingError(Status.NOT_FOUND, "broken")


def _model(*versions: str) -> Model:
    """From "3 AVAILABLE aspired" or "3 END aspired error"."""
    model = Model()
    for text in versions:
        number, state, *rest = text.split()
        model.versions[int(number)] = Version(
            ServableId("m", int(number)),
            Path("/m"),
            since=0.0,
            state=State[state],
            aspired="aspired" in rest,
            error=_ERROR if "error" in rest else None,
        )
    return model


def _outcome(state: Settled) -> str:
    return "available" if state.available else "failed" if state.failed else "waiting"


@pytest.mark.parametrize(
    ("versions", "all_models", "what_is_ready"),
    [
        (["1 AVAILABLE aspired"], "available", "available"),
        (["1 END aspired error"], "failed", "failed"),
        (["1 END error"], "waiting", "waiting"),
        (["1 START aspired"], "waiting", "waiting"),
        (["1 LOADING aspired"], "waiting", "waiting"),
        (["1 LOADING aspired error"], "waiting", "failed"),
        (["1 AVAILABLE aspired", "2 LOADING aspired"], "available", "available"),
        (["1 AVAILABLE aspired", "2 END aspired error"], "failed", "failed"),
        (["1 END aspired error", "2 AVAILABLE aspired"], "available", "available"),
        (["1 AVAILABLE", "2 LOADING aspired"], "waiting", "waiting"),
        (["1 UNLOADING aspired error"], "waiting", "waiting"),
    ],
)
def test_the_newest_that_has_settled_decides(
    versions: list[str], all_models: str, what_is_ready: str
) -> None:
    """Of those that are to be served; the first failure counts where what is ready is served."""
    models, findings = {"m": _model(*versions)}, {"m": Finding(looked=True)}
    for ready_only, expected in [(False, all_models), (True, what_is_ready)]:
        state = settled(models, findings, serve_what_is_ready=ready_only)
        assert _outcome(state) == expected


@pytest.mark.parametrize(
    ("model", "finding", "waits", "waits_for_what_is_ready"),
    [
        (_model("1 AVAILABLE aspired"), Finding(True), False, False),
        (_model("1 LOADING aspired"), Finding(True), True, True),
        (_model(), Finding(True, "none found"), True, False),
        (_model("1 END"), Finding(True, "none found"), True, False),
        (_model(), Finding(), True, True),
    ],
)
def test_a_model_without_versions_may_be_left_out(
    model: Model, finding: Finding, waits: bool, waits_for_what_is_ready: bool
) -> None:
    """Once its base path has been looked at."""
    models, findings = {"m": model}, {"m": finding}
    for ready_only, expected in [(False, waits), (True, waits_for_what_is_ready)]:
        state = settled(models, findings, serve_what_is_ready=ready_only)
        assert must_wait(state, models, findings, ready_only=ready_only) == expected


def test_a_message_names_all_that_is_amiss() -> None:
    """What failed with its error, and what is late with what it waits for."""
    models = {"m": _model("7 END aspired error"), "n": _model("2 LOADING aspired error")}
    findings = {"m": Finding(True), "n": Finding(True), "o": Finding(True, "gone"), "p": Finding()}
    state = settled(models, findings, serve_what_is_ready=False)
    assert state.message() == (
        "4 servable(s) did not become available: {{{name: m version: 7} due to error: NOT_FOUND: "
        "broken}, {n: version 2 is LOADING, last error: broken}, {o: gone}, {p: its base path has "
        "not been looked at}, }"
    )
    assert not state.is_good
    assert Settled(("m",)).is_good
