"""From the operator's option to the caller's error: what a daemon admits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from accel_protocol.errors import AcceleratorError, ModelError
from client_runtime import EIPredictor, connect
from tests.conftest import Daemon, start_daemon, use_home

v1 = tf.compat.v1


@pytest.fixture(scope="module")
def reading_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that reads whatever file it is told."""
    folder = tmp_path_factory.mktemp("reading") / "model"
    with v1.Session(graph=tf.Graph()) as session:
        name = v1.placeholder(tf.string, [], name="name")
        signature = v1.saved_model.predict_signature_def(
            {"name": name}, {"content": tf.io.read_file(name)}
        )
        builder = v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature})
        builder.save()
    return folder


def feed(text: str) -> dict[str, Any]:
    """A file's name."""
    return {"name": np.array(text.encode(), object)}


@pytest.mark.usefixtures("each_lane")
def test_a_refusal_reaches_the_caller(home: Path, reading_model: Path) -> None:
    """With op, node and remedy, as a ModelError, which is a ValueError."""
    with pytest.raises(ModelError) as caught, EIPredictor(reading_model) as predictor:
        predictor(feed("/etc/hostname"))
    assert caught.value.reason == "OP_REFUSED"
    assert caught.value.fields == {"ops": "ReadFile"}
    assert "ReadFile (node" in caught.value.message
    assert "--allow-op ReadFile=REASON" in caught.value.remedy
    assert isinstance(caught.value, ValueError)


@pytest.fixture
def permissive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    """A daemon whose operator allows one op."""
    option = "ReadFile=the lab's own models"
    daemon = start_daemon(tmp_path / "home", "--port", "0", "--allow-op", option)
    use_home(monkeypatch, daemon.home)
    yield daemon
    assert daemon.stop() == 0


def test_an_operator_can_allow_an_op(permissive: Daemon, reading_model: Path) -> None:
    """It is logged with its reason, reported to clients, and then admitted."""
    secret = permissive.home / "canary"
    secret.write_text("chirp")
    with connect() as attachment, EIPredictor(reading_model, attachment=attachment) as predictor:
        allowed = dict(attachment.capabilities().allowed_ops)
        # Whether a file can be read then is for the sandbox to say.
        try:
            predictor(feed(str(secret)))
        except AcceleratorError as error:
            assert error.reason == "GRAPH_FAILED"
    assert allowed == {"ReadFile": "the lab's own models"}
    assert "ReadFile: the lab's own models" in permissive.log.read_text()
