"""Ops that reach out of a graph, one attack each, for `hostile_graphs` to put into models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from tests.accel_daemon.engines.graph_builder import Nodes, floats

STRING, FLOAT, INT, LONG, BOOL = tf.string, tf.float32, tf.int32, tf.int64, tf.bool
SCALAR = tf.TensorShape([])


@dataclass(frozen=True)
class Target:
    """What the models are after.

    Attributes:
        read: a file whose content must not be read.
        write: a path where nothing must be written.
        address: HOST:PORT to which nothing must connect.
    """

    read: str = "/private/canary"
    write: str = "/private/written"
    address: str = "127.0.0.1:9"


@dataclass(frozen=True)
class Caught:
    """What an attack ends in: the node that runs, and the tensor that holds its loot, if any."""

    node: str
    loot: str = ""


Attack = Callable[[Nodes, Target], Caught]


def read_file(n: Nodes, t: Target) -> Caught:
    """Any file."""
    loot = n.add("ReadFile", n.const(t.read), out="contents")
    return Caught(n.last(), loot)


def write_file(n: Nodes, t: Target) -> Caught:
    """Anywhere."""
    n.add("WriteFile", n.const(t.write), n.const(b"written"))
    return Caught(n.last())


def immutable_const(n: Nodes, t: Target) -> Caught:
    """Maps a file as a tensor, and is not even marked stateful."""
    raw = n.add(
        "ImmutableConst", out="tensor", dtype=tf.uint8, shape=tf.TensorShape([4]),
        memory_region_name=t.read,
    )  # fmt: skip
    loot = n.add("AsString", n.add("Cast", raw, out="y", SrcT=tf.uint8, DstT=INT), T=INT)
    loot = n.add("ReduceJoin", loot, n.const([0]), separator=",")
    return Caught(n.last(), loot)


def debug(op: str) -> Attack:
    """Debug ops write what they see to files or to a connection."""

    def build(n: Nodes, t: Target) -> Caught:
        n.add(op, n.const(floats(1)), T=FLOAT, tensor_name="x:0", debug_urls=[f"file://{t.write}"])
        return Caught(n.last())

    return build


def debug_connection(op: str) -> Attack:
    """The same to a connection."""

    def build(n: Nodes, t: Target) -> Caught:
        urls = [f"grpc://{t.address}"]
        n.add(op, n.const(floats(1)), T=FLOAT, tensor_name="x:0", debug_urls=urls)
        return Caught(n.last())

    return build


def debug_v2(n: Nodes, t: Target) -> Caught:
    """The newer one has a folder of its own."""
    n.add(
        "DebugIdentityV2", n.const(floats(1)), T=FLOAT, tfdbg_context_id="x", op_name="x",
        output_slot=0, tensor_debug_mode=2, debug_urls=[f"file://{t.write}"],
    )  # fmt: skip
    return Caught(n.last())


def copy_host(n: Nodes, t: Target) -> Caught:
    """A copy that debug ops hang on."""
    spec = [f"DebugIdentity;file://{t.write};0"]
    n.add("CopyHost", n.const(floats(1)), T=FLOAT, tensor_name="x:0", debug_ops_spec=spec)
    return Caught(n.last())


def print_to_file(n: Nodes, t: Target) -> Caught:
    """A print whose stream is a file."""
    n.add("PrintV2", n.const("written"), output_stream=f"file://{t.write}", end="\n")
    return Caught(n.last())


def print_to_log(n: Nodes, t: Target) -> Caught:
    """Fills the log."""
    x = n.const(floats(1))
    n.add("Print", x, x, T=FLOAT, U=[FLOAT], message="forged log line")
    return Caught(n.last())


def save(n: Nodes, t: Target) -> Caught:
    """Checkpoints are files."""
    n.add(
        "SaveV2", n.const(t.write), n.const(["x"]), n.const([""]), n.const(floats(1)),
        dtypes=[FLOAT],
    )  # fmt: skip
    return Caught(n.last())


def save_v1(n: Nodes, t: Target) -> Caught:
    """The older form."""
    n.add("Save", n.const(t.write), n.const(["x"]), n.const(floats(1)), T=[FLOAT])
    return Caught(n.last())


def restore(n: Nodes, t: Target) -> Caught:
    """Other models' weights are checkpoints too."""
    n.add(
        "RestoreV2", n.const(t.read), n.const(["x"]), n.const([""]), out="tensors", dtypes=[FLOAT]
    )
    return Caught(n.last())


def restore_v1(n: Nodes, t: Target) -> Caught:
    """The older form."""
    n.add("Restore", n.const(t.read), n.const("x"), out="tensor", dt=FLOAT)
    return Caught(n.last())


def restore_slice(n: Nodes, t: Target) -> Caught:
    """A part of it."""
    n.add("RestoreSlice", n.const(t.read), n.const("x"), n.const(""), out="tensor", dt=FLOAT)
    return Caught(n.last())


def merge_checkpoints(n: Nodes, t: Target) -> Caught:
    """Moves checkpoints and deletes folders."""
    n.add(
        "MergeV2Checkpoints", n.const([t.read]), n.const(t.write), delete_old_dirs=True,
    )  # fmt: skip
    return Caught(n.last())


def table_from_file(n: Nodes, t: Target) -> Caught:
    """A lookup table may be filled from any file."""
    table = n.add("HashTableV2", out="table_handle", key_dtype=STRING, value_dtype=LONG)
    n.add(
        "InitializeTableFromTextFileV2", table, n.const(t.read), key_index=-2, value_index=-1,
        vocab_size=-1, delimiter="\t",
    )  # fmt: skip
    return Caught(n.last())


def table_from_file_v1(n: Nodes, t: Target) -> Caught:
    """The older form."""
    table = n.add("HashTable", out="table_handle", key_dtype=STRING, value_dtype=LONG)
    n.add("InitializeTableFromTextFile", table, n.const(t.read), key_index=-2, value_index=-1)
    return Caught(n.last())


def _iterate(n: Nodes, dataset: str, dtype: Any) -> str:
    types, shapes = [dtype], [SCALAR]
    n.add("OneShotIterator", out="handle", output_types=types, output_shapes=shapes)
    n.nodes.pop()
    iterator = n.add(
        "IteratorV2", out="handle", shared_name="it", container="", output_types=types,
        output_shapes=shapes,
    )  # fmt: skip
    n.add("MakeIterator", dataset, iterator)
    made = n.last()
    return n.add(
        "IteratorGetNext", iterator, f"^{made}", out="components", output_types=types,
        output_shapes=shapes,
    )  # fmt: skip


def text_lines(n: Nodes, t: Target) -> Caught:
    """Datasets read files."""
    dataset = n.add(
        "TextLineDataset", n.const([t.read]), n.const(""), n.const(0, LONG), out="handle"
    )
    loot = _iterate(n, dataset, STRING)
    return Caught(n.last(), loot)


def records(n: Nodes, t: Target) -> Caught:
    """In several formats."""
    dataset = n.add(
        "TFRecordDataset", n.const([t.read]), n.const(""), n.const(0, LONG), out="handle"
    )
    _iterate(n, dataset, STRING)
    return Caught(n.last())


def _dataset(n: Nodes) -> str:
    tensors = n.const(floats(1))
    return n.add(
        "TensorDataset", tensors, out="handle", Toutput_types=[FLOAT],
        output_shapes=[tf.TensorShape([1])],
    )  # fmt: skip


def cache_dataset(n: Nodes, t: Target) -> Caught:
    """A cache in a file."""
    kinds = {"output_types": [FLOAT], "output_shapes": [tf.TensorShape([1])]}
    data = n.add("CacheDataset", _dataset(n), n.const(t.write), out="handle", **kinds)
    _iterate(n, data, FLOAT)
    return Caught(n.last())


def snapshot_dataset(n: Nodes, t: Target) -> Caught:
    """A snapshot in a folder."""
    kinds = {"output_types": [FLOAT], "output_shapes": [tf.TensorShape([1])]}
    n.add("SnapshotDataset", _dataset(n), n.const(t.write), out="handle", **kinds)
    return Caught(n.last())


def register_dataset(n: Nodes, t: Target) -> Caught:
    """A connection to wherever the graph says."""
    address, protocol = n.const(t.address), n.const("grpc")
    n.add(
        "RegisterDataset", _dataset(n), address, protocol, out="dataset_id", external_state_policy=0
    )
    return Caught(n.last())


def summary_writer(op: str, *more: int | str) -> Attack:
    """Summaries are files."""

    def build(n: Nodes, t: Target) -> Caught:
        writer = n.add("SummaryWriter", out="writer", shared_name="w")
        values = [n.const(one, INT if isinstance(one, int) else STRING) for one in more]
        n.add(op, writer, n.const(t.write), *values)
        return Caught(n.last())

    return build


def reader(op: str, **attributes: Any) -> Attack:
    """Readers take names of files from a queue."""

    def build(n: Nodes, t: Target) -> Caught:
        queue = n.add("FIFOQueueV2", out="handle", component_types=[STRING])
        n.add("QueueEnqueueV2", queue, n.const(t.read), Tcomponents=[STRING])
        filled = n.last()
        handle = n.add(op, out="reader_handle", **attributes)
        n.add("ReaderReadV2", handle, queue, f"^{filled}", out="key")
        node = n.last()
        return Caught(node, f"{node}:value:0" if n.in_function else f"{node}:1")

    return build


def sampler_with_file(n: Nodes, t: Target) -> Caught:
    """An attribute of a sampler is a file."""
    n.add(
        "FixedUnigramCandidateSampler", n.const([[1]], LONG), out="sampled_candidates", num_true=1,
        num_sampled=1, unique=True, range_max=5, vocab_file=t.read, distortion=1.0,
        num_reserved_ids=0, num_shards=1, shard=0, unigrams=[], seed=0, seed2=0,
    )  # fmt: skip
    return Caught(n.last())


def vocabulary_remapping(n: Nodes, t: Target) -> Caught:
    """Two more files."""
    n.add(
        "GenerateVocabRemapping", n.const(t.read), n.const(t.read), out="remapping",
        new_vocab_offset=0, num_new_vocab=1,
    )  # fmt: skip
    return Caught(n.last())


def remap_matrix(n: Nodes, t: Target) -> Caught:
    """A checkpoint, read by yet another op."""
    numbers = n.const([0], LONG)
    n.add(
        "LoadAndRemapMatrix", n.const(t.read), n.const("x"), numbers, numbers,
        n.const(floats()), out="output_matrix", num_rows=1, num_cols=1,
    )  # fmt: skip
    return Caught(n.last())


def matching_files(n: Nodes, t: Target) -> Caught:
    """What is there at all."""
    found = n.add("MatchingFiles", n.const(f"{t.read}*"), out="filenames")
    loot = n.add("ReduceJoin", found, n.const([0]), separator=",")
    return Caught(n.last(), loot)


def descriptors(n: Nodes, t: Target) -> Caught:
    """The schema of a protobuf message may be a file."""
    n.add(
        "DecodeProtoV2", n.const([b""]), out="sizes", message_type="x", field_names=["a"],
        output_types=[FLOAT], descriptor_source=t.read,
    )  # fmt: skip
    return Caught(n.last())


def encoded_descriptors(n: Nodes, t: Target) -> Caught:
    """The same when writing one."""
    n.add(
        "EncodeProto", n.const([[1]], INT), n.const([[1.0]], FLOAT), out="bytes", field_names=["a"],
        message_type="x", Tinput_types=[FLOAT], descriptor_source=t.read,
    )  # fmt: skip
    return Caught(n.last())


def simple(op: str, *values: Any, **attributes: Any) -> Attack:
    """An op of constants."""

    def build(n: Nodes, t: Target) -> Caught:
        known = {"{read}": t.read, "{write}": t.write, "{address}": t.address}
        given = [n.const(known.get(v, v) if isinstance(v, str) else v) for v in values]
        texts = {k: known.get(v, v) if isinstance(v, str) else v for k, v in attributes.items()}
        n.add(op, *given, **texts)
        return Caught(n.last())

    return build


def scheme(prefix: str) -> Attack:
    """Other file systems that TensorFlow knows."""

    def build(n: Nodes, t: Target) -> Caught:
        loot = n.add("ReadFile", n.const(f"{prefix}{t.read}"), out="contents")
        return Caught(n.last(), loot)

    return build


def forged_handle(n: Nodes, t: Target) -> Caught:
    """A constant that claims to be a handle to a resource."""
    tensor = tf.compat.v1.make_tensor_proto(0.0)
    tensor.Clear()
    tensor.dtype = tf.resource.as_datatype_enum
    tensor.tensor_shape.SetInParent()
    handle = tensor.resource_handle_val.add()
    handle.device, handle.container, handle.name = "/job:localhost", "localhost", "w"
    held = n.add("Const", dtype=tf.resource, value=tensor)
    n.add("ReadVariableOp", held, out="value", dtype=FLOAT)
    return Caught(n.last())


def forged_object(n: Nodes, t: Target) -> Caught:
    """A constant that claims to be an object of any registered type."""
    tensor = tf.compat.v1.make_tensor_proto(0.0)
    tensor.Clear()
    tensor.dtype = tf.variant.as_datatype_enum
    tensor.tensor_shape.SetInParent()
    tensor.variant_val.add().type_name = "tensorflow::DatasetVariantWrapper"
    n.add("Const", dtype=tf.variant, value=tensor)
    return Caught(n.last())


# Alone, in the graph itself. Not here, since today's TensorFlow has no such ops and these would be
# no more than "an op of nobody": TRTEngineOp, which only builds with TensorRT register, and
# RemoteFusedGraphExecute, which is gone.
ALONE: dict[str, tuple[Attack, str]] = {
    "ReadFile": (read_file, "read"),
    "WriteFile": (write_file, "write"),
    "ImmutableConst": (immutable_const, "read"),
    "MatchingFiles": (matching_files, "read"),
    "DebugIdentity": (debug("DebugIdentity"), "write"),
    "DebugIdentity to a connection": (debug_connection("DebugIdentity"), "connect"),
    "DebugNanCount to a connection": (debug_connection("DebugNanCount"), "connect"),
    "DebugNumericSummary to a connection": (debug_connection("DebugNumericSummary"), "connect"),
    "DebugIdentityV2": (debug_v2, ""),
    "DebugNanCount": (debug("DebugNanCount"), "write"),
    "DebugNumericSummary": (debug("DebugNumericSummary"), "write"),
    "CopyHost": (copy_host, ""),
    "PrintV2": (print_to_file, "write"),
    "Print": (print_to_log, ""),
    "SaveV2": (save, "write"),
    "Save": (save_v1, "write"),
    "RestoreV2": (restore, ""),
    "Restore": (restore_v1, ""),
    "RestoreSlice": (restore_slice, ""),
    "MergeV2Checkpoints": (merge_checkpoints, ""),
    "InitializeTableFromTextFileV2": (table_from_file, ""),
    "InitializeTableFromTextFile": (table_from_file_v1, ""),
    "TextLineDataset": (text_lines, "read"),
    "TFRecordDataset": (records, ""),
    "CacheDataset": (cache_dataset, ""),
    "SnapshotDataset": (snapshot_dataset, ""),
    "RegisterDataset": (register_dataset, ""),
    "CreateSummaryFileWriter": (summary_writer("CreateSummaryFileWriter", 1, 1, "x"), "write"),
    "CreateSummaryDbWriter": (summary_writer("CreateSummaryDbWriter", "x", "x", "x"), ""),
    "TextLineReaderV2": (reader("TextLineReaderV2"), "read"),
    "WholeFileReaderV2": (reader("WholeFileReaderV2"), "read"),
    "FixedLengthRecordReaderV2": (reader("FixedLengthRecordReaderV2", record_bytes=1), "read"),
    "TFRecordReaderV2": (reader("TFRecordReaderV2"), ""),
    "LMDBReader": (simple("LMDBReader", out="reader_handle"), ""),
    "FixedUnigramCandidateSampler": (sampler_with_file, ""),
    "GenerateVocabRemapping": (vocabulary_remapping, ""),
    "LoadAndRemapMatrix": (remap_matrix, ""),
    "DecodeProtoV2 with a file": (descriptors, ""),
    "EncodeProto with a file": (encoded_descriptors, ""),
    "ReadFile from another machine": (scheme("gs:/"), ""),
    "ReadFile from shared memory": (scheme("ram:/"), ""),
    "ReadFile with a scheme": (scheme("file://"), "read"),
    "PyFunc": (simple("PyFunc", token="pyfunc_0", Tin=[], Tout=[FLOAT]), ""),
    "PyFuncStateless": (simple("PyFuncStateless", token="pyfunc_0", Tin=[], Tout=[FLOAT]), ""),
    "EagerPyFunc": (simple("EagerPyFunc", token="pyfunc_0", Tin=[], Tout=[FLOAT]), ""),
    "Abort": (simple("Abort", error_msg="x"), ""),
    "Empty": (simple("Empty", [1000], dtype=FLOAT, init=False), ""),
    "FakeParam": (simple("FakeParam", dtype=FLOAT, shape=tf.TensorShape([1000])), ""),
    "TemporaryVariable": (
        simple("TemporaryVariable", out="ref", dtype=FLOAT, shape=tf.TensorShape([1000])), "",
    ),
    "Send": (
        simple("_HostSend", floats(1), T=FLOAT, tensor_name="x", send_device="/cpu:0",
               send_device_incarnation=1, recv_device="/cpu:0"), "",
    ),
    "Recv": (
        simple("_Recv", tensor_type=FLOAT, tensor_name="x", send_device="/cpu:0",
               send_device_incarnation=1, recv_device="/cpu:0"), "",
    ),
    "CollectiveReduce": (
        simple("CollectiveReduce", floats(1), T=FLOAT, group_size=2, group_key=1, instance_key=1,
               merge_op="Add", final_op="Id", subdiv_offsets=[0]), "",
    ),
    "CollectiveBcastRecv": (
        simple("CollectiveBcastRecv", out="data", T=FLOAT, group_size=2, group_key=1,
               instance_key=1, shape=SCALAR), "",
    ),
    "RpcClient": (
        simple("RpcClient", "{address}", np.int64(1000), out="client", shared_name="",
               list_registered_methods=True), "connect",
    ),
    "RpcServer": (simple("RpcServer", "{address}", out="server"), ""),
    "Stage": (simple("Stage", floats(1), dtypes=[FLOAT], shared_name="x"), ""),
    "Unstage": (simple("Unstage", dtypes=[FLOAT], shared_name="x"), ""),
    "FIFOQueueV2": (simple("FIFOQueueV2", component_types=[FLOAT], shared_name="x"), ""),
    "Barrier": (simple("Barrier", component_types=[FLOAT], shared_name="x"), ""),
    "MutexV2": (simple("MutexV2", shared_name="x"), ""),
    "GetSessionHandleV2": (simple("GetSessionHandleV2", floats(1), T=FLOAT), ""),
    "GetSessionTensor": (simple("GetSessionTensor", "x", dtype=FLOAT), ""),
    "FileSystemSetConfiguration": (
        simple("FileSystemSetConfiguration", "file", "key", "value"), "",
    ),
    "DumpTensor": (
        simple("DumpTensor", floats(1), T=FLOAT, log_dir_path="{write}", file_name="x",
               enabled=True, func_name="x", node_name="x"), "",
    ),
    "SleepOp": (simple("SleepOp", 10**6), ""),
    "XlaCallModule": (
        simple("XlaCallModule", version=5, module="x", Sout=[], Tout=[], Tin=[]), "",
    ),
    "XlaCustomCall": (
        simple("XlaCustomCall", target_name="system", backend_config="", T=[], dtype=FLOAT,
               shape=SCALAR), "",
    ),
    "XlaCustomCallV2": (
        simple("XlaCustomCallV2", call_target_name="system", backend_config="",
               has_side_effect=True, operand_dtypes=[], result_dtypes=[], result_shapes=[]), "",
    ),
    "MlirPassthroughOp": (
        simple("MlirPassthroughOp", mlir_module="module {}", Tinputs=[], Toutputs=[FLOAT]), "",
    ),
    "TfLiteSubgraphExecute": (simple("TfLiteSubgraphExecute", "x", Tin=[], Tout=[FLOAT]), ""),
    "ConfigureDistributedTPU": (simple("ConfigureDistributedTPU"), ""),
    "WorkerHeartbeat": (simple("WorkerHeartbeat", "x"), ""),
    "an op of nobody": (simple("NoSuchOp"), ""),
    "an op of another library": (simple("Addons>ReadAnything", "{read}"), ""),
    "an internal op": (simple("_Arg", index=0, T=FLOAT), ""),
    "an op in other letters": (simple("readfile", "{read}"), ""),
    "a forged handle": (forged_handle, ""),
    "a forged object": (forged_object, ""),
    "ParseTensor of a handle": (simple("ParseTensor", b"", out_type=tf.resource), ""),
    "ParseTensor of an object": (simple("ParseTensor", b"", out_type=tf.variant), ""),
}  # fmt: skip
