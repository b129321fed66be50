"""A frozen graph is read from its file alone, and its tensors have to be named."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accel_protocol.graph.v1 import saved_model_pb2 as pb
from accel_protocol.manifest import FROZEN_GRAPH, Selection
from client_runtime.models import frozen_graph
from client_runtime.models.bundle import make_bundle
from client_runtime.models.saved_model import TensorInfo
from client_runtime.models.selection import Choice

UINT8 = 4
NAMED = Choice(input_names={"image": "image:0"}, output_names={"boxes": "boxes:0"})


def write(path: Path, *nodes: pb.Node) -> Path:
    """A frozen graph of these nodes."""
    path.write_bytes(pb.GraphDef(node=nodes).SerializeToString())
    return path


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """A placeholder, and something that is computed from it."""
    shape = pb.Shape(dim=[pb.Shape.Dim(size=-1), pb.Shape.Dim(size=3)])
    attributes = {
        "dtype": pb.Attribute(type=pb.DataType.DT_UINT8),
        "shape": pb.Attribute(shape=shape),
    }
    image = pb.Node(name="image", op="Placeholder", attr=attributes)
    return write(tmp_path / "detector.pb", image, pb.Node(name="boxes", op="Cast"))


def test_nodes_are_read(graph: Path) -> None:
    """Placeholders have dtype and shape; of other nodes only the accelerator knows them."""
    assert frozen_graph.read(graph) == {
        "image": TensorInfo("image", UINT8, (-1, 3)),
        "boxes": TensorInfo("boxes"),
    }


def test_named_tensors_are_selected(graph: Path) -> None:
    """Feeds and fetches by alias, and no tags, which a graph does not have."""
    selection = frozen_graph.select(graph, NAMED)
    assert selection.feeds == {"image": TensorInfo("image:0", UINT8, (-1, 3))}
    assert selection.fetches == {"boxes": TensorInfo("boxes:0")}
    assert selection.for_manifest() == Selection(
        (), None, {"image": "image:0"}, {"boxes": "boxes:0"}
    )


@pytest.mark.parametrize("choice", [Choice(), Choice(signature_def_key="serving_default")])
def test_names_are_mandatory(graph: Path, choice: Choice) -> None:
    """Without them there is nothing to choose from, and the error says so."""
    with pytest.raises(ValueError, match="must both be specified for a frozen graph"):
        frozen_graph.select(graph, choice)


def test_one_kind_of_names_is_not_enough(graph: Path) -> None:
    """As with every model, both kinds belong together."""
    with pytest.raises(ValueError, match="input_names and output_names must both be specified"):
        frozen_graph.select(graph, Choice(input_names={"image": "image:0"}))


def test_a_signature_beside_names_contradicts(graph: Path) -> None:
    """At most one way of choosing, as with every model."""
    choice = Choice("predict", None, {"image": "image:0"}, {"boxes": "boxes:0"})
    with pytest.raises(ValueError, match="at most one of signature_def_key"):
        frozen_graph.select(graph, choice)


def test_an_unknown_tensor_is_a_key_error(graph: Path) -> None:
    """The text is TensorFlow's."""
    choice = Choice(input_names={"image": "absent:0"}, output_names={"boxes": "boxes:0"})
    with pytest.raises(KeyError, match="refers to a Tensor which does not exist"):
        frozen_graph.select(graph, choice)


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    """The text is TensorFlow's."""
    with pytest.raises(FileNotFoundError, match=r"absent\.pb; No such file or directory"):
        frozen_graph.select(tmp_path / "absent.pb", NAMED)


def test_a_file_that_is_no_graph_is_refused(tmp_path: Path) -> None:
    """Bytes that do not parse."""
    (tmp_path / "noise.pb").write_bytes(b"\x0a\xff\xff\xffnoise")
    with pytest.raises(OSError, match="Cannot parse file"):
        frozen_graph.read(tmp_path / "noise.pb")


def test_a_saved_model_s_file_is_told_apart(tmp_path: Path) -> None:
    """It parses as a graph without nodes; the error names the way out."""
    model = pb.SavedModel(saved_model_schema_version=1, meta_graphs=[pb.MetaGraph()])
    (tmp_path / "saved_model.pb").write_bytes(model.SerializeToString())
    with pytest.raises(OSError, match="Of a SavedModel, give the folder"):
        frozen_graph.read(tmp_path / "saved_model.pb")


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_file_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    """Whatever is in a file, nothing but OSError is raised."""
    path = tmp_path_factory.getbasetemp() / "any.pb"
    path.write_bytes(data)
    try:
        assert frozen_graph.read(path)
    except OSError as error:
        assert "Cannot parse file" in str(error)


def test_the_bundle_does_not_depend_on_the_file_s_name(graph: Path, tmp_path: Path) -> None:
    """Equal content and selection are the same graph wherever they lie."""
    copy = tmp_path / "elsewhere.pb"
    copy.write_bytes(graph.read_bytes())
    selection = frozen_graph.select(graph, NAMED).for_manifest()
    bundles = [
        make_bundle(frozen_graph.bundle_files(path), FROZEN_GRAPH, selection)
        for path in (graph, copy)
    ]
    assert [file.name for file in bundles[0].manifest.files] == ["graph.pb"]
    assert bundles[0].graph_id == bundles[1].graph_id
    assert list(bundles[1].paths.values()) == [copy]


def test_a_path_tells_what_it_is_meant_as(graph: Path, tmp_path: Path) -> None:
    """A file is a frozen graph, a folder a SavedModel; what is missing goes by its ending."""
    (tmp_path / "folder.pb").mkdir()
    assert frozen_graph.is_frozen_graph(graph)
    assert frozen_graph.is_frozen_graph(tmp_path / "absent.pb")
    assert not frozen_graph.is_frozen_graph(tmp_path / "folder.pb")
    assert not frozen_graph.is_frozen_graph(tmp_path / "absent")
