"""Every parser that meets strangers takes or refuses whatever it is given.

A few hundred inputs for each here; `python -m tests.fuzz --inputs N` tries as many as there is time
for, and so does this file with ACCEL_FUZZ_INPUTS.
"""

from __future__ import annotations

import logging
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accel_protocol.errors import CallError
from tests.fuzz.oracle import CANARY, Found, Setting, Target, try_many, try_one
from tests.fuzz.targets import BUILDERS

INPUTS = int(os.environ.get("ACCEL_FUZZ_INPUTS", "300"))


@pytest.fixture
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Target]:
    """The target of this name."""
    folder = tmp_path / f"{CANARY}-folder"
    folder.mkdir()
    setting = Setting(folder)
    with setting.stack:
        yield BUILDERS[request.param](setting)


def every_target(test: object) -> object:
    """Runs a test for each target."""
    return pytest.mark.parametrize("target", BUILDERS, indirect=True)(test)  # type: ignore[type-var]


@every_target
def test_inputs_of_one_seed(target: Target, caplog: pytest.LogCaptureFixture) -> None:
    """Taken or refused by an error of ours, in time, with nothing told; and not all refused."""
    caplog.set_level(logging.CRITICAL)
    tally = try_many(target, max(40, round(INPUTS * target.share)), "tests")

    assert tally.refused < tally.inputs
    assert (tally.refused > 0) is target.refuses


@every_target
@settings(
    max_examples=max(20, INPUTS // 10),
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(chance=st.randoms(use_true_random=False))
def test_inputs_that_hypothesis_looks_for(target: Target, chance: random.Random) -> None:
    """The same, and what fails is made smaller."""
    try_one(target, target.make(chance))


def _raise(error: Exception) -> None:
    raise error


def _wait(_: object) -> None:
    end = time.thread_time() + 1.2
    while time.thread_time() < end:
        pass


DEFECTS = {
    "another error": lambda _: _raise(KeyError("x")),
    "a canary": lambda _: _raise(CallError(f"/home/{CANARY}/x")),
    "a canary in a field": lambda _: _raise(CallError("x", fields={"path": CANARY.upper()})),
    "a traceback": lambda _: _raise(CallError("Traceback (most recent call last)")),
    "no form on the wire": lambda _: _raise(CallError("\ud800")),
    "too much time": _wait,
    "too much memory": lambda _: bytearray(b"x" * (600 << 20)),
}


@pytest.mark.parametrize("check", DEFECTS.values(), ids=DEFECTS)
def test_what_must_not_happen_is_found(check: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oracle sees each kind of defect."""
    monkeypatch.setenv("ACCEL_TEST_TIME_SCALE", "1")
    with pytest.raises(Found):
        try_many(Target(lambda chance: chance.random(), check), 1, "x")  # type: ignore[arg-type]
