"""Results that convert to numbers as arrays did when the scripts were written.

`int(prediction["num_detections"])` was right for an array of shape [1] until NumPy 2.4 made it a
TypeError. Arrays made here allow it again; in everything else they are ordinary arrays.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from accel_protocol.tensors import Array


class LenientArray(np.ndarray[Any, Any]):
    """An ndarray: `int()`, `float()` and `complex()` take any that holds one element.

    What is computed from one is one again, so that `int(result.argmax(axis=1))` works too. It
    prints and pickles as an ordinary array. `operator.index` stays as strict as it has always been.
    """

    def __int__(self) -> int:
        return int(_only_element(self))

    def __float__(self) -> float:
        return float(_only_element(self))

    def __complex__(self) -> complex:
        return complex(_only_element(self))

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = True) -> Any:
        # Without this, a sum over a subclass would be an array of rank 0 instead of a number.
        return array[()] if array.ndim == 0 and return_scalar else array.view(type(self))

    def squeeze(self, axis: Any = None) -> Any:
        """See numpy.ndarray.squeeze, which in NumPy 1 would stumble over the scalars above."""
        return np.asarray(self).squeeze(axis).view(type(self))

    def __repr__(self) -> str:
        return repr(np.asarray(self))

    def __reduce_ex__(self, protocol: Any) -> Any:
        return np.asarray(self).__reduce_ex__(protocol)


def lenient(value: Any) -> Any:
    """The same memory as a LenientArray; what is no array comes back as it is."""
    return value.view(LenientArray) if isinstance(value, np.ndarray) else value


def _only_element(array: Array) -> Any:
    if array.size != 1:
        raise TypeError("only length-1 arrays can be converted to Python scalars")
    return array.item()
