"""From what callers pass to arrays of the graph's dtypes, as TensorFlow's Session.run does it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from accel_protocol import dtypes
from accel_protocol.errors import FeedError
from accel_protocol.tensors import Array
from client_runtime.models.saved_model import TensorInfo


class FeedTypeError(FeedError, TypeError):
    """A feed's value is of a type that Session.run answers with a TypeError."""


def convert(feed_dict: Mapping[str, Any], feeds: Mapping[str, TensorInfo]) -> dict[str, Array]:
    """The arrays to send; keys that are missing or None are not fed.

    Raises:
        ValueError: an unknown key, or a value that does not convert to the tensor's dtype.
        TypeError: a Python integer that the tensor's dtype cannot hold, or an object that is no
            number or string.
    """
    unexpected = set(feed_dict) - set(feeds)
    if unexpected:
        raise ValueError(f"Got unexpected keys in input_dict: {unexpected}\nexpected: {set(feeds)}")
    return {
        alias: _convert(alias, feed_dict[alias], info)
        for alias, info in feeds.items()
        if feed_dict.get(alias) is not None
    }


def _convert(alias: str, value: Any, info: TensorInfo) -> Array:
    if info.dtype == 0:
        # A tensor inside the graph: only the accelerator knows its dtype, and converts there.
        return np.asarray(value)
    wanted = dtypes.numpy_of(info.dtype)
    if isinstance(value, int) and not isinstance(value, bool):
        _check_integer(value, wanted, info)
    try:
        array = _cast(value, wanted)
    except (ValueError, TypeError, OverflowError) as error:
        kind = FeedTypeError if isinstance(error, TypeError) else FeedError
        raise kind(
            f"Feed {alias!r} does not convert to {dtypes.name_of(info.dtype)}: {error}"
        ) from error
    if info.dtype == dtypes.STRING:
        _check_strings(alias, array)
    return array


def _cast(value: Any, wanted: np.dtype[np.generic]) -> Array:
    """An array first, cast then: what does not fit wraps or is cut, with every version of NumPy."""
    try:
        return np.asarray(value, dtype=wanted)
    except (OverflowError, TypeError):
        return np.asarray(value).astype(wanted)


def _check_integer(value: int, wanted: np.dtype[np.generic], info: TensorInfo) -> None:
    try:
        fits = info.dtype == dtypes.STRING or bool(np.asarray(value, dtype=wanted) == value)
    except OverflowError:
        fits = False
    if not fits:
        raise TypeError(
            f"Type of feed value {value} with type {type(value)} is not compatible with Tensor "
            f"type {wanted.type}. Try explicitly setting the type of the feed tensor to a larger "
            "type (e.g. int64)."
        )


def _check_strings(alias: str, array: Array) -> None:
    for element in array.reshape(-1).tolist():
        if not isinstance(element, bytes | str):
            raise FeedTypeError(
                f"Feed {alias!r} is a string tensor; it cannot hold {type(element).__name__}."
            )
