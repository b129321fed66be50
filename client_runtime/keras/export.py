"""From a Keras model to a SavedModel, with the user's own Keras and TensorFlow.

What is exported is the model's `predict_step`, so that the answers are those of its `predict`. No
global state of TensorFlow or Keras is changed, and the model itself is left as it is.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accel_protocol.errors import ConfigurationError, ModelError
from client_runtime.keras.data import Leaf, Structure, leaves, rebuild
from client_runtime.local import require_tensorflow

_SIGNATURE = "serving_default"
_PACKAGES = ("keras", "tf_keras")
_BACKENDS = {
    "keras": "keras.src.backend",
    "tf_keras": "tf_keras.src.backend",
    "tensorflow": "tensorflow.python.keras.backend",
}
_WHAT = "Converting a Keras model"


@dataclass(frozen=True)
class Flavour:
    """The Keras that a model belongs to.

    Attributes:
        package: the top-level package its classes are in.
        legacy: whether it is Keras 2, called tf_keras since Keras 3.
        floatx: name of the default float type.
    """

    package: str
    legacy: bool
    floatx: str


def flavour_of(model: Any) -> Flavour:
    """The Keras of a model.

    Raises:
        TypeError: not a model of Keras.
        ConfigurationError: its Keras computes with something else than TensorFlow.
    """
    package = _package_of(type(model))
    if package is None or not hasattr(model, "predict"):
        raise TypeError(f"Expected a Keras model or the path of one, not {type(model).__name__}.")
    if package == "tensorflow":
        return Flavour(package, True, "float32")
    module = importlib.import_module(package)
    backend = getattr(module.backend, "backend", lambda: "tensorflow")()
    if backend != "tensorflow":
        raise ConfigurationError(
            f"This Keras model computes with {backend}.",
            remedy="Set KERAS_BACKEND=tensorflow, save the model and load it again.",
        )
    return Flavour(package, _is_legacy(module), str(module.backend.floatx()))


def _package_of(kind: type) -> str | None:
    roots = (base.__module__.split(".")[0] for base in kind.__mro__)
    return next((root for root in roots if root in (*_PACKAGES, "tensorflow")), None)


def load(path: Path, custom_objects: Mapping[str, Any] | None) -> Any:
    """The model in a file of Keras's: `.keras`, `.h5`, or what else that Keras reads.

    Raises:
        OSError: no such file.
        ConfigurationError: no Keras is installed.
        ModelError: no installed Keras can load it; the first one's exception is the cause.
    """
    if not path.exists():
        raise FileNotFoundError(f"No file or directory found at {path}")
    require_tensorflow(_WHAT)
    failures: dict[str, Exception] = {}
    for package in _packages_to_try(custom_objects):
        try:
            return _load_with(package, path, custom_objects)
        except ModuleNotFoundError as error:
            if error.name != package:
                failures[package] = error
        except Exception as error:
            failures[package] = error
    if not failures:
        raise ConfigurationError(
            "Loading a Keras model needs Keras, which is not installed.",
            reason="ENGINE_MISSING",
            remedy="pip install 'elastic-accelerator[local]'.",
        )
    said = "; ".join(f"{package}: {error}" for package, error in failures.items())
    raise ModelError(
        f"Keras cannot load {path.name}: {said}",
        remedy="Give all custom_objects; a file of Keras 2 may need `pip install tf_keras`.",
    ) from next(iter(failures.values()))


def _load_with(package: str, path: Path, custom_objects: Mapping[str, Any] | None) -> Any:
    keras = importlib.import_module(package)
    _check_names(package, keras, path, custom_objects or {})
    model = keras.models.load_model(os.fspath(path), custom_objects=custom_objects, compile=False)
    made_by = _package_of(type(model))
    if made_by != package:
        # Keras 2.15 does so with files of tf_keras, and leaves the weights as they were made.
        raise ModelError(f"it made a model of {made_by} out of it")
    return model


def _check_names(package: str, keras: Any, path: Path, custom_objects: Mapping[str, Any]) -> None:
    """See that a Keras would build the model of its own classes only.

    Both Keras 2 look for the classes that a `.keras` file names in one table of TensorFlow's, in
    which the one that was imported last has put its own. Of a mixture they never finish a model.

    Raises:
        ModelError: it would not.
    """
    for name, kind in _kinds(custom_objects).items():
        if kind not in (None, package):
            raise ModelError(f"{name} is a class of {kind}")
    if path.suffix != ".keras" or not _is_legacy(keras):
        return
    table = sys.modules["tensorflow.python.util.tf_export"]
    owner = _package_of(table.get_symbol_from_name("keras.Model"))
    if owner != package:
        raise ModelError(
            f"it takes the classes of {owner} for its own once that is imported; load the file in "
            "a process that does not import it, or save the model as .h5"
        )


def _is_legacy(keras: Any) -> bool:
    return int(keras.__version__.split(".")[0]) < 3


def _kinds(custom_objects: Mapping[str, Any]) -> dict[str, str | None]:
    """The Keras of each custom class, None where it is of none."""
    kinds = {name: value for name, value in custom_objects.items() if isinstance(value, type)}
    return {name: _package_of(kind) for name, kind in kinds.items()}


def _packages_to_try(custom_objects: Mapping[str, Any] | None) -> Iterable[str]:
    """Keras 3 first, unless something says that the model is of tf_keras.

    A Keras 2 is tried alone, and tf_keras left out unless it is imported already: it reads the same
    files, and importing it would spoil the first one, see `_check_names`.
    """
    legacy = "tf_keras" in _kinds(custom_objects or {}).values()
    legacy |= os.environ.get("TF_USE_LEGACY_KERAS", "").lower() in ("1", "true")
    if legacy:
        yield from reversed(_PACKAGES)
        return
    yield "keras"
    keras = sys.modules.get("keras")
    if keras is None or not _is_legacy(keras) or "tf_keras" in sys.modules:
        yield "tf_keras"


def declared_inputs(model: Any) -> Structure | None:
    """What a model says it takes; None for a subclassed model, which does not say."""
    tensors = getattr(model, "inputs", None)
    if not tensors:
        return None
    declared = getattr(model, "_inputs_struct", None)  # Functional of Keras 3
    if declared is None:
        declared = getattr(model, "_nested_inputs", None)  # Functional of tf_keras
    if declared is None:
        declared = tensors[0] if len(tensors) == 1 else list(tensors)
    aliases = iter(f"input_{index}" for index in range(len(leaves(declared))))
    return rebuild(declared, lambda tensor: _leaf(next(aliases), tensor))


def _leaf(alias: str, tensor: Any) -> Leaf:
    if getattr(tensor, "sparse", False) or getattr(tensor, "ragged", False):
        raise ModelError(f"The model's input {tensor.name!r} is sparse or ragged.")
    shape = getattr(tensor, "shape", None)
    rank_known = shape is not None and getattr(shape, "rank", 0) is not None
    sizes = tuple(shape) if shape is not None and rank_known else None
    dtype = tensor.dtype if isinstance(tensor.dtype, str) else tensor.dtype.name
    return Leaf(alias, tensor.name.split(":")[0], sizes, dtype)


def export(model: Any, flavour: Flavour, inputs: Structure, folder: Path) -> Structure:
    """Write a SavedModel with one signature; answers the structure of the model's outputs.

    Raises:
        ModelError: the model cannot be exported.
        ConfigurationError: eager execution is disabled, and this Keras needs it.
    """
    tf = require_tensorflow(_WHAT)
    if tf.compat.v1.executing_eagerly_outside_functions():
        return _export_function(tf, model, inputs, folder)
    if not flavour.legacy:
        raise ConfigurationError(
            "Keras 3 does not work while eager execution is disabled.",
            remedy="Leave out tf.compat.v1.disable_eager_execution(), or use tf_keras.",
        )
    return _export_session(tf, model, flavour, folder)


def _export_function(tf: Any, model: Any, inputs: Structure, folder: Path) -> Structure:
    outputs: list[Structure] = []

    @tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
    def split(answer: Any) -> dict[str, Any]:
        structure, tensors = _flattened(tf, answer)
        outputs[:] = [structure]
        return tensors

    @tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
    def joined(feeds: Mapping[str, Any]) -> Any:
        return rebuild(inputs, lambda leaf: feeds[leaf.alias])

    @tf.function  # type: ignore[untyped-decorator]
    def serve(**feeds: Any) -> Any:
        return split(model.predict_step((joined(feeds),)))

    specs = {
        leaf.alias: tf.TensorSpec(leaf.shape, tf.as_dtype(leaf.dtype), name=leaf.alias)
        for leaf in leaves(inputs)
    }
    concrete = serve.get_concrete_function(**specs)
    root = tf.Module()
    # Only what the function uses: saving the model itself would save all that Keras keeps with it.
    root.kept = [*concrete.graph.variables, *_resources(tf, model)]
    tf.saved_model.save(root, os.fspath(folder), signatures={_SIGNATURE: concrete})
    return outputs[0]


def _flattened(tf: Any, answer: Any) -> tuple[Structure, dict[str, Any]]:
    tensors: dict[str, Any] = {}

    def leaf(value: Any) -> Leaf:
        if not isinstance(value, tf.Tensor):
            raise ModelError(f"The model gives a {type(value).__name__}, which cannot be sent.")
        alias = f"output_{len(tensors)}"
        tensors[alias] = value
        return Leaf(alias)

    return rebuild(answer, leaf), tensors


def _resources(tf: Any, model: Any) -> list[Any]:
    """The lookup tables and the like of a model."""
    kind = tf.saved_model.experimental.TrackableResource
    found = tf.train.TrackableView(model).descendants()
    return [item for item in found if isinstance(item, kind)]


def _export_session(tf: Any, model: Any, flavour: Flavour, folder: Path) -> Structure:
    """The export of a model that lives in a graph, through a copy of it in a graph of its own."""
    inputs = declared_inputs(model)
    if inputs is None:
        raise ModelError(
            "While eager execution is disabled, a subclassed model does not tell its inputs.",
            remedy="Leave out tf.compat.v1.disable_eager_execution().",
        )
    v1 = tf.compat.v1
    structure, outputs = _flattened(tf, model.outputs if len(model.outputs) > 1 else model.output)
    session = sys.modules[_BACKENDS[flavour.package]].get_session()
    with session.graph.as_default():
        values = session.run({v.name: v for v in v1.global_variables()})
    definition = v1.train.export_meta_graph(graph=session.graph, clear_devices=True)
    with v1.Session(graph=tf.Graph()) as copy, copy.graph.as_default():
        v1.train.import_meta_graph(definition)
        for variable in v1.global_variables():
            variable.load(values[variable.name], copy)
        names = {
            leaf.alias: tensor.name
            for leaf, tensor in zip(leaves(inputs), model.inputs, strict=True)
        }
        signature = v1.saved_model.predict_signature_def(
            {a: copy.graph.get_tensor_by_name(name) for a, name in names.items()},
            {a: copy.graph.get_tensor_by_name(t.name) for a, t in outputs.items()},
        )
        builder = v1.saved_model.Builder(os.fspath(folder))
        builder.add_meta_graph_and_variables(
            copy, ["serve"], {_SIGNATURE: signature}, main_op=v1.tables_initializer()
        )
        builder.save()
    return structure
