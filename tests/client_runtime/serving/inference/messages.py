"""Requests, signatures and a servable that stands for a graph, for tests of what is around it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from accel_protocol.tensors import Array
from client_runtime.serving.servable import Bounds, ServableId
from client_runtime.serving_wire import inference_pb2 as pb
from client_runtime.serving_wire import tensor_protos
from client_runtime.serving_wire.signatures_pb2 import SignatureDef
from client_runtime.serving_wire.tensors_pb2 import TensorProto

FLOAT, STRING = 1, 7
Answer = Callable[[str, Mapping[str, Array]], dict[str, Array]]


def signature(
    inputs: Mapping[str, int], outputs: Mapping[str, int], method_name: str = ""
) -> SignatureDef:
    """A signature of tensors "ALIAS:0", by alias and dtype."""
    made = SignatureDef(method_name=method_name)
    for infos, given in ((made.inputs, inputs), (made.outputs, outputs)):
        for alias, dtype in given.items():
            infos[alias].name = f"{alias}:0"
            infos[alias].dtype = dtype  # type: ignore[assignment]
    return made


def tensor(value: Any, *, content: bool = False) -> TensorProto:
    """A TensorProto of what NumPy makes of this; Python's floats are float32."""
    array = np.asarray(value)
    if array.dtype == np.float64:
        array = array.astype(np.float32)
    return tensor_protos.to_proto(array, content=content)


def predict(
    inputs: Mapping[str, Any], *, key: str = "", output_filter: tuple[str, ...] = ()
) -> pb.PredictRequest:
    """A Predict request for the model "m"."""
    request = pb.PredictRequest(output_filter=output_filter)
    request.model_spec.name, request.model_spec.signature_name = "m", key
    for alias, value in inputs.items():
        proto = value if isinstance(value, TensorProto) else tensor(value)
        request.inputs[alias].CopyFrom(proto)
    return request


def examples(*values: float, name: str = "x") -> pb.Input:
    """Examples with one float each."""
    made = pb.Input()
    for value in values:
        example = made.example_list.examples.add()
        example.features.feature[name].float_list.value.append(value)
    return made


class StandIn:
    """A servable whose graph is a function of the signature's key and the feeds."""

    def __init__(self, signatures: Mapping[str, SignatureDef], answer: Answer) -> None:
        self.id, self.signatures, self._answer = ServableId("m", 123), signatures, answer
        self.fed: list[tuple[str, dict[str, Array]]] = []

    def run(self, signature: str, feeds: Mapping[str, Array], bounds: Bounds) -> dict[str, Array]:
        """See `Servable.run`."""
        self.fed.append((signature, dict(feeds)))
        return self._answer(signature, feeds)

    def close(self) -> None:
        """See `Servable.close`."""

    def names(self) -> list[str]:
        """See `Catalog.names`."""
        return ["m"]

    def status(self, name: str, version: int | None) -> Any:
        """See `Catalog.status`; not of use here."""
        raise NotImplementedError

    def reload(self, config: Any, bounds: Bounds) -> None:
        """See `Catalog.reload`; not of use here."""
        raise NotImplementedError

    def ready(self) -> bool:
        """See `Catalog.ready`."""
        return True

    @contextmanager
    def use(self, spec: pb.ModelSpec) -> Iterator[StandIn]:
        """As a catalog of nothing else."""
        assert spec.name == "m"
        yield self
