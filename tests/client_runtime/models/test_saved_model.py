"""What a SavedModel offers is read from its file alone, without TensorFlow."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accel_protocol.graph.v1 import saved_model_pb2 as pb
from client_runtime.models import saved_model
from client_runtime.models.saved_model import Signature, TensorInfo

FLOAT32, INT64, STRING = 1, 9, 7


def info(name: str, dtype: int, *sizes: int) -> pb.TensorInfo:
    """A dense tensor of a signature."""
    dims = [pb.Shape.Dim(size=size) for size in sizes]
    return pb.TensorInfo(name=name, dtype=dtype, tensor_shape=pb.Shape(dim=dims))  # type: ignore[arg-type]


def placeholder(name: str, dtype: int, shape: pb.Shape | None, op: str = "Placeholder") -> pb.Node:
    """A node that is meant to be fed."""
    attributes = {"dtype": pb.Attribute(type=dtype)}  # type: ignore[arg-type]
    if shape is not None:
        attributes["shape"] = pb.Attribute(shape=shape)
    return pb.Node(name=name, op=op, attr=attributes)


def write(folder: Path, *meta_graphs: pb.MetaGraph) -> Path:
    """A SavedModel's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    model = pb.SavedModel(saved_model_schema_version=1, meta_graphs=meta_graphs)
    (folder / "saved_model.pb").write_bytes(model.SerializeToString())
    return folder


def meta_graph(*tags: str, **signatures: pb.Signature) -> pb.MetaGraph:
    """A graph with these tags and signatures."""
    return pb.MetaGraph(meta_info_def=pb.MetaGraph.Info(tags=tags), signature_def=signatures)


def test_tag_sets_and_signatures_are_read(tmp_path: Path) -> None:
    """Every graph with its tags, and its signatures with their tensors by alias."""
    predict = pb.Signature(
        inputs={"x": info("x:0", FLOAT32, -1, 3)},
        outputs={"y": info("y:0", INT64)},
        method_name="tensorflow/serving/predict",
    )
    folder = write(tmp_path, meta_graph("serve", predict=predict), meta_graph("gpu", "serve"))
    first, second = saved_model.read(folder)
    assert (first.tags, second.tags) == (frozenset({"serve"}), frozenset({"gpu", "serve"}))
    assert second.signatures == {}
    assert first.signatures == {
        "predict": Signature(
            {"x": TensorInfo("x:0", FLOAT32, (-1, 3))},
            {"y": TensorInfo("y:0", INT64, ())},
            "tensorflow/serving/predict",
        )
    }


def test_an_unknown_rank_is_none(tmp_path: Path) -> None:
    """Unlike a scalar, which has no dimensions."""
    unknown = pb.TensorInfo(name="x:0", tensor_shape=pb.Shape(unknown_rank=True))
    graph = meta_graph("serve", s=pb.Signature(inputs={"x": unknown, "y": info("y:0", 1)}))
    inputs = saved_model.read(write(tmp_path, graph))[0].signatures["s"].inputs
    assert (inputs["x"].shape, inputs["y"].shape) == (None, ())


def test_a_sparse_tensor_is_three_dense_ones(tmp_path: Path) -> None:
    """Indices and shape are int64, the values have the tensor's dtype."""
    sparse = pb.TensorInfo(
        dtype=STRING,  # type: ignore[arg-type]
        coo_sparse=pb.TensorInfo.Sparse(
            values_tensor_name="v:0", indices_tensor_name="i:0", dense_shape_tensor_name="s:0"
        ),
    )
    graph = meta_graph("serve", s=pb.Signature(inputs={"x": sparse}))
    assert saved_model.read(write(tmp_path, graph))[0].signatures["s"].inputs == {
        "x/indices": TensorInfo("i:0", INT64),
        "x/values": TensorInfo("v:0", STRING),
        "x/shape": TensorInfo("s:0", INT64),
    }


def test_what_is_unknown_is_skipped(tmp_path: Path) -> None:
    """TensorFlow's file holds much that a client does not need."""
    folder = write(tmp_path, meta_graph("serve"))
    path = folder / "saved_model.pb"
    path.write_bytes(path.read_bytes() + b"\xa2\x06\x03abc")
    assert [graph.tags for graph in saved_model.read(folder)] == [{"serve"}]


def test_a_missing_model_is_told_in_tensorflow_s_words(tmp_path: Path) -> None:
    """Callers may be matching on the text."""
    with pytest.raises(OSError) as caught:
        saved_model.read(tmp_path)
    assert str(caught.value) == (
        f"SavedModel file does not exist at: {tmp_path}/{{saved_model.pbtxt|saved_model.pb}}"
    )


@pytest.mark.parametrize("content", [b"\xff", b"no model at all", b"\x12\x7f", b""])
def test_a_broken_model_is_told_with_its_path(tmp_path: Path, content: bytes) -> None:
    """Whatever the bytes, it is an OSError that names the file."""
    path = tmp_path / "saved_model.pb"
    path.write_bytes(content)
    with pytest.raises(OSError) as caught:
        saved_model.read(tmp_path)
    assert str(caught.value).startswith(f"Cannot parse file {path}: ")


@given(st.binary(max_size=60))
@settings(deadline=None)
def test_any_bytes_are_a_model_or_an_os_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    """Bytes of a stranger give graphs or an OSError."""
    folder = tmp_path_factory.getbasetemp()
    (folder / "saved_model.pb").write_bytes(content)
    try:
        graphs = saved_model.read(folder)
    except OSError:
        return
    assert graphs


@pytest.mark.parametrize(
    ("tags", "index"),
    [({"serve"}, 0), ({"gpu", "serve"}, 1), ({"gpu"}, None), (set(), None)],
)
def test_a_graph_is_found_by_its_whole_tag_set(
    tmp_path: Path, tags: set[str], index: int | None
) -> None:
    """Part of a tag set finds nothing."""
    graphs = saved_model.read(write(tmp_path, meta_graph("serve"), meta_graph("serve", "gpu")))
    expected = None if index is None else graphs[index]
    assert saved_model.find(graphs, frozenset(tags)) is expected


def test_placeholders_of_a_graph_tell_dtype_and_shape() -> None:
    """Of other nodes only the accelerator knows."""
    shape = pb.Shape(dim=[pb.Shape.Dim(size=-1), pb.Shape.Dim(size=2)])
    graph = pb.GraphDef(
        node=[
            placeholder("x", FLOAT32, shape),
            placeholder("scope/y", STRING, None),
            placeholder("z", INT64, pb.Shape(unknown_rank=True), "PlaceholderWithDefault"),
            pb.Node(name="inner", op="MatMul", attr={"T": pb.Attribute(type=1)}),  # type: ignore[arg-type]
        ]
    )
    assert saved_model.tensors_of_graph(graph.SerializeToString()) == {
        "x": TensorInfo("x", FLOAT32, (-1, 2)),
        "scope/y": TensorInfo("scope/y", STRING, None),
        "z": TensorInfo("z", INT64, None),
        "inner": TensorInfo("inner"),
    }


def test_a_broken_graph_is_an_os_error() -> None:
    """As when TensorFlow reads it."""
    with pytest.raises(OSError, match="Cannot parse the model's graph"):
        saved_model.tensors_of_graph(b"\xff")


def test_the_files_of_a_model_are_its_graph_variables_and_assets(tmp_path: Path) -> None:
    """What only editors and trainers use is left out, whatever it is called."""
    for name in (
        "saved_model.pb",
        "variables/variables.index",
        "variables/variables.data-00000-of-00001",
        "assets/words.txt",
        "assets/deeper/more.txt",
        "keras_metadata.pb",
        "fingerprint.pb",
        "assets.extra/tf_serving_warmup_requests",
        "debug/saved_model_debug_info.pb",
        "README.md",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found = list(saved_model.bundle_files(tmp_path))
    assert found == sorted(found)
    assert set(found) == {
        "saved_model.pb",
        "variables/variables.index",
        "variables/variables.data-00000-of-00001",
        "assets/words.txt",
        "assets/deeper/more.txt",
    }
