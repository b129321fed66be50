"""What is on the disk."""

from __future__ import annotations

from pathlib import Path

from client_runtime.serving.models.folders import View, look
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
