"""The TensorFlow engine gives what TensorFlow gives."""

from __future__ import annotations

import time
from collections.abc import Callable
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
)
from accel_protocol.manifest import SAVED_MODEL, Manifest, Selection
from accel_protocol.tensors import Array
from tests.accel_daemon.engines.conftest import (
    ENGINE,
    NUMERIC,
    Signatures,
    X,
    assert_safe,
    load,
    local_run,
    named,
    save_graph,
)
from tests.conftest import patience

tf1 = tf.compat.v1


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
        assert 0.4 < time.monotonic() - began < patience(3)


def test_time_that_suffices_changes_nothing(numbers_folder: Path) -> None:
    """With a time-out the results are the same."""
    graph = load(numbers_folder)
    assert graph.run({"x": X}, 30.0)["total"] == graph.run({"x": X}, None)["total"]


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


def test_weighing_and_cost(words_folder: Path) -> None:
    """Six weights and two biases; a product and a sum for each row."""
    manifest = Manifest(SAVED_MODEL, (), Selection(signature="serving_default"))
    assert ENGINE.weigh(words_folder, manifest).variables == 8 * 4
    cost = load(words_folder).cost({"x": (10, 3)})
    assert cost is not None
    assert cost.flops_32 == 2 * 10 * 3 * 2 + 10 * 2
