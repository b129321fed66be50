"""SavedModels whose restore, initialization or assets are hostile: nothing of them is run."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorflow.core.protobuf import saved_model_pb2

from accel_daemon.engines.tensorflow_admission import Policy
from accel_daemon.engines.tensorflow_import import admitted_part
from accel_daemon.engines.tensorflow_restore import read_state
from accel_daemon.engines.tensorflow_saved_model import read_meta_graph
from accel_protocol.errors import AcceleratorError, LimitError, ModelError
from accel_protocol.limits import DEFAULT_LIMITS, Limits
from accel_protocol.manifest import Selection
from tests.accel_daemon.engines.conftest import (
    Signatures,
    X,
    assert_safe,
    load,
    local_run,
    named,
    save_graph,
)
from tests.accel_daemon.engines.graph_builder import fill

tf1 = tf.compat.v1
Change = Callable[[Any], None]


def changed(folder: Path, target: Path, change: Change) -> Path:
    """A copy of a SavedModel whose first graph is changed."""
    shutil.copytree(folder, target)
    file = target / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    change(model.meta_graphs[0])
    file.write_bytes(model.SerializeToString())
    return target


def add_node(graph_def: Any, op: str, name: str, *inputs: str, **attributes: Any) -> None:
    """Add a node to a graph."""
    node = graph_def.node.add(name=name, op=op, input=inputs)
    for key, value in attributes.items():
        fill(node.attr[key], value)


def write_attack(graph_def: Any, path: Path) -> None:
    """Add the op "attack", which writes a file."""
    for name, text in (("attack/path", str(path)), ("attack/text", "written")):
        value = tf1.make_tensor_proto(text)
        add_node(graph_def, "Const", name, dtype=tf.string, value=value)
    add_node(graph_def, "WriteFile", "attack", "attack/path", "attack/text")


def as_main_op(meta: Any) -> None:
    """As exports of TensorFlow 1 have it."""
    meta.collection_def["saved_model_main_op"].node_list.value.append("attack")


def as_legacy_init_op(meta: Any) -> None:
    """As older ones have it."""
    meta.collection_def["legacy_init_op"].node_list.value.append("attack")


def as_init_signature(meta: Any) -> None:
    """As exports of TensorFlow 2 have it."""
    key = "__saved_model_init_op"
    meta.signature_def[key].outputs[key].name = "attack"


def behind_the_init_op(meta: Any) -> None:
    """Something the initialization waits for."""
    add_node(meta.graph_def, "NoOp", "init", "^attack")
    meta.collection_def["saved_model_main_op"].node_list.value.append("init")


@pytest.mark.parametrize(
    "hang", [as_main_op, as_legacy_init_op, as_init_signature, behind_the_init_op]
)
def test_an_initialization_is_admitted_like_all_else(
    numbers_folder: Path, tmp_path: Path, hang: Change
) -> None:
    """What it reaches has to be on the list too; a refusal runs nothing of it."""
    written = tmp_path / "written"

    def change(meta: Any) -> None:
        write_attack(meta.graph_def, written)
        hang(meta)

    with pytest.raises(ModelError, match="WriteFile") as caught:
        load(changed(numbers_folder, tmp_path / "model", change))
    assert caught.value.reason == "OP_REFUSED"
    assert not written.exists()


def test_what_nothing_asks_for_is_left_out(numbers_folder: Path, tmp_path: Path) -> None:
    """An op that no fetch and no initialization reaches does no harm, and is no refusal."""
    written = tmp_path / "written"
    folder = changed(
        numbers_folder, tmp_path / "model", lambda meta: write_attack(meta.graph_def, written)
    )
    assert load(folder).run({"x": X}, None)["total"] > 0
    assert not written.exists()


def test_a_restore_op_is_read_and_not_run(numbers_folder: Path, tmp_path: Path) -> None:
    """What it does beside restoring does not happen."""
    written = tmp_path / "written"

    def change(meta: Any) -> None:
        write_attack(meta.graph_def, written)
        for node in meta.graph_def.node:
            if node.name == meta.saver_def.restore_op_name:
                node.input.append("^attack")

    graph = load(changed(numbers_folder, tmp_path / "model", change))
    expected = local_run(numbers_folder, ["serve"], ["total:0"], {"x:0": X})[0]
    assert graph.run({"x": X}, None)["total"] == expected
    assert not written.exists()


def test_variables_come_from_the_bundle_alone(numbers_folder: Path, tmp_path: Path) -> None:
    """Whatever path the restore op names."""

    def change(meta: Any) -> None:
        name = meta.saver_def.filename_tensor_name.partition(":")[0]
        for node in meta.graph_def.node:
            if node.op == "RestoreV2":
                node.input[0] = "elsewhere"
            assert node.name != name or node.op in ("Placeholder", "PlaceholderWithDefault")
        value = tf1.make_tensor_proto("/private/place/variables")
        add_node(meta.graph_def, "Const", "elsewhere", dtype=tf.string, value=value)

    graph = load(changed(numbers_folder, tmp_path / "model", change))
    expected = local_run(numbers_folder, ["serve"], ["total:0"], {"x:0": X})[0]
    assert graph.run({"x": X}, None)["total"] == expected


def with_vocabulary(path: str) -> Callable[[], Signatures]:
    """A TensorFlow 1 model with a table that is filled from a file."""

    def build() -> Signatures:
        words = tf1.placeholder(tf.string, [None], name="words")
        name = tf.constant(path, name="vocabulary")
        tf1.add_to_collection(tf1.GraphKeys.ASSET_FILEPATHS, name)
        table = tf.lookup.StaticHashTable(
            tf.lookup.TextFileInitializer(
                name, tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64,
                tf.lookup.TextFileIndex.LINE_NUMBER,
            ),
            -1,
        )  # fmt: skip
        ids = table.lookup(words)
        return {"serving_default": ({"words": words}, {"ids": ids})}

    return build


@pytest.fixture(scope="module")
def vocabulary_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of TensorFlow 1 with a vocabulary in its assets."""
    folder = tmp_path_factory.mktemp("vocabulary")
    file = folder / "words.txt"
    file.write_text("null\neins\n")
    with tf1.Session(graph=tf.Graph()) as session:
        (key, (inputs, outputs)), *_ = with_vocabulary(str(file))().items()
        signature = tf1.saved_model.predict_signature_def(dict(inputs), dict(outputs))
        builder = tf1.saved_model.Builder(str(folder / "model"))
        builder.add_meta_graph_and_variables(
            session, ["serve"], {key: signature}, main_op=tf1.tables_initializer(),
            assets_collection=tf1.get_collection(tf1.GraphKeys.ASSET_FILEPATHS),
        )  # fmt: skip
        builder.save()
    file.unlink()
    return folder / "model"


def test_a_vocabulary_of_tensorflow_1_is_read(vocabulary_folder: Path) -> None:
    """From the assets, by the engine."""
    graph = load(vocabulary_folder)
    words = np.array([b"eins", b"zwei"], object)
    assert graph.run({"words": words}, None)["ids"].tolist() == [1, -1]
    assert graph.repeatable


def as_asset(name: str) -> Change:
    """The bundle says that this is the asset's name."""

    def change(meta: Any) -> None:
        del meta.asset_file_def[:]
        meta.asset_file_def.add(filename=name).tensor_info.name = "vocabulary:0"

    return change


def no_asset(meta: Any) -> None:
    """The file's name is a constant of the graph and no asset."""
    del meta.asset_file_def[:]
    if "saved_model_assets" in meta.collection_def:
        del meta.collection_def["saved_model_assets"]


def computed_name(meta: Any) -> None:
    """The file's name is computed from that of an asset."""
    graph_def = meta.graph_def
    tail = tf1.make_tensor_proto("/../../canary.txt")
    add_node(graph_def, "Const", "tail", dtype=tf.string, value=tail)
    add_node(graph_def, "StringJoin", "joined", "vocabulary", "tail", N=2)
    for node in graph_def.node:
        if node.op == "InitializeTableFromTextFileV2":
            node.input[1] = "joined"


@pytest.mark.parametrize(
    "change",
    [
        as_asset("../../canary.txt"),
        as_asset("../canary.txt"),
        as_asset("/etc/passwd"),
        as_asset("link.txt"),
        as_asset("folder/passwd"),
        as_asset("no such file"),
        as_asset(""),
        as_asset("."),
        as_asset("words.txt/../../../canary.txt"),
        as_asset("words.txt\x00"),
        no_asset,
        computed_name,
    ],
    ids=range(12),
)
def test_assets_stay_inside_the_bundle(
    vocabulary_folder: Path, tmp_path: Path, change: Change
) -> None:
    """No name, link or computation leads out of it."""
    (tmp_path / "canary.txt").write_text("secret\n")
    folder = changed(vocabulary_folder, tmp_path / "model", change)
    (folder / "assets" / "link.txt").symlink_to(tmp_path / "canary.txt")
    (folder / "assets" / "folder").symlink_to("/etc")
    with pytest.raises(AcceleratorError) as caught:
        load(folder)
    assert caught.value.reason in ("INVALID_MODEL", "OP_REFUSED")
    assert_safe(caught.value)


def test_no_path_of_the_host_can_be_fetched(words_folder: Path, vocabulary_folder: Path) -> None:
    """What a graph sees of its assets is their names inside the bundle."""
    old = load(vocabulary_folder, named({}, {"y": "vocabulary:0"}))
    assert not old.run({}, None)["y"].item().startswith(str(vocabulary_folder).encode())
    new = load(words_folder, named({}, {"y": "Variable/Read/ReadVariableOp:0"}))
    assert new.run({}, None)["y"].item() == b"vocabulary.txt"


@pytest.mark.parametrize("name", ["accel_restore/Placeholder:0", "accel_restore/RestoreV2:0"])
def test_the_engine_s_own_ops_cannot_be_fetched(numbers_folder: Path, name: str) -> None:
    """They are there only after the fetches were looked up."""
    with pytest.raises(ModelError, match="no tensor"):
        load(numbers_folder, named({}, {"y": name, "total": "total:0"}))


def test_only_variables_that_are_needed_are_restored(numbers_folder: Path, tmp_path: Path) -> None:
    """A model may lack the values of the others."""
    target = tmp_path / "model"
    shutil.copytree(numbers_folder, target)
    shutil.rmtree(target / "variables")
    fixed = np.array([10, 20], np.float32)
    graph = load(target, Selection(signature="fixed"))
    assert graph.run({"fixed": fixed}, None)["doubled"].tolist() == [20, 40]
    with pytest.raises(ModelError, match=r"variables\.index"):
        load(target)


def counting() -> Signatures:
    """A graph that writes a variable, and one that reads what is written under its name."""
    x = tf1.placeholder(tf.float32, [], name="x")
    shared = {"dtype": tf.float32, "shape": [], "shared_name": "w"}
    here = tf.raw_ops.VarHandleOp(**shared)
    again = tf.raw_ops.VarHandleOp(**shared)
    with tf.control_dependencies([tf.raw_ops.AssignVariableOp(resource=here, value=x)]):
        read = tf.raw_ops.ReadVariableOp(resource=here, dtype=tf.float32)
    other = tf.raw_ops.ReadVariableOp(resource=again, dtype=tf.float32)
    return {"serving_default": ({"x": x}, {"y": read}), "spy": ({"x": x}, {"y": other})}


def test_variables_of_one_shared_name_are_apart(tmp_path: Path) -> None:
    """A model that reads what another one of the same name wrote finds nothing."""
    folder = save_graph(tmp_path / "model", counting)
    writer, spy = load(folder), load(folder, Selection(signature="spy"))
    assert writer.run({"x": np.array(7, np.float32)}, None)["y"] == 7
    with pytest.raises(AcceleratorError):
        spy.run({}, None)


def test_the_text_form_is_read_too(numbers_folder: Path, tmp_path: Path) -> None:
    """As TensorFlow's own loader does."""
    target = tmp_path / "model"
    shutil.copytree(numbers_folder, target)
    binary = target / "saved_model.pb"
    (target / "saved_model.pbtxt").write_text(
        text_format.MessageToString(saved_model_pb2.SavedModel.FromString(binary.read_bytes()))
    )
    binary.unlink()
    expected = local_run(numbers_folder, ["serve"], ["total:0"], {"x:0": X})[0]
    assert load(target).run({"x": X}, None)["total"] == expected


@pytest.mark.parametrize("above", [-1, 0, 1])
def test_the_messages_of_a_file_are_counted_before_they_are_parsed(
    tmp_path: Path, above: int
) -> None:
    """One below, at and above the limit: a small file can be a lot of memory."""
    meta = b"\x0a\x02\x22\x00"  # MetaInfoDef with one empty tag
    empty_nodes = b"\x0a\x00" * (1000 + above - 3)
    graph_def = b"\x12" + _length(len(empty_nodes)) + empty_nodes
    body = meta + graph_def
    (tmp_path / "saved_model.pb").write_bytes(b"\x12" + _length(len(body)) + body)
    limits = Limits(graph_messages=1000)
    if above > 0:
        with pytest.raises(LimitError) as caught:
            read_meta_graph(tmp_path, [""], limits)
        assert caught.value.fields["name"] == "graph_messages"
    else:
        assert len(read_meta_graph(tmp_path, [""], limits).graph_def.node) == 1000 + above - 3


def _length(number: int) -> bytes:
    result = bytearray()
    while number > 0x7F:
        result.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*result, number])


def test_a_file_that_cannot_be_a_message_is_not_read(tmp_path: Path) -> None:
    """Protobuf ends at 2 GiB; a longer file is not even read into memory."""
    with (tmp_path / "saved_model.pb").open("wb") as file:
        file.truncate(2**31)
    with pytest.raises(ModelError, match="2 GiB"):
        read_meta_graph(tmp_path, ["serve"], DEFAULT_LIMITS)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.integers(0, 2**31), st.integers(0, 255)), min_size=1, max_size=20))
def test_damaged_files_are_refused_or_admitted(
    words_folder: Path, tmp_path_factory: pytest.TempPathFactory, damage: list[tuple[int, int]]
) -> None:
    """Whatever stands in a file, it ends with an error of a kind that the engine answers with."""
    content = bytearray((words_folder / "saved_model.pb").read_bytes())
    for at, byte in damage:
        content[at % len(content)] = byte
    folder = tmp_path_factory.mktemp("damaged")
    (folder / "saved_model.pb").write_bytes(bytes(content))
    try:
        meta_graph = read_meta_graph(folder, ["serve"], DEFAULT_LIMITS)
        state = read_state(meta_graph, words_folder, DEFAULT_LIMITS)
        names = [info.name for info in meta_graph.signature_def["lookup"].outputs.values()]
        admitted_part(Policy(), meta_graph.graph_def, [], [*names, *state.init_fetches])
    except (AcceleratorError, DecodeError, ValueError, KeyError):
        pass


def test_a_long_text_is_not_parsed(tmp_path: Path) -> None:
    """The text form takes far longer than the binary one."""
    with (tmp_path / "saved_model.pbtxt").open("wb") as file:
        file.truncate(64 * 1024 * 1024 + 1)
    with pytest.raises(ModelError, match="too long"):
        read_meta_graph(tmp_path, ["serve"], DEFAULT_LIMITS)
