"""`import tensorflow` as it was: TensorFlow 1's names and behaviour, from the TensorFlow installed.

`install()` waits for the import of TensorFlow. Then TensorFlow 2's behaviour is switched off, and
the module `tensorflow` shows the names of `tensorflow.compat.v1`: to the script, its own modules
and libraries of its age. Libraries written for TensorFlow 2 (`_VERSION_2`) share the process and
must go on seeing version 2, or Keras could not even be imported; who asks decides.

There is one module `tensorflow` and one of everything in it. A class that both versions have is
the same class under both, so isinstance holds whichever way an object was made.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any

# Top-level packages that use TensorFlow 2's names; so does every one called tensorflow…
_VERSION_2 = frozenset(
    {"client_runtime", "keras", "keras_cv", "keras_hub", "keras_nlp", "tensorboard", "tf_keras"}
)
# Both versions have these; TensorFlow 2's is the more complete.
_SHARED = frozenset({"compat"})
# Names that scripts import from TensorFlow's insides and that have moved since: module, name, and
# where version 1 shows it.
_MOVED = (
    (
        "tensorflow.python.framework.graph_util",
        "convert_variables_to_constants",
        "graph_util.convert_variables_to_constants",
    ),
    ("tensorflow.python.framework.ops", "Tensor", "Tensor"),
    ("tensorflow.python.pywrap_tensorflow", "NewCheckpointReader", "train.NewCheckpointReader"),
)
_ABSENT = object()
_HINT = (
    "No module named 'tensorflow'. This script uses TensorFlow itself: "
    "pip install 'elastic-accelerator[compat]'. (EIPredictor alone needs no TensorFlow, if it is "
    "imported from ei_for_tf.python.predictor.ei_predictor.)"
)


class TensorFlow1(ModuleType):
    """The class of the module `tensorflow` once it shows version 1."""

    def __getattribute__(self, name: str) -> Any:
        own = super().__getattribute__
        if name.startswith("__"):
            return own(name)
        script_names = own("__script_names__")
        if _caller_uses_version_2():
            hidden = name not in own("__dict__") and name in script_names
            return script_names[name] if hidden else own(name)
        if name in script_names:
            return script_names[name]
        if name == "contrib":
            return importlib.import_module("tensorflow.contrib")
        shown = _ABSENT if name in _SHARED else getattr(own("__version_1__"), name, _ABSENT)
        return own(name) if shown is _ABSENT else shown

    def __setattr__(self, name: str, value: Any) -> None:
        """What a script assigns, and submodules it imports, hide nothing from version 2's users."""
        if name.startswith("__") or _caller_uses_version_2():
            super().__setattr__(name, value)
        else:
            super().__getattribute__("__script_names__")[name] = value

    def __delattr__(self, name: str) -> None:
        if super().__getattribute__("__script_names__").pop(name, None) is None:
            super().__delattr__(name)

    def __dir__(self) -> list[str]:
        return sorted({*dir(self.__version_1__), *self.__script_names__, "contrib"})


def _caller_uses_version_2() -> bool:
    """Whether the code that reads or writes an attribute was written for TensorFlow 2."""
    caller = sys._getframe(2).f_globals.get("__name__") or ""
    package = caller.partition(".")[0]
    return package in _VERSION_2 or package.startswith("tensorflow")


class _Loader:
    """A module's own loader, and what is to be done with the module after it."""

    def __init__(self, loader: Any, afterwards: Callable[[Any], None]) -> None:
        self._loader, self._afterwards = loader, afterwards

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        """See importlib.abc.Loader."""
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        """See importlib.abc.Loader."""
        assert module.__spec__ is not None
        module.__loader__ = module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        self._afterwards(module)


class _Finder:
    """Finds `tensorflow`, and the modules of its names that both versions have."""

    @staticmethod
    def find_spec(
        fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """See importlib.abc.MetaPathFinder."""
        parent, _, name = fullname.rpartition(".")
        if fullname == "tensorflow":
            _choose_keras()
            spec = _find(fullname, path, target)
            if spec is None:
                raise ModuleNotFoundError(_HINT, name="tensorflow")
            spec.loader = _Loader(spec.loader, _turn)  # type: ignore[assignment]
            return spec
        if parent == "tensorflow" and _in_both_versions(sys.modules[parent], name):
            spec = _find(fullname, path, target)
            if spec is not None:
                spec.loader = _Loader(spec.loader, _turn_names)  # type: ignore[assignment]
            return spec
        return None


def install() -> None:
    """Make the coming import of `tensorflow` give version 1. Imports nothing itself."""
    if _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)


def _find(fullname: str, path: Any, target: Any) -> importlib.machinery.ModuleSpec | None:
    others = (finder for finder in sys.meta_path if finder is not _Finder)
    specs = (finder.find_spec(fullname, path, target) for finder in others)
    return next((spec for spec in specs if spec is not None), None)


def _choose_keras() -> None:
    """Keras 3 has nothing of TensorFlow 1; its predecessor has, where it is installed."""
    if importlib.util.find_spec("tf_keras") is not None:
        os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")


def _in_both_versions(tensorflow: Any, name: str) -> bool:
    if not isinstance(tensorflow, TensorFlow1):
        return False  # TensorFlow is just being imported
    # The last two places: see _search_path.
    return all(Path(place, name).is_dir() for place in tensorflow.__path__[-2:]) and not any(
        Path(place, name).is_dir() for place in tensorflow.__path__[:-2]
    )


def _turn(module: Any) -> None:
    """Make the module `tensorflow`, just imported, TensorFlow 1."""
    version_1 = importlib.import_module("tensorflow.compat.v1")
    with _quiet("tensorflow"):
        version_1.disable_v2_behavior()
    for place, name, shown in _MOVED:
        vars(importlib.import_module(place)).setdefault(name, attrgetter(shown)(version_1))
    _show(module, version_1)
    module.__path__ = _search_path(list(module.__path__), list(version_1.__path__))


def _turn_names(module: Any) -> None:
    """Make `tensorflow.NAME`, just imported from version 2, show version 1 likewise."""
    name = module.__name__.rpartition(".")[2]
    _show(module, importlib.import_module(f"tensorflow.compat.v1.{name}"))


def _show(module: Any, version_1: ModuleType) -> None:
    module.__version_1__ = version_1
    module.__script_names__ = {}
    module.__class__ = TensorFlow1


def _search_path(version_2: list[str], version_1: list[str]) -> list[str]:
    """Where `import tensorflow.NAME` looks.

    Each version's path ends with the folder of its own names; those before it are Keras's,
    Estimator's and TensorFlow's internal packages. The folders of names come last, 2 before 1.

    >>> _search_path(["keras/v2", "tensorflow", "tensorflow/v2"], ["keras/v1", "tensorflow/v1"])
    ['keras/v1', 'keras/v2', 'tensorflow', 'tensorflow/v2', 'tensorflow/v1']
    """
    return [*version_1[:-1], *version_2[:-1], version_2[-1], version_1[-1]]


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Keep a logger to errors: the script's author has nothing to do about our calls' warnings."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
