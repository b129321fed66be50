"""A client machine: this distribution without extras, and a daemon installed elsewhere."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def thin_environment() -> None:
    """These tests mean nothing where TensorFlow is installed, or without another daemon."""
    assert importlib.util.find_spec("tensorflow") is None, "run these tests with `tox -e thin`"
    daemon = os.environ.get("ACCEL_DAEMON", "")
    assert Path(daemon).exists(), "run `tox -e py311` first: its environment holds the daemon"
