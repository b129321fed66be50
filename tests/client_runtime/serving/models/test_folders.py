"""What is on the disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from accel_protocol.errors import Status
from client_runtime.serving.models.config_text import single_model
from client_runtime.serving.models.folders import View, look, read_config
from client_runtime.serving.statuses import ServingError
from client_runtime.serving_wire.model_management_pb2 import ModelConfig


def _model(base_path: str | Path) -> ModelConfig:
    return ModelConfig(name="m", base_path=str(base_path))


def test_versions_are_folders_and_links_to_folders(tmp_path: Path) -> None:
    """Files are none, whatever their name; nor are links that lead nowhere."""
    base_path = tmp_path / "m"
    (base_path / "0001").mkdir(parents=True)
    (base_path / "9").write_text("a file")
    (tmp_path / "elsewhere").mkdir()
    (base_path / "7").symlink_to(tmp_path / "elsewhere")
    (base_path / "8").symlink_to(tmp_path / "nowhere")
    model = _model(f"file://{base_path}")
    model.model_version_policy.all.SetInParent()
    assert look(model) == View({1: base_path / "0001", 7: base_path / "7"})


def test_an_empty_base_path_has_no_versions(tmp_path: Path) -> None:
    """Which is something else than one that is not there."""
    (tmp_path / "assets").mkdir()
    assert look(_model(tmp_path)) == View(
        {},
        f"No versions of servable m found under base path {tmp_path}. Did you forget to name your "
        "leaf directory as a number (eg. '/1/')?",
    )


def test_a_base_path_that_cannot_be_read_says_nothing_of_versions(tmp_path: Path) -> None:
    """Missing, or no folder."""
    missing, file = tmp_path / "missing", tmp_path / "file"
    file.touch()
    assert look(_model(missing)) == View(
        None,
        f"Could not find base path {missing} for servable m with error NOT_FOUND: {missing} not "
        "found",
    )
    view = look(_model(file))
    assert view.versions is None
    assert view.trouble.startswith(f"Could not read base path {file} for servable m with error")


def test_a_configuration_file_is_read(tmp_path: Path) -> None:
    """As text."""
    file = tmp_path / "models.config"
    file.write_text(str(single_model("mödel", "/m")), encoding="utf-8")
    assert read_config(file) == single_model("mödel", "/m")


@pytest.mark.parametrize(
    ("content", "logged"),
    [
        (
            b"models",
            "Error parsing text-format tensorflow.serving.ModelServerConfig: 1:1: Message type "
            '"tensorflow.serving.ModelServerConfig" has no field named "models".',
        ),
        (b"\xff", "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
    ],
)
def test_a_file_that_is_no_configuration_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes, logged: str
) -> None:
    """By name; the place of the fault is in the log."""
    file = tmp_path / "models.config"
    file.write_bytes(content)
    with pytest.raises(ServingError) as failure:
        read_config(file)
    assert failure.value.message == f"Invalid protobuf file: '{file}'"
    assert failure.value.status is Status.INVALID_ARGUMENT
    assert caplog.messages == [logged]


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    """With the reason."""
    with pytest.raises(ServingError) as failure:
        read_config(tmp_path / "none")
    assert failure.value.status is Status.NOT_FOUND
    assert failure.value.message == f"{tmp_path / 'none'}; No such file or directory"
