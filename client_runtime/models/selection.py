"""Which tensors a predictor feeds and fetches: the rules and the words of the original.

The texts of the ValueErrors are those that callers of Amazon's predictor, and of TensorFlow's
before it, may be matching on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from accel_protocol import manifest
from accel_protocol.graph.v1 import saved_model_pb2
from client_runtime.models import saved_model
from client_runtime.models.saved_model import MetaGraph, Signature, TensorInfo

DEFAULT_KEY = "serving_default"
DEFAULT_TAGS = "serve"


@dataclass(frozen=True)
class Selection:
    """What a predictor works with: tag set, feeds and fetches by alias."""

    tags: tuple[str, ...]
    feeds: Mapping[str, TensorInfo]
    fetches: Mapping[str, TensorInfo]

    def for_manifest(self) -> manifest.Selection:
        """The same, as the model bundle's manifest says it."""
        return manifest.Selection(
            tags=self.tags,
            feeds={alias: info.name for alias, info in self.feeds.items()},
            fetches={alias: info.name for alias, info in self.fetches.items()},
        )


@dataclass(frozen=True)
class Choice:
    """The arguments that choose: at most one of the three ways."""

    signature_def_key: str | None = None
    signature_def: Any = None
    input_names: Mapping[str, str] | None = None
    output_names: Mapping[str, str] | None = None
    tags: str | Sequence[str] | None = None

    def check(self) -> None:
        """Raise ValueError when the arguments contradict each other."""
        if (self.input_names is None) != (self.output_names is None):
            raise ValueError(
                "input_names and output_names must both be specified or both be unspecified."
            )
        given = [self.signature_def_key, self.signature_def, self.input_names]
        if sum(value is not None for value in given) > 1:
            raise ValueError(
                "You must specify at most one of signature_def_key OR signature_def OR"
                "(input_names AND output_names)."
            )

    def tag_set(self) -> tuple[str, ...]:
        """The tags, sorted; "serve" when none were given."""
        tags = self.tags or DEFAULT_TAGS
        parts = tags.split(",") if isinstance(tags, str) else list(tags)
        return tuple(sorted({part.strip() for part in parts}))


def select(meta_graphs: list[MetaGraph], choice: Choice) -> Selection:
    """Resolve a choice against a SavedModel.

    Raises:
        ValueError: contradictory arguments, no such tag set or signature.
        KeyError: no such tensor; the text is TensorFlow's.
    """
    choice.check()
    tags = choice.tag_set()
    meta_graph = saved_model.find(meta_graphs, frozenset(tags))
    if meta_graph is None:
        raise ValueError(f"Could not find MetaGraphDef with tags {choice.tags or DEFAULT_TAGS}")
    if choice.input_names is not None and choice.output_names is not None:
        feeds, fetches = _named(meta_graph, choice.input_names, choice.output_names)
        return Selection(tags, feeds, fetches)
    if choice.signature_def is not None:
        signature = _from_proto(choice.signature_def)
    else:
        signature = _by_key(meta_graph, choice.signature_def_key or DEFAULT_KEY)
    return Selection(tags, signature.inputs, signature.outputs)


def _by_key(meta_graph: MetaGraph, key: str) -> Signature:
    for candidate in (key, f"default_input_alternative:{key}"):
        if candidate in meta_graph.signatures:
            return meta_graph.signatures[candidate]
    raise ValueError(
        f'Got signature_def_key "{key}". '
        f"Available signatures are {sorted(meta_graph.signatures)}. "
        f"Original error:\nNo SignatureDef with key '{key}' found in MetaGraphDef."
    )


def _from_proto(signature_def: Any) -> Signature:
    """TensorFlow's SignatureDef, read through our subset of it: the bytes are the same."""
    return saved_model.signature(
        saved_model_pb2.Signature.FromString(signature_def.SerializeToString())
    )


def _named(
    meta_graph: MetaGraph, inputs: Mapping[str, str], outputs: Mapping[str, str]
) -> tuple[dict[str, TensorInfo], dict[str, TensorInfo]]:
    nodes = saved_model.tensors_of_graph(meta_graph.graph_def)
    return (
        {alias: _tensor(nodes, name) for alias, name in inputs.items()},
        {alias: _tensor(nodes, name) for alias, name in outputs.items()},
    )


def _tensor(nodes: Mapping[str, TensorInfo], name: str) -> TensorInfo:
    node, colon, index = name.partition(":")
    if not colon or not index.isdigit():
        raise ValueError(
            f"The name '{name}' looks like an (invalid) Operation name, not a Tensor. "
            'Tensor names must be of the form "<op_name>:<output_index>".'
        )
    if node not in nodes:
        raise KeyError(
            f"The name '{name}' refers to a Tensor which does not exist. "
            f"The operation, '{node}', does not exist in the graph."
        )
    info = nodes[node]
    return TensorInfo(name, info.dtype, info.shape)
