"""Names that NumPy has removed and that scripts of 2019 use.

Each means what it meant. Only names that the installed NumPy lacks are added, so that no
library which runs with this NumPy can notice: it cannot have used them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

# Old name to today's name in the same module.
_RENAMED = {
    "Inf": "inf",
    "Infinity": "inf",
    "NaN": "nan",
    "alltrue": "all",
    "bool8": "bool_",
    "cfloat": "complex128",
    "complex_": "complex128",
    "cumproduct": "cumprod",
    "float_": "float64",
    "infty": "inf",
    "int0": "intp",
    "mat": "asmatrix",
    "object0": "object_",
    "product": "prod",
    "round_": "round",
    "row_stack": "vstack",
    "singlecomplex": "complex64",
    "sometrue": "any",
    "string_": "bytes_",
    "trapz": "trapezoid",
    "uint0": "uintp",
    "unicode_": "str_",
}

_BUILTINS: dict[str, Any] = {
    "bool": bool,
    "complex": complex,
    "float": float,
    "int": int,
    "long": int,
    "object": object,
    "str": str,
    "unicode": str,
}


def _asscalar(a: Any) -> Any:
    """What numpy.asscalar was."""
    return np.asarray(a).item()


def _in1d(ar1: Any, ar2: Any, **options: Any) -> Any:
    """What numpy.in1d was."""
    return np.isin(np.ravel(ar1), ar2, **options)


_FUNCTIONS: dict[str, Callable[..., Any]] = {"asscalar": _asscalar, "in1d": _in1d}


def restore() -> list[str]:
    """Add the names that are missing; answers which."""
    renamed = {old: getattr(np, new) for old, new in _RENAMED.items() if hasattr(np, new)}
    wanted = {**renamed, **_BUILTINS, **_FUNCTIONS, "NINF": -np.inf, "PINF": np.inf}
    # Asked of the dictionary: NumPy's own __getattr__ answers these names with a warning.
    missing = [name for name in wanted if name not in vars(np)]
    for name in missing:
        setattr(np, name, wanted[name])
    return missing
