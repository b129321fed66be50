"""Reading what a SavedModel offers, without TensorFlow: its tag sets, signatures and files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import text_format
from google.protobuf.message import DecodeError

from accel_protocol.graph.v1 import saved_model_pb2 as pb

BINARY_NAME = "saved_model.pb"
TEXT_NAME = "saved_model.pbtxt"


@dataclass(frozen=True)
class TensorInfo:
    """One tensor of a graph.

    Attributes:
        name: in the graph, for instance "image_tensor:0".
        dtype: TensorFlow's number of the element type; 0 where the file does not say.
        shape: -1 for an unknown size; None for an unknown rank.
    """

    name: str
    dtype: int = 0
    shape: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Signature:
    """Named feeds and fetches, by alias."""

    inputs: Mapping[str, TensorInfo]
    outputs: Mapping[str, TensorInfo]
    method_name: str = ""


@dataclass(frozen=True)
class MetaGraph:
    """One graph of a SavedModel: its tag set, signatures and serialized GraphDef.

    Of a SavedModel in text form, the GraphDef holds what our subset of it has and no more.
    """

    tags: frozenset[str]
    signatures: Mapping[str, Signature]
    graph_def: bytes


def read(model_dir: Path) -> list[MetaGraph]:
    """The graphs of a SavedModel.

    Raises:
        OSError: no SavedModel there, or it cannot be parsed; the texts are TensorFlow's.
    """
    binary, text = model_dir / BINARY_NAME, model_dir / TEXT_NAME
    if binary.is_file():
        return _checked(binary, _read_binary(binary))
    if text.is_file():
        return _checked(text, _read_text(text))
    raise OSError(f"SavedModel file does not exist at: {model_dir}/{{{TEXT_NAME}|{BINARY_NAME}}}")


def _read_binary(path: Path) -> list[MetaGraph]:
    try:
        model = pb.SavedModel.FromString(path.read_bytes())
    except DecodeError as error:
        raise OSError(f"Cannot parse file {path}: {error}.") from error
    return [_meta_graph(message, message.graph_def) for message in model.meta_graphs]


def _read_text(path: Path) -> list[MetaGraph]:
    model = pb.SavedModelText()
    try:
        text_format.Parse(path.read_bytes(), model, allow_unknown_field=True)
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise OSError(f"Cannot parse file {path}: {error}.") from error
    return [
        _meta_graph(message, message.graph_def.SerializeToString(deterministic=True))
        for message in model.meta_graphs
    ]


def _checked(path: Path, meta_graphs: list[MetaGraph]) -> list[MetaGraph]:
    if not meta_graphs:
        raise OSError(f"Cannot parse file {path}: it holds no graph.")
    return meta_graphs


def bundle_files(model_dir: Path) -> dict[str, Path]:
    """The files that make up the model, by their names in the bundle, sorted.

    What only editors and trainers use is left out.
    """
    binary = model_dir / BINARY_NAME
    # TensorFlow too reads the text only where there is no binary.
    chosen = [binary if binary.is_file() else model_dir / TEXT_NAME]
    for folder in ("variables", "assets"):
        chosen += [path for path in (model_dir / folder).rglob("*") if path.is_file()]
    return {path.relative_to(model_dir).as_posix(): path for path in sorted(chosen)}


def find(meta_graphs: list[MetaGraph], tags: frozenset[str]) -> MetaGraph | None:
    """The graph with exactly this tag set."""
    return next((graph for graph in meta_graphs if graph.tags == tags), None)


def tensors_of_graph(graph_def: bytes) -> Mapping[str, TensorInfo]:
    """The nodes of a graph by name, with the dtype of placeholders (0 for other nodes).

    Keys are node names without the output's number.

    Raises:
        OSError: not a graph.
    """
    try:
        graph = pb.GraphDef.FromString(graph_def)
    except DecodeError as error:
        raise OSError(f"Cannot parse the model's graph: {error}.") from error
    return {node.name: _node_info(node) for node in graph.node}


def _node_info(node: pb.Node) -> TensorInfo:
    if not node.op.startswith("Placeholder"):
        return TensorInfo(node.name)
    shape = _shape(node.attr["shape"].shape) if "shape" in node.attr else None
    return TensorInfo(node.name, node.attr["dtype"].type, shape)


def _meta_graph(message: pb.MetaGraph | pb.MetaGraphText, graph_def: bytes) -> MetaGraph:
    return MetaGraph(
        tags=frozenset(message.meta_info_def.tags),
        signatures={key: signature(value) for key, value in message.signature_def.items()},
        graph_def=graph_def,
    )


def signature(message: pb.Signature) -> Signature:
    """A signature from its protobuf; a sparse tensor becomes its three dense parts."""
    return Signature(_tensors(message.inputs), _tensors(message.outputs), message.method_name)


def _tensors(infos: Mapping[str, pb.TensorInfo]) -> dict[str, TensorInfo]:
    found: dict[str, TensorInfo] = {}
    for alias, info in infos.items():
        if info.WhichOneof("encoding") == "coo_sparse":
            sparse = info.coo_sparse
            found[f"{alias}/indices"] = TensorInfo(sparse.indices_tensor_name, 9)
            found[f"{alias}/values"] = TensorInfo(sparse.values_tensor_name, info.dtype)
            found[f"{alias}/shape"] = TensorInfo(sparse.dense_shape_tensor_name, 9)
        else:
            found[alias] = TensorInfo(info.name, info.dtype, _shape(info.tensor_shape))
    return found


def _shape(shape: pb.Shape) -> tuple[int, ...] | None:
    return None if shape.unknown_rank else tuple(dim.size for dim in shape.dim)
