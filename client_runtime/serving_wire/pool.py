"""The descriptor pool of these messages.

TensorFlow and `tensorflow-serving-api` register messages of the same names in protobuf's own pool.
A pool apart lets all of them live in one process.
"""

from __future__ import annotations

from google.protobuf import any_pb2, wrappers_pb2
from google.protobuf.descriptor_pool import DescriptorPool


def _pool() -> DescriptorPool:
    pool = DescriptorPool()
    for file in (any_pb2, wrappers_pb2):
        pool.AddSerializedFile(file.DESCRIPTOR.serialized_pb)
    return pool


POOL = _pool()
