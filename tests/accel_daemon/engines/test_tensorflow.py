"""The TensorFlow engine computes what TensorFlow computes, and says in words what went wrong."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from accel_daemon.engines.engine import Graph, TensorSpec, open_engine
from accel_protocol import dtypes
from accel_protocol.errors import (
    CancelledError,
    ConfigurationError,
    DeadlineError,
    FeedError,
    GraphError,
    ModelError,
)
from accel_protocol.manifest import SAVED_MODEL, Manifest, Selection
from accel_protocol.tensors import Array

tf1 = tf.compat.v1
ENGINE = open_engine("tensorflow")
NUMERIC = [number for number in dtypes.supported() if number != dtypes.STRING]
ABSOLUTE_PATH = re.compile(r"(?<![\w<])/(?:tmp|home|usr|var|work|[\w.-]+/[\w.-]+/)")

Signatures = Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]]


def save_graph(
    folder: Path, build: Callable[[], Signatures], tags: tuple[str, ...] = ("serve",)
) -> Path:
    """A SavedModel as TensorFlow 1 writes it, of the signatures that `build` makes."""
    with tf1.Session(graph=tf.Graph()) as session:
        signatures = {
            key: tf1.saved_model.predict_signature_def(dict(inputs), dict(outputs))
            for key, (inputs, outputs) in build().items()
        }
        session.run(tf1.global_variables_initializer())
        builder = tf1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(session, list(tags), signatures)
        builder.save()
    return folder


def load(folder: Path, selection: Selection | None = None) -> Graph:
    """Load a SavedModel; the files of a manifest do not matter to an engine."""
    chosen = selection or Selection(signature="serving_default")
    return ENGINE.load(folder, Manifest(SAVED_MODEL, (), chosen))


def named(
    feeds: Mapping[str, str], fetches: Mapping[str, str], tags: tuple[str, ...] = ("serve",)
) -> Selection:
    """A selection of tensors by name."""
    return Selection(tags, feeds=feeds, fetches=fetches)


def local_run(
    folder: Path, tags: list[str], fetches: list[str], feeds: Mapping[str, Any]
) -> list[Any]:
    """What a Session in this process answers."""
    with tf1.Session(graph=tf.Graph()) as session:
        tf1.saved_model.load(session, tags, str(folder))
        result: list[Any] = session.run(fetches, feeds)
        return result


def assert_safe(error: Exception) -> None:
    """The text holds no path of this host and no trace of Python frames."""
    text = str(error)
    assert not ABSOLUTE_PATH.search(text), text
    assert "Traceback" not in text
    assert ".py" not in text


class Words(tf.Module):  # type: ignore[misc]
    """A linear layer, and a vocabulary that it reads from an asset."""

    def __init__(self, vocabulary: Path) -> None:
        super().__init__()
        self.weights = tf.Variable(tf.reshape(tf.range(6.0), (3, 2)))
        self.bias = tf.Variable([0.5, -0.5])
        self.calls = tf.Variable(0, dtype=tf.int64)
        self.asset = tf.saved_model.Asset(str(vocabulary))
        self.table = tf.lookup.StaticHashTable(
            tf.lookup.TextFileInitializer(
                self.asset,
                tf.string,
                tf.lookup.TextFileIndex.WHOLE_LINE,
                tf.int64,
                tf.lookup.TextFileIndex.LINE_NUMBER,
            ),
            default_value=-1,
        )

    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, name="x")])
    def linear(self, x: Any) -> dict[str, Any]:
        """Product and sum: x @ weights + bias, float32 [n, 3] to float32 [n, 2]."""
        return {"y": tf.matmul(x, self.weights) + self.bias}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="words")])
    def lookup(self, words: Any) -> dict[str, Any]:
        """Line numbers of words in the vocabulary."""
        return {"ids": self.table.lookup(words)}

    @tf.function(input_signature=[tf.TensorSpec([], tf.float32, name="x")])
    def counted(self, x: Any) -> dict[str, Any]:
        """x, and how many calls there were: changes a variable inside a function."""
        return {"x": x * 2.0, "calls": self.calls.assign_add(1)}


@pytest.fixture(scope="module")
def words_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SavedModel as TensorFlow 2 writes it."""
    folder = tmp_path_factory.mktemp("words")
    vocabulary = folder / "vocabulary.txt"
    vocabulary.write_text("null\neins\nzwei ☃\n", "utf-8")
    module = Words(vocabulary)
    tf.saved_model.save(
        module,
        str(folder / "model"),
        {"serving_default": module.linear, "lookup": module.lookup, "counted": module.counted},
    )
    vocabulary.unlink()
    return folder / "model"


def numbers() -> Signatures:
    """A graph with variables, fixed and free shapes, and steps in between."""
    x = tf1.placeholder(tf.float32, [None, 3], name="x")
    fixed = tf1.placeholder(tf.float32, [2], name="fixed")
    defaulted = tf1.placeholder_with_default([1.0, 2.0], [2], name="defaulted")
    weights = tf1.get_variable("weights", initializer=tf.reshape(tf.range(6.0), (3, 2)))
    inner = tf.add(tf1.matmul(x, weights), 1.0, name="inner")
    total = tf.reduce_sum(inner, name="total")
    doubled = tf.multiply(fixed, 2.0, name="doubled")
    sums = tf.add(fixed, defaulted, name="sums")
    checked = tf1.ensure_shape(x, [2, 3], name="checked")
    return {
        "serving_default": ({"x": x}, {"total": total, "inner": inner}),
        "fixed": ({"fixed": fixed}, {"doubled": doubled}),
        "defaulted": ({"fixed": fixed, "defaulted": defaulted}, {"sums": sums}),
        "echo": ({"x": x}, {"x": x, "total": total}),
        "only the fed": ({"x": x}, {"x": x}),
        "twice": ({"x": x}, {"one": total, "two": total}),
        "checked": ({"x": x}, {"checked": checked}),
    }


@pytest.fixture(scope="module")
def numbers_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SavedModel as TensorFlow 1 writes it."""
    return save_graph(tmp_path_factory.mktemp("numbers") / "model", numbers)


@pytest.fixture(scope="module")
def tagged_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SavedModel with two graphs under different tag sets."""
    folder = tmp_path_factory.mktemp("tagged") / "model"
    builder = tf1.saved_model.Builder(str(folder))
    for tags, factor in ((["serve"], 2.0), (["serve", "gpu"], 3.0)):
        with tf1.Session(graph=tf.Graph()) as session:
            x = tf1.placeholder(tf.float32, [], name="x")
            y = tf.multiply(x, factor, name="y")
            signature = tf1.saved_model.predict_signature_def({"x": x}, {"y": y})
            if tags == ["serve"]:
                tf1.get_variable("unused", initializer=1.0)
                session.run(tf1.global_variables_initializer())
                builder.add_meta_graph_and_variables(session, tags, {"serving_default": signature})
            else:
                builder.add_meta_graph(tags, {"serving_default": signature})
    builder.save()
    return folder


def identities() -> Signatures:
    """One signature a dtype, which answers what it is fed."""
    found = {}
    for number in dtypes.supported():
        x = tf1.placeholder(tf.as_dtype(number), None)
        found[dtypes.name_of(number)] = ({"x": x}, {"y": tf1.identity(x)})
    return found


@pytest.fixture(scope="module")
def identity_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SavedModel with an identity for every dtype."""
    return save_graph(tmp_path_factory.mktemp("identities") / "model", identities)


@pytest.fixture(scope="module")
def identity_graphs(identity_folder: Path) -> dict[int, Graph]:
    """All identities, loaded."""
    return {
        number: load(identity_folder, Selection(signature=dtypes.name_of(number)))
        for number in dtypes.supported()
    }


X = np.array([[1, 2, 3], [4, 5, 6.5]], np.float32)


def test_a_model_of_tensorflow_2_computes_the_same(words_folder: Path) -> None:
    """Variables are restored; the results are those of `tf.saved_model.load`."""
    expected = tf.saved_model.load(str(words_folder)).signatures["serving_default"](tf.constant(X))
    result = load(words_folder).run({"x": X}, None)
    np.testing.assert_array_equal(result["y"], expected["y"].numpy())


def test_a_vocabulary_is_read_from_its_asset(words_folder: Path) -> None:
    """The table is filled when the model is loaded, from the file inside the bundle."""
    words = np.array(["zwei ☃".encode(), b"drei", b"null"], object)
    graph = load(words_folder, Selection(signature="lookup"))
    assert graph.run({"words": words}, None)["ids"].tolist() == [2, -1, 0]


def test_a_model_of_tensorflow_1_computes_the_same(numbers_folder: Path) -> None:
    """The results are those of a Session in this process."""
    total, inner = local_run(numbers_folder, ["serve"], ["total:0", "inner:0"], {"x:0": X})
    result = load(numbers_folder).run({"x": X}, None)
    assert set(result) == {"total", "inner"}
    np.testing.assert_array_equal(result["total"], total)
    np.testing.assert_array_equal(result["inner"], inner)


@pytest.mark.parametrize(("tags", "factor"), [(("serve",), 2.0), (("gpu", "serve"), 3.0)])
def test_the_tag_set_chooses_the_graph(
    tagged_folder: Path, tags: tuple[str, ...], factor: float
) -> None:
    """Exactly the tags that were asked for, in any order."""
    graph = load(tagged_folder, Selection(tags, signature="serving_default"))
    assert graph.run({"x": np.array(5, np.float32)}, None)["y"] == 5 * factor


VALUES: list[Callable[[np.dtype[Any]], Array]] = [
    lambda dtype: np.array(1).astype(dtype),
    lambda dtype: np.arange(24).reshape(2, 3, 4).astype(dtype),
    lambda dtype: np.zeros((0, 3), dtype),
    lambda dtype: np.arange(24).reshape(4, 6).astype(dtype)[::2, ::-3],
    lambda dtype: np.frombuffer(b"?" + np.arange(6).astype(dtype).tobytes(), np.uint8)[1:].view(
        dtype
    ),
]


@pytest.mark.parametrize("make", VALUES, ids=["scalar", "cube", "empty", "steps", "unaligned"])
@pytest.mark.parametrize("number", NUMERIC, ids=[dtypes.name_of(n) for n in NUMERIC])
def test_every_dtype_goes_through(
    identity_graphs: dict[int, Graph], number: int, make: Callable[[np.dtype[Any]], Array]
) -> None:
    """What is fed comes back with its dtype and shape, also from arrays that lie oddly."""
    value = make(dtypes.numpy_of(number))
    result = identity_graphs[number].run({"x": value}, None)["y"]
    assert (result.dtype, result.shape) == (value.dtype, value.shape)
    assert result.tobytes() == value.tobytes()


@pytest.mark.parametrize(
    "value",
    [
        np.array(b"one", object),
        np.array([[b"a", b""], ["größe".encode(), b"\x00\xff\x00"]], object),
        np.empty((0, 2), object),
    ],
    ids=["scalar", "matrix", "empty"],
)
def test_strings_go_through(identity_graphs: dict[int, Graph], value: Array) -> None:
    """Bytes stay what they are, zeros included."""
    result = identity_graphs[dtypes.STRING].run({"x": value}, None)["y"]
    assert (result.dtype, result.shape) == (np.dtype(object), value.shape)
    assert result.tolist() == value.tolist()


@pytest.mark.parametrize("number", dtypes.supported(), ids=dtypes.name_of)
def test_a_graph_tells_its_feeds_and_fetches(
    identity_graphs: dict[int, Graph], number: int
) -> None:
    """Alias, tensor, dtype and shape; an unknown rank is None."""
    graph = identity_graphs[number]
    (feed,), (fetch,) = graph.feeds.values(), graph.fetches.values()
    assert (feed.name, feed.dtype, feed.shape) == ("x", number, None)
    assert (fetch.name, fetch.dtype, fetch.shape) == ("y", number, None)


def test_a_graph_tells_unknown_sizes(numbers_folder: Path) -> None:
    """-1 stands for a size that is free."""
    assert load(numbers_folder).feeds == {"x": TensorSpec("x", "x:0", 1, (-1, 3))}


def test_read_only_arrays_can_be_fed(numbers_folder: Path) -> None:
    """Received tensors are read-only views; they are fed as they are."""
    value = X.copy()
    value.flags.writeable = False
    graph = load(numbers_folder)
    assert graph.run({"x": value}, None)["total"] == graph.run({"x": X}, None)["total"]


def test_an_inner_tensor_can_be_fed(numbers_folder: Path) -> None:
    """It cuts the graph: what comes before is neither run nor needed."""
    graph = load(numbers_folder, named({"inner": "inner:0"}, {"total": "total:0"}))
    assert graph.run({"inner": np.array([[1.0, 2.0, 39.0]], np.float32)}, None)["total"] == 42


def test_an_inner_feed_is_converted(numbers_folder: Path) -> None:
    """The client does not know an inner tensor's dtype, so the engine converts."""
    graph = load(numbers_folder, named({"inner": "inner:0"}, {"total": "total:0"}))
    assert graph.run({"inner": np.array([[1, 2, 39]])}, None)["total"] == 42


def test_a_fetch_that_is_fed_is_the_fed_value(numbers_folder: Path) -> None:
    """Beside fetches that are computed from it."""
    result = load(numbers_folder, Selection(signature="echo")).run({"x": X}, None)
    np.testing.assert_array_equal(result["x"], X)
    assert result["total"] == local_run(numbers_folder, ["serve"], ["total:0"], {"x:0": X})[0]


def test_nothing_has_to_be_computed(numbers_folder: Path) -> None:
    """When every fetch is fed the answer is what was fed."""
    result = load(numbers_folder, Selection(signature="only the fed")).run({"x": X}, None)
    np.testing.assert_array_equal(result["x"], X)


def test_one_tensor_may_have_two_aliases(numbers_folder: Path) -> None:
    """Both are answered."""
    result = load(numbers_folder, Selection(signature="twice")).run({"x": X}, None)
    assert set(result) == {"one", "two"}
    assert result["one"] == result["two"]


@pytest.mark.parametrize("value", [[1.0], [1.0, 2.0, 3.0], [[1.0, 2.0], [3.0, 4.0]]])
def test_another_shape_than_the_placeholder_s_can_be_fed(
    numbers_folder: Path, value: list[Any]
) -> None:
    """What the placeholder declared does not matter where the ops themselves allow it."""
    graph = load(numbers_folder, Selection(signature="fixed"))
    result = graph.run({"fixed": np.array(value, np.float32)}, None)["doubled"]
    np.testing.assert_array_equal(result, np.array(value, np.float32) * 2)


def test_a_default_is_used_where_nothing_is_fed(numbers_folder: Path) -> None:
    """A feed left out is not fed, which only a default makes possible."""
    graph = load(numbers_folder, Selection(signature="defaulted"))
    fixed = np.array([10, 20], np.float32)
    assert graph.run({"fixed": fixed}, None)["sums"].tolist() == [11, 22]
    assert graph.run({"fixed": fixed, "defaulted": fixed}, None)["sums"].tolist() == [20, 40]


def test_a_missing_feed_fails_the_graph(numbers_folder: Path) -> None:
    """TensorFlow's own words say which placeholder it was."""
    with pytest.raises(GraphError, match="'x'") as caught:
        load(numbers_folder).run({}, None)
    assert_safe(caught.value)


@pytest.mark.parametrize(
    ("signature", "feeds"),
    [
        ("serving_default", {"x": np.zeros((2, 5), np.float32)}),
        ("serving_default", {"x": np.zeros((), np.float32)}),
        ("checked", {"x": np.zeros((1, 3), np.float32)}),
        ("defaulted", {"fixed": np.zeros(7, np.float32)}),
    ],
)
def test_values_that_do_not_fit_fail_the_graph(
    numbers_folder: Path, signature: str, feeds: dict[str, Array]
) -> None:
    """The op's message comes through, without paths and frames."""
    with pytest.raises(GraphError, match="InvalidArgumentError") as caught:
        load(numbers_folder, Selection(signature=signature)).run(feeds, None)
    assert_safe(caught.value)


@pytest.mark.parametrize(
    "feeds",
    [{"y": X}, {"x:0": X}, {"x": X, "z": X}, {"x": np.array(["a"], object)}],
    ids=["unknown", "a tensor's name", "one too many", "strings"],
)
def test_wrong_feeds_are_refused(numbers_folder: Path, feeds: dict[str, Array]) -> None:
    """An unknown alias, or a value that does not convert."""
    with pytest.raises(FeedError):
        load(numbers_folder).run(feeds, None)


def test_numbers_are_no_strings(identity_graphs: dict[int, Graph]) -> None:
    """A string tensor takes only strings."""
    with pytest.raises(FeedError):
        identity_graphs[dtypes.STRING].run({"x": np.zeros(2)}, None)


def test_a_graph_goes_on_after_a_failure(numbers_folder: Path) -> None:
    """One bad call leaves nothing behind."""
    graph = load(numbers_folder)
    before = graph.run({"x": X}, None)["total"]
    with pytest.raises(GraphError):
        graph.run({}, None)
    assert graph.run({"x": X}, None)["total"] == before


def endless() -> Signatures:
    """A graph that counts for ever unless it is stopped."""
    x = tf1.placeholder(tf.int64, [], name="x")
    y = tf1.while_loop(lambda i: i >= 0, lambda i: i + 1, [x])
    return {"serving_default": ({"x": x}, {"y": y})}


def endless_by_constant() -> Signatures:
    """The same with a constant condition, which an optimizer would fold by running the loop."""
    x = tf1.placeholder(tf.int64, [], name="x")
    y = tf1.while_loop(lambda _: tf.constant(True), lambda i: i + 1, [x])
    return {"serving_default": ({"x": x}, {"y": y})}


@pytest.mark.parametrize("build", [endless, endless_by_constant])
def test_a_time_out_stops_the_work(tmp_path: Path, build: Callable[[], Signatures]) -> None:
    """An endless loop ends about when its time is over, and the graph stays usable."""
    graph = load(save_graph(tmp_path / "model", build))
    for _ in range(2):
        began = time.monotonic()
        with pytest.raises(DeadlineError):
            graph.run({"x": np.array(0)}, 0.5)
        assert 0.4 < time.monotonic() - began < 1.6


def test_time_that_suffices_changes_nothing(numbers_folder: Path) -> None:
    """With a time-out the results are the same."""
    graph = load(numbers_folder)
    assert graph.run({"x": X}, 30.0)["total"] == graph.run({"x": X}, None)["total"]


def assigning() -> Signatures:
    """A graph with one fetch that changes a variable, and one that only reads it."""
    x = tf1.placeholder(tf.float32, [], name="x")
    state = tf1.get_variable("state", initializer=0.0, use_resource=True)
    old = tf1.get_variable("old", initializer=0.0, use_resource=False)
    read = tf.add(state.read_value(), x, name="read")
    changed = tf.identity(state.assign_add(x).read_value(), name="changed")
    with tf.control_dependencies([state.assign(x)]):
        controlled = tf.identity(x, name="controlled")
    assigned = tf1.assign(old, x)
    with tf.control_dependencies([assigned]):
        assigned_first = tf.identity(x, name="assigned_first")
    noisy = tf.add(tf.random.uniform([]), x, name="noisy")
    return {
        key: ({"x": x}, {"y": y})
        for key, y in {
            "read": read, "changed": changed, "controlled": controlled, "noisy": noisy,
            "old": tf.identity(old), "assigned": tf.identity(assigned),
            "assigned first": assigned_first,
        }.items()
    }  # fmt: skip


@pytest.mark.parametrize(
    ("signature", "repeatable"),
    [
        ("read", True),
        ("old", True),
        ("noisy", True),
        ("changed", False),
        ("controlled", False),
        ("assigned", False),
        ("assigned first", False),
    ],
)
def test_what_a_fetch_reaches_decides_whether_it_is_repeatable(
    tmp_path: Path, signature: str, repeatable: bool
) -> None:
    """Also through control dependencies; what no fetch reaches does not count."""
    folder = save_graph(tmp_path / "model", assigning)
    assert load(folder, Selection(signature=signature)).repeatable is repeatable


@pytest.mark.parametrize(
    ("signature", "repeatable"), [("serving_default", True), ("lookup", True), ("counted", False)]
)
def test_functions_are_looked_into(words_folder: Path, signature: str, repeatable: bool) -> None:
    """TensorFlow 2 puts everything into functions, assignments too."""
    assert load(words_folder, Selection(signature=signature)).repeatable is repeatable


def test_state_is_one_graph_s_own(words_folder: Path) -> None:
    """A model loaded twice counts twice."""
    one, two = (load(words_folder, Selection(signature="counted")) for _ in range(2))
    feed = {"x": np.array(1, np.float32)}
    counts = [int(graph.run(feed, None)["calls"]) for graph in (one, one, two, one)]
    assert counts == [1, 2, 1, 3]


@pytest.mark.parametrize(
    "selection",
    [
        Selection(signature="no such key"),
        Selection(("serve", "tpu"), signature="serving_default"),
        Selection((), signature="serving_default"),
        named({}, {"y": "no_such_op:0"}),
        named({}, {"y": "total:1"}),
        named({}, {"y": "total"}),
        named({}, {"y": ""}),
        named({}, {"y": "^total"}),
        named({"x": "no_such_op:0"}, {"y": "total:0"}),
        named({"x": "x:0"}, {}),
    ],
    ids=range(10),
)
def test_selections_that_do_not_exist_are_refused(
    numbers_folder: Path, selection: Selection
) -> None:
    """Unknown signature, tag set, op, output; nothing to fetch."""
    with pytest.raises(ModelError) as caught:
        load(numbers_folder, selection)
    assert_safe(caught.value)


def test_an_unknown_signature_names_the_known_ones(tagged_folder: Path) -> None:
    """The message helps to choose another."""
    with pytest.raises(ModelError, match="serving_default"):
        load(tagged_folder, Selection(signature="predict"))


@pytest.mark.parametrize("content", [b"", b"\x00", b"no protobuf at all", b"\x08\x01"])
def test_a_broken_model_file_is_refused(tmp_path: Path, content: bytes) -> None:
    """Whatever the bytes, it is the model's fault, said without a path."""
    (tmp_path / "saved_model.pb").write_bytes(content)
    with pytest.raises(ModelError) as caught:
        load(tmp_path)
    assert_safe(caught.value)


def copied(folder: Path, target: Path, leave_out: str = "", damage: str = "") -> Path:
    """A copy of a model without, or with other bytes in, the files of this name."""
    for path in folder.rglob("*"):
        if path.is_file() and path.name != leave_out:
            place = target / path.relative_to(folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            data = path.read_bytes()
            place.write_bytes(b"\xff" * len(data) if path.name == damage else data)
    return target


@pytest.mark.parametrize("name", ["saved_model.pb", "variables.index", "vocabulary.txt"])
def test_a_missing_file_is_refused(words_folder: Path, tmp_path: Path, name: str) -> None:
    """A bundle that lacks a file cannot be loaded, and no path tells where it should be."""
    with pytest.raises(ModelError) as caught:
        load(copied(words_folder, tmp_path / "copy", leave_out=name))
    assert_safe(caught.value)


@pytest.mark.parametrize("name", ["saved_model.pb", "variables.index"])
def test_a_damaged_file_is_refused(words_folder: Path, tmp_path: Path, name: str) -> None:
    """A bundle with other bytes in a file cannot be loaded, and no path tells which host it is."""
    with pytest.raises(ModelError) as caught:
        load(copied(words_folder, tmp_path / "copy", damage=name))
    assert_safe(caught.value)


def reading_a_file() -> Signatures:
    """A graph that reads the file it is told."""
    name = tf1.placeholder(tf.string, [], name="name")
    return {"serving_default": ({"name": name}, {"y": tf.io.read_file(name)})}


@pytest.mark.parametrize(
    "path",
    [
        "/private/place/secret",
        "/private/place/",
        "/private",
        "/private place/secret",
        "file:///private/place",
    ],
)
def test_a_failing_op_tells_no_path(tmp_path: Path, path: str) -> None:
    """Paths are taken out of TensorFlow's messages, in whatever form they stand."""
    graph = load(save_graph(tmp_path / "model", reading_a_file))
    with pytest.raises(GraphError) as caught:
        graph.run({"name": np.array(path.encode(), object)}, None)
    assert not re.search("private|place|secret", str(caught.value))


def with_a_variant() -> Signatures:
    """A graph whose fetch is of a dtype that cannot travel."""
    x = tf1.placeholder(tf.float32, [], name="x")
    y = tf.raw_ops.EmptyTensorList(element_shape=[1], max_num_elements=1, element_dtype=tf.float32)
    return {"serving_default": ({"x": x}, {"y": y})}


def test_fetches_that_cannot_travel_are_refused_when_loading(tmp_path: Path) -> None:
    """A signature with a variant in it can never be answered, so it is no model to load."""
    folder = save_graph(tmp_path / "model", with_a_variant)
    with pytest.raises((ModelError, FeedError)):
        load(folder)


def test_another_format_is_refused(numbers_folder: Path) -> None:
    """The engine says that it is not for this kind of model."""
    manifest = Manifest(SAVED_MODEL, (), Selection(signature="serving_default"))
    with pytest.raises(ModelError):
        ENGINE.load(numbers_folder, replace(manifest, format="onnx"))


def test_a_closed_graph_runs_no_more(numbers_folder: Path) -> None:
    """Running it is an error of the call and no crash."""
    graph = load(numbers_folder)
    graph.close()
    with pytest.raises((CancelledError, GraphError)):
        graph.run({"x": X}, None)


def test_the_engine_tells_its_version() -> None:
    """Name and version, as GetCapabilities reports them."""
    assert f"tensorflow {tf.__version__}" == ENGINE.version


def test_an_unknown_engine_is_refused() -> None:
    """The remedy names those that there are."""
    with pytest.raises(ConfigurationError) as caught:
        open_engine("abacus")
    assert "tensorflow" in caught.value.remedy
