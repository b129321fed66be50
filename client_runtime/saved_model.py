"""Reading what a SavedModel offers, without TensorFlow: its tag sets, signatures and files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

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
    """One graph of a SavedModel: its tag set, signatures and serialized GraphDef."""

    tags: frozenset[str]
    signatures: Mapping[str, Signature]
    graph_def: bytes


def read(model_dir: Path) -> list[MetaGraph]:
    """The graphs of a SavedModel.

    Raises:
        OSError: no SavedModel there, or it cannot be parsed; the texts are TensorFlow's.
    """
    path = model_dir / BINARY_NAME
    if not path.is_file():
        raise OSError(
            f"SavedModel file does not exist at: {model_dir}/{{{TEXT_NAME}|{BINARY_NAME}}}"
        )
    try:
        model = pb.SavedModel.FromString(path.read_bytes())
    except DecodeError as error:
        raise OSError(f"Cannot parse file {path}: {error}.") from error
    if not model.meta_graphs:
        raise OSError(f"Cannot parse file {path}: it holds no graph.")
    return [_meta_graph(meta_graph) for meta_graph in model.meta_graphs]


def bundle_files(model_dir: Path) -> list[Path]:
    """The files that make up the model, sorted; what only editors and trainers use is left out."""
    chosen = [model_dir / BINARY_NAME]
    for folder in ("variables", "assets"):
        chosen += [path for path in (model_dir / folder).rglob("*") if path.is_file()]
    return sorted(chosen)


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


def _meta_graph(message: pb.MetaGraph) -> MetaGraph:
    return MetaGraph(
        tags=frozenset(message.meta_info_def.tags),
        signatures={key: signature(value) for key, value in message.signature_def.items()},
        graph_def=message.graph_def,
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
