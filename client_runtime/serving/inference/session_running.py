"""SessionRun: which tensors a request means.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from accel_protocol.errors import Status
from client_runtime.serving.inference.signatures import DEFAULT_KEY
from client_runtime.serving.statuses import ServingError, invalid
from client_runtime.serving_wire.inference_pb2 import SessionRunRequest
from client_runtime.serving_wire.signatures_pb2 import SignatureDef, TensorInfo


@dataclass(frozen=True)
class Tensors:
    """What to feed and fetch: the request's names to the graph's, in the request's order."""

    feeds: Mapping[str, str]
    fetches: Mapping[str, str]


@dataclass(frozen=True)
class Through:
    """A signature that has all of these tensors: its key, and the request's names to aliases."""

    key: str
    feeds: Mapping[str, str]
    fetches: Mapping[str, str]


def meant(signatures: Mapping[str, SignatureDef], request: SessionRunRequest) -> Tensors:
    """The tensors that a request names, by the graph's names or by a signature's aliases.

    Raises:
        ServingError: it names none, one twice, an alias that is none, or asks for what is not done.
    """
    if request.target:
        raise ServingError(
            Status.UNIMPLEMENTED, "Running a target without fetching it is not supported."
        )
    names = [one.name for one in request.feed]
    if not request.fetch:
        raise invalid("Must specify at least one tensor to fetch")
    for name in names:
        if names.count(name) > 1:
            raise invalid(f"Feed {name} is there twice.")
    if not request.tensor_name_is_alias:
        return Tensors({n: _full(n) for n in names}, {n: _full(n) for n in request.fetch})
    key = request.model_spec.signature_name or DEFAULT_KEY
    if key not in signatures:
        raise invalid(f"No signature was found with the name: {key}")
    inputs, outputs = signatures[key].inputs, signatures[key].outputs
    return Tensors(_named(names, inputs), _named(request.fetch, outputs))


def _full(name: str) -> str:
    return name if ":" in name else f"{name}:0"


def _named(aliases: Sequence[str], infos: Mapping[str, TensorInfo]) -> dict[str, str]:
    for alias in aliases:
        if alias not in infos:
            raise invalid(f"Alias {alias} is not in the signature: {{{','.join(sorted(infos))}}}.")
    return {alias: infos[alias].name for alias in aliases}


def through(signatures: Mapping[str, SignatureDef], wanted: Tensors) -> Through | None:
    """A signature that feeds exactly these tensors and fetches them all; None where none does."""
    for key in signatures:
        inputs = {info.name: alias for alias, info in signatures[key].inputs.items()}
        outputs = {info.name: alias for alias, info in signatures[key].outputs.items()}
        if set(inputs) == set(wanted.feeds.values()) and outputs.keys() >= set(
            wanted.fetches.values()
        ):
            return Through(
                key,
                {name: inputs[tensor] for name, tensor in wanted.feeds.items()},
                {name: outputs[tensor] for name, tensor in wanted.fetches.items()},
            )
    return None
