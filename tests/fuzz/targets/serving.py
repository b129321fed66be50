"""What comes over TensorFlow Serving's wire: tensors, records, and what a server answers."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from client_runtime.serving_client.errors import ServingClientError
from client_runtime.serving_client.requests import arrays_of
from client_runtime.serving_client.specs import metadata_of, statuses_of
from client_runtime.serving_wire import inference_pb2, model_management_pb2
from client_runtime.serving_wire.records import RecordError, read_records, write_record
from client_runtime.serving_wire.tensor_protos import TensorProtoError, to_array, to_proto
from client_runtime.serving_wire.tensors_pb2 import TensorProto
from tests.fuzz.mutation import change_bytes, change_message, one_of
from tests.fuzz.oracle import Setting, Target
from tests.fuzz.targets.wire import ARRAYS

ELEMENTS = 1 << 16


def tensor_target(setting: Setting) -> Target:
    """TensorProtos in both forms; what is taken is written and read again."""
    seeds = [
        to_proto(array, content=content).SerializeToString()
        for array in (*ARRAYS.values(), np.array([1 + 2j]), np.array([0.5], np.float16))
        for content in (False, True)
    ]

    def check(data: bytes) -> None:
        array = to_array(TensorProto.FromString(data), max_elements=ELEMENTS)
        again = to_array(to_proto(array, content=True))
        assert (again.dtype, again.shape) == (array.dtype, array.shape)
        assert again.reshape(-1).tolist() == array.reshape(-1).tolist() or array.dtype.kind in "fcV"

    allowed = (DecodeError, TensorProtoError)
    return Target(lambda chance: change_message(chance, one_of(chance, seeds)), check, allowed)


def record_target(setting: Setting) -> Target:
    """Files of records."""
    stream = io.BytesIO()
    for record in (b"", b"one", bytes(1000)):
        write_record(stream, record)
    seed = stream.getvalue()

    def make(chance: random.Random) -> bytes:
        return seed if chance.random() < 0.1 else change_bytes(chance, seed)

    def check(data: bytes) -> None:
        for record in read_records(io.BytesIO(data), max_records=10, max_bytes=1 << 20):
            assert len(record) < len(data)

    return Target(make, check, (RecordError,))


def answer_target(setting: Setting) -> Target:
    """A server's answers to a client."""
    predicted, described = inference_pb2.PredictResponse(), inference_pb2.GetModelMetadataResponse()
    predicted.outputs["y"].CopyFrom(to_proto(ARRAYS["image"], content=False))
    found = inference_pb2.SignatureDefMap()
    found.signature_def["s"].inputs["x"].tensor_shape.dim.add(size=-1)
    described.metadata["signature_def"].type_url = "x/tensorflow.serving.SignatureDefMap"
    described.metadata["signature_def"].value = found.SerializeToString()
    status = model_management_pb2.GetModelStatusResponse()
    status.model_version_status.add(version=1).status.error_message = "gone"
    seeds = [(predicted, 0), (described, 1), (status, 2)]
    readers: tuple[tuple[Any, Callable[[Any], object]], ...] = (
        (inference_pb2.PredictResponse, lambda message: arrays_of(message, ELEMENTS)),
        (inference_pb2.GetModelMetadataResponse, metadata_of),
        (model_management_pb2.GetModelStatusResponse, statuses_of),
    )

    def make(chance: random.Random) -> tuple[int, bytes]:
        message, kind = one_of(chance, seeds)
        return kind, change_message(chance, message.SerializeToString())

    def check(value: tuple[int, bytes]) -> None:
        kind, data = value
        try:
            message = readers[kind][0].FromString(data)
        except DecodeError:
            return  # gRPC makes an error of it
        readers[kind][1](message)

    return Target(make, check, (ServingClientError,))


TARGETS = {
    "serving: tensors": tensor_target,
    "serving: records": record_target,
    "serving: answers": answer_target,
}
