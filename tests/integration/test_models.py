"""Models of many makers give on an accelerator what local TensorFlow gives, however chosen."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf

from accel_protocol.lanes import KINDS
from client_runtime import EIPredictor
from tests.integration.conftest import over

RESOURCES = Path(__file__).parent / "resources"
v1 = tf.compat.v1


def session_answer(
    folder: Path,
    feeds: Mapping[str, Any],
    inputs: Mapping[str, str],
    outputs: Mapping[str, str],
    tags: tuple[str, ...] = ("serve",),
) -> dict[str, Any]:
    """What a local Session answers, by tensor names."""
    with v1.Session(graph=tf.Graph()) as session:
        v1.saved_model.load(session, list(tags), str(folder))
        fed = {inputs[alias]: value for alias, value in feeds.items()}
        return dict(session.run(dict(outputs), fed))


def signature_of(folder: Path, key: str = "serving_default", tags: tuple[str, ...] = ()) -> Any:
    """A SignatureDef of a SavedModel."""
    with v1.Session(graph=tf.Graph()) as session:
        loaded = v1.saved_model.load(session, list(tags or ("serve",)), str(folder))
        return loaded.signature_def[key]


def names(infos: Any) -> dict[str, str]:
    """Alias to tensor name."""
    return {alias: info.name for alias, info in infos.items()}


def assert_equal(answer: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """The same fetches, dtypes and shapes, and values within float32's tolerance."""
    assert set(answer) == set(expected)
    for alias, value in expected.items():
        got, wanted = np.asarray(answer[alias]), np.asarray(value)
        assert (got.shape, got.dtype.kind == "O") == (wanted.shape, wanted.dtype.kind in "OS")
        if got.dtype.kind == "O":
            assert got.tolist() == wanted.tolist()
        else:
            np.testing.assert_allclose(
                got.astype(np.complex128), wanted.astype(np.complex128), 1e-5
            )


def check(folder: Path, feeds: Mapping[str, Any], key: str = "serving_default") -> None:
    """The model gives the same by key, by SignatureDef and by tensor names, and on each lane."""
    signature = signature_of(folder, key)
    inputs, outputs = names(signature.inputs), names(signature.outputs)
    expected = session_answer(folder, feeds, inputs, outputs)
    ways: list[dict[str, Any]] = [
        {"signature_def_key": key},
        {"signature_def": signature},
        {"input_names": inputs, "output_names": outputs},
        {"signature_def_key": key, "tags": "serve"},
        {"signature_def_key": key, "tags": ["serve"]},
    ]
    if key == "serving_default":
        ways.append({})
    for way, kind in zip(ways, itertools.cycle(KINDS)):
        with over(kind), EIPredictor(str(folder), **way) as predictor:
            assert_equal(predictor(feeds), expected)


def export(module: Any, folder: Path, **signatures: Any) -> Path:
    """Save a tf.Module."""
    tf.saved_model.save(module, str(folder), signatures=signatures)
    return folder


def function(body: Any, *specs: Any, **keyword_specs: Any) -> Any:
    """A tf.function with a fixed signature that answers a dict."""
    return tf.function(body).get_concrete_function(*specs, **keyword_specs)


@pytest.mark.usefixtures("home")
class TestModels:
    """Each against local TensorFlow."""

    @pytest.mark.parametrize("key", ["serving_default", "predict", "classification"])
    def test_estimator_with_example_strings(self, key: str) -> None:
        """An Estimator's export of TensorFlow 2.15, which parses serialized tf.Examples."""
        examples = [
            tf.train.Example(
                features=tf.train.Features(
                    feature={
                        "age": tf.train.Feature(float_list=tf.train.FloatList(value=[age])),
                        "town": tf.train.Feature(bytes_list=tf.train.BytesList(value=[town])),
                    }
                )
            ).SerializeToString()
            for age, town in [(20.0, b"Ulm"), (70.0, "Köln".encode()), (33.0, b"Rome")]
        ]
        folder = RESOURCES / "estimator"
        (alias,) = signature_of(folder, key).inputs

        check(folder, {alias: np.array(examples, object)}, key)

    def test_table_with_vocabulary_asset(self, tmp_path: Path) -> None:
        """A lookup table whose words are in a file of the bundle."""
        words = tmp_path / "words.txt"
        words.write_text("ape\nbee\ncat\n")

        class Model(tf.Module):  # type: ignore[misc]
            def __init__(self) -> None:
                self.asset = tf.saved_model.Asset(str(words))
                initializer = tf.lookup.TextFileInitializer(
                    self.asset,
                    tf.string,
                    tf.lookup.TextFileIndex.WHOLE_LINE,
                    tf.int64,
                    tf.lookup.TextFileIndex.LINE_NUMBER,
                )
                self.table = tf.lookup.StaticHashTable(initializer, -1)

            @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "words")])
            def serve(self, words: Any) -> dict[str, Any]:
                return {"numbers": self.table.lookup(words)}

        model = Model()
        folder = export(model, tmp_path / "model", serving_default=model.serve)
        words.unlink()

        check(folder, {"words": np.array(["cat", "dog", "ape"], object)})

    def test_tensorflow_1_control_flow_and_tables(
        self, tmp_path: Path, request: pytest.FixtureRequest
    ) -> None:
        """A TensorFlow 1 graph with variables, v1 control flow, a table, and two signatures."""
        folder = tmp_path / "model"
        request.addfinalizer(v1.enable_control_flow_v2)
        v1.disable_control_flow_v2()
        with v1.Session(graph=tf.Graph()) as session:
            x = v1.placeholder(tf.float32, [None, 2], "x")
            w = v1.get_variable("w", initializer=tf.constant([[1.0], [2.0]]), use_resource=False)
            y = tf.matmul(x, w, name="y")
            big = v1.cond(tf.reduce_sum(x) > 0, lambda: y * 2, lambda: y - 1)
            _, doubled = v1.while_loop(
                lambda i, v: i < 3, lambda i, v: (i + 1, v * 2), (tf.constant(0), y)
            )
            table = tf.lookup.StaticHashTable(
                tf.lookup.KeyValueTensorInitializer(["a", "b"], [7.0, 8.0]), 0.0
            )
            word = v1.placeholder(tf.string, [], "word")
            session.run([v1.global_variables_initializer(), v1.tables_initializer()])
            build = v1.saved_model.utils.build_tensor_info
            make = v1.saved_model.build_signature_def
            builder = v1.saved_model.Builder(str(folder))
            builder.add_meta_graph_and_variables(
                session,
                ["serve"],
                {
                    "serving_default": make(
                        {"x": build(x)}, {"big": build(big), "doubled": build(doubled)}, "p"
                    ),
                    "lookup": make(
                        {"word": build(word)}, {"value": build(table.lookup(word))}, "p"
                    ),
                },
                main_op=v1.tables_initializer(),
            )
            builder.save()

        check(folder, {"x": [[1.0, 2.0], [3.0, 4.0]]})
        check(folder, {"x": [[-1.0, -2.0]]})
        check(folder, {"word": "b"}, "lookup")
        inner = EIPredictor(folder, input_names={"y": "y:0"}, output_names={"again": "y:0"})
        np.testing.assert_array_equal(inner({"y": [[5.0]]})["again"], [[5.0]])

    def test_feeding_an_inner_tensor_cuts_the_graph(self, tmp_path: Path) -> None:
        """What is behind a fed tensor is not run, and its shape is not the placeholder's."""
        folder = tmp_path / "model"
        with v1.Session(graph=tf.Graph()) as session:
            x = v1.placeholder(tf.float32, [1, 2], "x")
            hidden = tf.add(x, 1.0, name="hidden")
            out = tf.multiply(hidden, 2.0, name="out")
            v1.saved_model.simple_save(session, str(folder), {"x": x}, {"out": out})
        predictor = EIPredictor(
            folder, input_names={"h": "hidden:0", "x": "x:0"}, output_names={"out": "out:0"}
        )

        np.testing.assert_array_equal(predictor({"h": np.ones((3, 5))})["out"], np.full((3, 5), 2))
        np.testing.assert_array_equal(predictor({"x": [[1.0, 2.0]]})["out"], [[4.0, 6.0]])
        np.testing.assert_array_equal(
            predictor({"x": np.zeros((4, 4)), "h": None})["out"], np.full((4, 4), 2)
        )

    def test_several_tag_sets(self, tmp_path: Path) -> None:
        """Two graphs in one SavedModel, each found by its own tags."""
        folder = tmp_path / "model"
        builder = v1.saved_model.Builder(str(folder))
        for number, tags in enumerate((["serve"], ["serve", "gpu"])):
            with v1.Session(graph=tf.Graph()) as session:
                x = v1.placeholder(tf.float32, [], "x")
                y = tf.add(x, float(number), name="y")
                v = v1.get_variable("v", initializer=0.0)
                session.run(v.initializer)
                signature = v1.saved_model.predict_signature_def({"x": x}, {"y": y})
                add = builder.add_meta_graph if number else builder.add_meta_graph_and_variables
                arguments = ([], [session])[not number]
                add(*arguments, tags, {"serving_default": signature})
        builder.save()

        assert EIPredictor(folder)({"x": 1.0})["y"] == 1.0
        assert EIPredictor(folder, tags="serve, gpu")({"x": 1.0})["y"] == 2.0
        assert EIPredictor(folder, tags=["gpu", "serve"])({"x": 1.0})["y"] == 2.0

    def test_unknown_rank(self, tmp_path: Path) -> None:
        """A tf.function that takes anything, in any shape."""
        module = tf.Module()
        serve = function(lambda x: {"y": x * 2.0}, tf.TensorSpec(None, tf.float32, "x"))
        folder = export(module, tmp_path / "model", serving_default=serve)

        for shape in ((), (3,), (1, 2, 3, 4)):
            check(folder, {"x": np.ones(shape, np.float32)})

    def test_zero_size_batch(self, tmp_path: Path) -> None:
        """A batch of no rows has no rows in its answer."""
        module = tf.Module()
        serve = function(
            lambda x: {"y": x + 1.0, "n": tf.shape(x)[0]}, tf.TensorSpec([None, 3], tf.float32, "x")
        )

        check(export(module, tmp_path / "m", serving_default=serve), {"x": np.zeros((0, 3))})

    def test_ragged_and_sparse_inputs_as_dense_parts(self, tmp_path: Path) -> None:
        """Ragged and sparse tensors, fed as the dense parts that the signature names."""

        def body(values: Any, splits: Any, indices: Any, entries: Any, shape: Any) -> Any:
            ragged = tf.RaggedTensor.from_row_splits(values, splits)
            sparse = tf.SparseTensor(indices, entries, shape)
            return {
                "sums": tf.reduce_sum(ragged, axis=1),
                "dense": tf.sparse.to_dense(sparse),
                "values": ragged.values,
            }

        serve = function(
            body,
            tf.TensorSpec([None], tf.float32, "values"),
            tf.TensorSpec([None], tf.int64, "splits"),
            tf.TensorSpec([None, 2], tf.int64, "indices"),
            tf.TensorSpec([None], tf.float32, "entries"),
            tf.TensorSpec([2], tf.int64, "shape"),
        )
        folder = export(tf.Module(), tmp_path / "model", serving_default=serve)

        check(
            folder,
            {
                "values": [1.0, 2.0, 3.0],
                "splits": [0, 2, 2, 3],
                "indices": [[0, 1], [2, 0]],
                "entries": [5.0, 6.0],
                "shape": [3, 2],
            },
        )

    def test_two_hundred_inputs(self, tmp_path: Path) -> None:
        """A model with 200 inputs."""
        specs = {f"x{n:03}": tf.TensorSpec([None], tf.float32, f"x{n:03}") for n in range(200)}
        serve = function(lambda **xs: {"sum": tf.add_n(list(xs.values()))}, **specs)
        folder = export(tf.Module(), tmp_path / "model", serving_default=serve)

        check(folder, {alias: np.full(2, n, np.float32) for n, alias in enumerate(specs)})

    @pytest.mark.parametrize(
        "dtype",
        [
            tf.bool, tf.uint8, tf.uint16, tf.uint32, tf.uint64, tf.int8, tf.int16, tf.int32,
            tf.int64, tf.float16, tf.bfloat16, tf.float32, tf.float64, tf.complex64,
            tf.complex128, tf.string,
        ],
        ids=lambda dtype: dtype.name,
    )  # fmt: skip
    def test_every_dtype(self, tmp_path: Path, dtype: Any) -> None:
        """Values of each dtype that NumPy and TensorFlow share go and come back unchanged."""
        serve = function(lambda x: {"y": tf.identity(x)}, tf.TensorSpec([None], dtype, "x"))
        folder = export(tf.Module(), tmp_path / "model", serving_default=serve)
        values: Any = np.array([0, 1, 1], dtype.as_numpy_dtype)
        if dtype is tf.string:
            values = np.array([b"", b"\x00\xff", "☃".encode()], object)
        elif dtype.is_floating:
            values = np.array([0.5, -2.0, np.inf], dtype.as_numpy_dtype)
        elif dtype.is_integer:
            values = np.array([dtype.min, 0, dtype.max], dtype.as_numpy_dtype)

        answer = EIPredictor(folder)({"x": values})["y"]

        assert answer.dtype == np.asarray(values).dtype
        assert answer.tolist() == values.tolist()
        assert ml_dtypes  # bfloat16 comes from there on both sides

    def test_a_model_of_300_megabytes(self, tmp_path: Path) -> None:
        """A large model is uploaded once, and computes what it should."""

        class Model(tf.Module):  # type: ignore[misc]
            def __init__(self) -> None:
                rows = tf.range(8_650.0)[:, None]
                self.w = tf.Variable(rows + tf.range(8_650.0)[None, :])

            @tf.function(input_signature=[tf.TensorSpec([None], tf.int64, "row")])
            def serve(self, row: Any) -> dict[str, Any]:
                return {"sum": tf.reduce_sum(tf.gather(self.w, row), axis=1)}

        model = Model()
        folder = export(model, tmp_path / "model", serving_default=model.serve)
        with EIPredictor(folder) as first, EIPredictor(folder) as second:
            answer = first({"row": [0, 100]})["sum"]
            again = second({"row": [0, 100]})["sum"]

        np.testing.assert_allclose(
            answer, model.serve(tf.constant([0, 100], tf.int64))["sum"], 1e-5
        )
        np.testing.assert_array_equal(answer, again)
        assert first.uploaded_bytes > 299_000_000
        assert second.uploaded_bytes == 0
