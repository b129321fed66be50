"""Two principals of one accelerator: nothing of one reaches the other, nor whether it was there.

The daemon is a real one. The one principal leaves its traces; then the accelerator is the other's.
Queues, barriers and files of any scheme (`ram://` too) never come so far: admission refuses them,
see the corpus of hostile graphs. Here the operator allows some of them, and still nothing crosses.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf.message import Message

from accel_daemon.iam.principals import Key
from accel_protocol.errors import AcceleratorError
from accel_protocol.manifest import SAVED_MODEL, Selection
from accel_protocol.methods import ERROR_METADATA, METHODS
from accel_protocol.v1 import accelerator_pb2 as pb
from client_runtime import EIPredictor, connect
from client_runtime.models import bundle as bundles
from client_runtime.models import saved_model
from client_runtime.models.bundle import Bundle
from client_runtime.transport.channel import call, metadata
from client_runtime.transport.grants import Grant
from client_runtime.transport.uploading import upload
from tests.conftest import start_daemon, use_home
from tests.integration.conftest import HASTY
from tests.integration.open_stream import streams
from tests.integration.realm import Realm
from tests.integration.test_refusals import other_home

NOBODYS = hashlib.sha256(b"what nobody has").digest()
HALF = b"half of what is announced"
SIZE = 2 * len(HALF)
ALLOWED = ("FIFOQueueV2", "QueueEnqueueV2", "QueueSizeV2", "MatchingFiles", "WriteFile")
v1 = tf.compat.v1


@dataclass(frozen=True)
class Left:
    """What `good` left on the accelerator, which is `other`'s then."""

    realm: Realm
    model: Path
    bundle: Bundle
    counts: list[tuple[int, int]]
    meeting: Path
    met: list[tuple[int, int]]
    grant: Grant


def counting(folder: Path, start: int = 0) -> Path:
    """A model with a variable and a table of fixed shared names, and a call changes both."""
    with v1.Session(graph=tf.Graph()) as session:
        x = v1.placeholder(tf.int64, [], name="x")
        variable = v1.get_variable(
            "shared", [], tf.int64, v1.constant_initializer(start), use_resource=True
        )
        table = tf.raw_ops.MutableHashTableV2(
            key_dtype=tf.int64, value_dtype=tf.int64, shared_name="shared_table"
        )
        key = tf.reshape(x, [1])
        insert = tf.raw_ops.LookupTableInsertV2(table_handle=table, keys=key, values=key)
        with tf.control_dependencies([insert]):
            size = tf.raw_ops.LookupTableSizeV2(table_handle=table)
        outputs = {"count": tf.identity(variable.assign_add(1)), "size": size}
        session.run(v1.global_variables_initializer())
        signature = v1.saved_model.predict_signature_def({"x": x}, outputs)
        builder = v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature})
        builder.save()
    return folder


def meeting(folder: Path) -> Path:
    """A model with a queue and a file in memory, of names that anybody could have chosen.

    It gives how long the queue is with what was put in now, and how many files there were before.
    """
    ops = tf.raw_ops
    with v1.Session(graph=tf.Graph()) as session:
        x = v1.placeholder(tf.int64, [], name="x")
        queue = ops.FIFOQueueV2(component_types=[tf.int64], shared_name="shared_queue")
        with tf.control_dependencies([ops.QueueEnqueueV2(handle=queue, components=[x])]):
            count = ops.QueueSizeV2(handle=queue)
        size = tf.size(ops.MatchingFiles(pattern="ram://shared/*"))
        with tf.control_dependencies([size]):
            written = ops.WriteFile(filename="ram://shared/file", contents="secret")
        with tf.control_dependencies([written]):
            outputs = {"count": tf.identity(count), "size": tf.identity(size)}
        signature = v1.saved_model.predict_signature_def({"x": x}, outputs)
        builder = v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature})
        builder.save()
    return folder


def count_thrice(
    monkeypatch: pytest.MonkeyPatch, realm: Realm, key: Key, model: Path, folder: Path
) -> list[tuple[int, int]]:
    """What the model answers to a principal, three times."""
    named = {"access_key_id": key.access_key_id, "secret_access_key": key.secret_access_key}
    use_home(monkeypatch, other_home(folder, realm.daemon, **named))
    with connect() as attachment, EIPredictor(model, attachment=attachment) as predictor:
        answers = [predictor({"x": np.array(number, np.int64)}) for number in (11, 12, 13)]
    return [(int(one["count"]), int(one["size"])) for one in answers]


def bring(realm: Realm, grant: Grant, bundle: Bundle) -> None:
    """Upload a model and half a file as `good`, who can name both from then on."""
    with realm.channel(grant) as channel:
        upload(channel, grant, bundle)
        whole = pb.LoadRequest(manifest=bundle.manifest.canonical())
        list(call(channel, grant, "Load", whole))
        list(call(channel, grant, "Load", pb.LoadRequest(graph_id=bundle.graph_id)))
        call(channel, grant, "Upload", iter([pb.UploadRequest(blob=half(), data=HALF)]))
        found = call(channel, grant, "FindMissing", pb.FindMissingRequest(blobs=[half()]))
        assert found.missing[0].committed_bytes == len(HALF)


def file_of(digest: bytes) -> pb.Blob:
    """A file of a digest that is asked for, as long as the half one is when it is whole."""
    return pb.Blob(sha256=digest, size=SIZE)


def half() -> pb.Blob:
    """A file of which a half is there."""
    return pb.Blob(sha256=hashlib.sha256(HALF * 2).digest(), size=SIZE)


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Left]:
    """A daemon with one accelerator, after the one principal and with the other one on it."""
    os.environ.pop("EI_VISIBLE_DEVICES", None)
    allowed = (word for op in ALLOWED for word in ("--allow-op", f"{op}=to try what crosses"))
    home = tmp_path_factory.mktemp("realm")
    running = start_daemon(home, "--port", "0", *allowed, program=HASTY)
    realm = Realm(running)
    realm.add_users()
    model = counting(tmp_path_factory.mktemp("counting") / "model")
    # None of these files is one of the model that both have.
    files = saved_model.bundle_files(counting(tmp_path_factory.mktemp("own") / "model", start=5))
    assert not {p.read_bytes() for p in files.values()} & {
        p.read_bytes() for p in saved_model.bundle_files(model).values()
    }
    bundle = bundles.make_bundle(files, SAVED_MODEL, Selection(signature="serving_default"))
    with pytest.MonkeyPatch.context() as patch:
        counts = count_thrice(patch, realm, realm.good, model, model.parent)
        together = meeting(tmp_path_factory.mktemp("meeting") / "model")
        met = count_thrice(patch, realm, realm.good, together, together.parent)
    bring(realm, realm.connect(realm.good), bundle)
    yield Left(realm, model, bundle, counts, together, met, realm.connect(realm.other))
    assert running.stop() == 0


def test_variables_and_tables_begin_anew(
    left: Left, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With the same model, and so with equal shared names."""
    expected = [(1, 1), (2, 2), (3, 3)]
    assert left.counts == expected
    realm = left.realm
    assert count_thrice(monkeypatch, realm, realm.other, left.model, tmp_path) == expected


def test_queues_and_files_in_memory_begin_anew(
    left: Left, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With the same names, and ops that the operator allows."""
    expected = [(1, 0), (2, 1), (3, 1)]
    assert left.met == expected
    realm = left.realm
    assert count_thrice(monkeypatch, realm, realm.other, left.meeting, tmp_path) == expected


def seen(left: Left, name: str, request: Message, digest: bytes) -> tuple[Any, ...]:
    """All that a caller sees of a call but for its time, the digest and the call's own id."""
    with left.realm.channel(left.grant) as channel:
        opened = channel.stream_stream(METHODS[name].path)
        answers = opened(iter([request.SerializeToString()]), metadata=metadata(left.grant))
        messages = []
        with suppress(grpc.RpcError):
            messages.extend(one.replace(digest, bytes(32)) for one in answers)
    trailers = dict(answers.trailing_metadata())
    error = pb.Error.FromString(trailers.pop(ERROR_METADATA, b""))
    first = [key for key, _ in answers.initial_metadata()]
    identified = bool(error.request_id)
    error.ClearField("request_id")
    known = (identified, error.SerializeToString(), sorted(trailers), first)
    return (answers.code(), answers.details(), messages, *known)


@pytest.mark.parametrize(
    ("name", "ask"),
    [
        ("FindMissing", lambda digest: pb.FindMissingRequest(blobs=[file_of(digest)])),
        ("Upload", lambda digest: pb.UploadRequest(blob=file_of(digest), offset=5, data=b"x")),
        ("Upload", lambda digest: pb.UploadRequest(blob=file_of(digest), data=b"x" * SIZE)),
        ("Load", lambda digest: pb.LoadRequest(graph_id=digest)),
        ("Unload", lambda digest: pb.UnloadRequest(graph_id=digest)),
    ],
    ids=["asking", "going on", "wrong bytes", "loading", "unloading"],
)
def test_answers_about_what_others_have_are_those_about_nobodys(
    left: Left, name: str, ask: Callable[[bytes], Message]
) -> None:
    """Status, error, messages and metadata, to the byte: of whole files, half ones and graphs."""
    files = [bytes.fromhex(file.sha256) for file in left.bundle.manifest.files]
    theirs = [*files, half().sha256, left.bundle.graph_id]
    about = {digest: seen(left, name, ask(digest), digest) for digest in (NOBODYS, *theirs)}
    assert len(about) >= 4
    assert all(one == about[NOBODYS] for one in about.values()), about


def test_files_of_others_look_like_nobodys(left: Left) -> None:
    """Whole ones, half ones, and those that never were: all of each is missing."""
    theirs = [
        pb.Blob(sha256=bytes.fromhex(f.sha256), size=f.size) for f in left.bundle.manifest.files
    ]
    blobs = [*theirs, half(), pb.Blob(sha256=NOBODYS, size=10)]
    with left.realm.channel(left.grant) as channel:
        request = pb.FindMissingRequest(blobs=blobs)
        missing = call(channel, left.grant, "FindMissing", request).missing
    found = {(one.sha256, one.committed_bytes) for one in missing}
    assert found == {(one.sha256, 0) for one in blobs}


def test_graphs_of_others_cannot_be_loaded_like_nobodys(left: Left) -> None:
    """The same error, to the word."""
    errors = []
    with left.realm.channel(left.grant) as channel:
        for graph_id in (left.bundle.graph_id, NOBODYS):
            with pytest.raises(AcceleratorError) as caught:
                list(call(channel, left.grant, "Load", pb.LoadRequest(graph_id=graph_id)))
            error = caught.value
            errors.append((error.reason, error.message, error.remedy, error.fields))
    assert errors[0] == errors[1]
    assert errors[0][0] == "MODEL_MISSING"


def test_graphs_of_others_cannot_be_run_like_nobodys(left: Left) -> None:
    """On a stream: the same error, to the word."""
    realm, grant, both = left.realm, left.grant, (left.bundle.graph_id, NOBODYS)
    with realm.channel(grant) as channel, streams(realm.endpoint, channel, grant) as opened:
        errors = [stream.call(graph) for stream in opened for graph in both]
    for error in errors:
        assert error.reason == "MODEL_MISSING"
        error.ClearField("request_id")
    assert all(error == errors[0] for error in errors)
