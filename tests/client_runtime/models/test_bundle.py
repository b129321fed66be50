"""A model's bundle: its graph id is the daemon's, and follows from its files and nothing else."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from accel_protocol.limits import DEFAULT_LIMITS
from accel_protocol.manifest import SAVED_MODEL, BundleFile, Selection, parse
from client_runtime.models import saved_model
from client_runtime.models.bundle import Bundle, make_bundle

FILES = {
    "saved_model.pb": b"graph",
    "variables/variables.index": b"index",
    "variables/variables.data-00000-of-00001": b"weights" * 300_000,
    "assets/wörter.txt": b"null\n",
    "assets/copy.txt": b"null\n",
    "assets/empty.txt": b"",
}
SELECTION = Selection(feeds={"größe": "x:0"}, fetches={"y": "y:0"})


def write(folder: Path, files: dict[str, bytes]) -> Path:
    """A folder with these files."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def bundle_of(folder: Path, selection: Selection = SELECTION) -> Bundle:
    """The bundle of a SavedModel."""
    return make_bundle(saved_model.bundle_files(folder), SAVED_MODEL, selection)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model's folder; what is in the files does not matter to a bundle."""
    return write(tmp_path / "model", FILES)


def test_the_graph_id_is_the_daemon_s(model: Path) -> None:
    """What the daemon reads from the wire is the same manifest and has the same id."""
    bundle = bundle_of(model)
    read = parse(bundle.manifest.canonical(), DEFAULT_LIMITS)
    assert read == bundle.manifest
    assert read.graph_id() == bundle.graph_id


def test_every_file_stands_with_size_and_digest(model: Path) -> None:
    """Under its name relative to the model, in the order of names."""
    assert bundle_of(model).manifest.files == tuple(
        BundleFile(name, len(FILES[name]), hashlib.sha256(FILES[name]).hexdigest())
        for name in sorted(FILES)
    )


def test_every_digest_leads_to_a_file_with_that_content(model: Path) -> None:
    """Two files of one content are one digest."""
    bundle = bundle_of(model)
    assert set(bundle.paths) == {file.sha256 for file in bundle.manifest.files}
    for digest, path in bundle.paths.items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == digest


def test_where_the_model_lies_does_not_matter(model: Path, tmp_path: Path) -> None:
    """A copy elsewhere, made later, is the same graph."""
    elsewhere = shutil.copytree(model, tmp_path / "else" / "where")
    assert bundle_of(elsewhere).graph_id == bundle_of(model).graph_id


@pytest.mark.parametrize("name", FILES)
def test_a_change_of_any_file_changes_the_graph_id(model: Path, name: str) -> None:
    """One byte more, in whichever file."""
    before = bundle_of(model).graph_id
    with (model / name).open("ab") as stream:
        stream.write(b"!")
    assert bundle_of(model).graph_id != before


@pytest.mark.parametrize("name", ["assets/new.txt", "variables/variables.data-00001-of-00002"])
def test_a_further_file_changes_the_graph_id(model: Path, name: str) -> None:
    """Also an empty one."""
    before = bundle_of(model).graph_id
    write(model, {name: b""})
    assert bundle_of(model).graph_id != before


def test_a_renamed_file_changes_the_graph_id(model: Path) -> None:
    """Names are part of what a model is."""
    before = bundle_of(model).graph_id
    (model / "assets" / "copy.txt").rename(model / "assets" / "moved.txt")
    assert bundle_of(model).graph_id != before


@pytest.mark.parametrize(
    "name",
    ["keras_metadata.pb", "fingerprint.pb", "assets.extra/warmup", "debug/info.pb", "README.md"],
)
def test_what_only_editors_and_trainers_use_is_left_out(model: Path, name: str) -> None:
    """Writing a model anew changes these files without changing what it computes."""
    before = bundle_of(model)
    write(model, {name: b"anything"})
    after = bundle_of(model)
    assert after.graph_id == before.graph_id
    assert name not in {file.name for file in after.manifest.files}


def test_another_selection_is_another_graph(model: Path) -> None:
    """Feeds and fetches are part of the id, so each is loaded for itself."""
    assert bundle_of(model).graph_id != bundle_of(model, Selection(signature="predict")).graph_id


def test_a_file_that_cannot_be_read_is_an_os_error(model: Path) -> None:
    """A model that is taken away while it is read."""
    files = saved_model.bundle_files(model)
    (model / "assets" / "copy.txt").unlink()
    with pytest.raises(OSError):
        make_bundle(files, SAVED_MODEL, SELECTION)
