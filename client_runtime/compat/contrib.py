"""Makes `tensorflow.contrib` importable in this process; importing this module is all it takes.

    import client_runtime.compat.contrib
    from tensorflow.contrib.ei.python.predictor.ei_predictor import EIPredictor

TensorFlow itself must be installed, because Python imports a package before what is in it. Its
other names stay TensorFlow 2's: `accel run` changes them, this module does not.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from client_runtime.compat.contrib_names import explain

_NAME = "tensorflow.contrib"
_FOLDER = Path(__file__).parent / "tensorflow_contrib"


class ContribFinder:
    """Finds `tensorflow.contrib` in our folder; says of its missing modules what replaced them."""

    @staticmethod
    def find_spec(
        fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """See importlib.abc.MetaPathFinder."""
        if fullname == _NAME:
            return importlib.util.spec_from_file_location(
                _NAME, _FOLDER / "__init__.py", submodule_search_locations=[str(_FOLDER)]
            )
        if not fullname.startswith(f"{_NAME}."):
            return None
        found = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if found is None:
            # Without a name: `from tensorflow.contrib import slim` would drop the words otherwise.
            raise ModuleNotFoundError(explain(fullname.removeprefix(f"{_NAME}.")))
        return found


def install() -> None:
    """What importing this module does; doing it again changes nothing."""
    if ContribFinder not in sys.meta_path:
        sys.meta_path.insert(0, ContribFinder)


install()
