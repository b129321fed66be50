"""What one client may cost an accelerator: every bound, its unit and its reason, in one place.

Both sides start from `DEFAULT_LIMITS`; an accelerator reports its own in GetCapabilities.
"""

from __future__ import annotations

from dataclasses import dataclass

from accel_protocol.errors import LimitError

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

PROTOCOL_VERSION = 1
# A chunk or payload below it that does not end its file or call is small: see `Limits`.
SMALL_BYTES = 64 * KIB


@dataclass(frozen=True)
class Limits:
    """Upper bounds, inclusive. The fields are those of `accel.v1.Limits`, a test holds them equal.

    Attributes:
        message_bytes: one message; far above a piece, far below what hurts a shared event loop.
        piece_bytes: payload per message of a large call; 1 MiB measured fastest over TLS.
        call_bytes: all tensors of one call in one direction; what one call may hold in memory.
        call_tensors: tensors of one call in one direction; each costs a header and an array.
        tensor_rank: dimensions; NumPy 1 stops at 32, TensorFlow's kernels far below.
        tensor_elements: elements of one tensor; keeps sizes inside 64-bit arithmetic by far.
        file_bytes: one file of a model bundle; the largest variable shards seen are a few GiB.
        bundle_files: files of one bundle; a SavedModel has a handful, sharded ones hundreds.
        manifest_bytes: one manifest; hundreds of files and thousands of names fit.
        concurrent_runs: calls inside the engine at one time; more only contend for cores.
        queued_runs: calls waiting for a place; beyond it waiting would outlast any patience.
        streams: Run streams open at one time; each costs memory even when idle.
        ticket_characters: a ticket is some 500 characters; longer ones are not ours.
        metadata_bytes: metadata of one call; a ticket and little else.
        store_bytes: a principal's files on disk, manifests included.
        graph_messages: messages in the file of a graph; each becomes some hundred bytes in memory.
        graph_nodes: nodes of what is loaded of a graph, functions included; the largest models of
            keras.applications have some 10 000.
        inlined_nodes: the same with every call replaced by what it calls.
        function_depth: functions that call each other in a row; TensorFlow recurses into them.
        attribute_bytes: a node's name, inputs and attributes but constants; the largest seen are
            shapes of some KiB.
        connections: open at one time; each costs a descriptor and some ten KiB of TLS, of anyone.
        upload_small_chunks: of one Upload; whoever sends pieces never has one. A chunk costs a trip
            to a thread, however small, so a million of one byte must not be free.
        run_small_frames: the same for the payload of one call of a Run stream.
        idle_call_seconds: until the next message of a call that has begun, or until one of its
            answer is read; until then it holds the memory of what it announced or was answered.
            Networks that are silent for longer are cut.
        other_calls: in progress at one time, from before their request came until their answer was
            taken, Run streams not counted; each may hold a thread.
    """

    message_bytes: int = 4 * MIB
    piece_bytes: int = 1 * MIB
    call_bytes: int = 4 * GIB
    call_tensors: int = 1024
    tensor_rank: int = 32
    tensor_elements: int = 2**32
    file_bytes: int = 8 * GIB
    bundle_files: int = 1024
    manifest_bytes: int = 1 * MIB
    concurrent_runs: int = 16
    queued_runs: int = 256
    streams: int = 1024
    ticket_characters: int = 4096
    metadata_bytes: int = 16 * KIB
    store_bytes: int = 64 * GIB
    graph_messages: int = 4_000_000
    graph_nodes: int = 100_000
    inlined_nodes: int = 1_000_000
    function_depth: int = 64
    attribute_bytes: int = 1 * MIB
    connections: int = 2048
    upload_small_chunks: int = 1024
    run_small_frames: int = 1024
    idle_call_seconds: int = 60
    other_calls: int = 64

    def check(self, name: str, actual: int) -> None:
        """Raise LimitError when `actual` is above the limit called `name`."""
        limit = getattr(self, name)
        if actual > limit:
            raise LimitError(
                f"{name} is limited to {limit}, and this call has {actual}.",
                fields={"name": name, "limit": str(limit), "actual": str(actual)},
            )


DEFAULT_LIMITS = Limits()
