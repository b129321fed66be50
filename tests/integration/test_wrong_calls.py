"""Calls that are wrong fail as the original failed, before anything is uploaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accel_protocol.errors import GraphError, ModelError
from client_runtime import EIPredictor, connect


@pytest.fixture(autouse=True)
def nothing_uploaded(home: Path) -> Any:
    """Holds for every test here."""
    with connect() as attachment:
        before = attachment.list().counters.uploaded_bytes
        yield
        assert attachment.list().counters.uploaded_bytes == before


def test_missing_directory(tmp_path: Path) -> None:
    """No model there: TensorFlow's OSError, at construction."""
    with pytest.raises(OSError, match="SavedModel file does not exist at: "):
        EIPredictor(tmp_path / "nowhere")


def test_broken_model(tmp_path: Path) -> None:
    """A file that is no SavedModel: TensorFlow's OSError, at construction."""
    (tmp_path / "saved_model.pb").write_bytes(b"\x0a\xff\xff\xffnonsense")

    with pytest.raises(OSError, match="Cannot parse file"):
        EIPredictor(tmp_path)


def test_unknown_signature(new_model: Callable[[int], Path]) -> None:
    """An unknown key names the signatures there are."""
    with pytest.raises(ValueError, match=r'Got signature_def_key "absent".*serving_default'):
        EIPredictor(new_model(20), signature_def_key="absent")


def test_unknown_tags(new_model: Callable[[int], Path]) -> None:
    """An unknown tag set is a ValueError."""
    with pytest.raises(ValueError, match="Could not find MetaGraphDef with tags"):
        EIPredictor(new_model(21), tags="train,gpu")


def test_unknown_tensor(new_model: Callable[[int], Path]) -> None:
    """An unknown tensor is the KeyError that a graph gives."""
    with pytest.raises(KeyError, match="refers to a Tensor which does not exist"):
        EIPredictor(new_model(22), input_names={"x": "nope:0"}, output_names={"y": "nope:0"})


def test_unknown_feed(new_model: Callable[[int], Path]) -> None:
    """An unknown key in the feeds names the ones expected."""
    predictor = EIPredictor(new_model(23))

    with pytest.raises(ValueError, match=r"Got unexpected keys in input_dict: {'typo'}"):
        predictor({"typo": 1.0})


def test_wrong_dtype(new_model: Callable[[int], Path]) -> None:
    """A value that does not convert to the feed's dtype is a ValueError."""
    predictor = EIPredictor(new_model(24))

    with pytest.raises(ValueError, match="could not convert string to float"):
        predictor({"x": "not a number"})


@pytest.mark.usefixtures("each_lane")
class TestAfterUpload:
    """What only the accelerator can find out."""

    @pytest.fixture(autouse=True)
    def nothing_uploaded(self) -> None:
        """Does not hold here: the model is sent first."""

    def test_wrong_shape(self, home: Path, model: Path) -> None:
        """Shapes that do not fit are the graph's error, with a request id."""
        with pytest.raises(GraphError) as caught:
            EIPredictor(model)({"x": np.ones((2, 5), np.float32)})

        assert "Matrix size-incompatible" in caught.value.message
        assert caught.value.request_id

    def test_error_names_no_path(self, home: Path, tmp_path: Path, model: Path) -> None:
        """A model that cannot be loaded says so without a path of the accelerator's host."""
        broken = tmp_path / "broken"
        (broken / "variables").mkdir(parents=True)
        (broken / "saved_model.pb").write_bytes((model / "saved_model.pb").read_bytes())

        with pytest.raises(ModelError) as caught:
            EIPredictor(broken)({"x": np.ones((1, 4), np.float32)})

        assert str(home) not in str(caught.value)
        assert "bundles" not in str(caught.value)
