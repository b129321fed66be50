"""What Keras's `predict` takes and gives, without Keras: structures, batches, dtypes, joining.

A structure is a Leaf, or a list, tuple or dict of structures; values come and go in the same form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from accel_protocol.tensors import Array

Structure = Any  # a Leaf, or a list, tuple or dict of structures
Values = dict[str, Array]  # by alias
DEFAULT_BATCH_SIZE = 32


@dataclass(frozen=True)
class Leaf:
    """One tensor that a model takes or gives.

    Attributes:
        alias: what the exported model's signature calls it.
        name: what Keras calls it.
        shape: None for an unknown size; None for an unknown rank.
        dtype: TensorFlow's name of the element type, for instance "float32" or "string".
    """

    alias: str
    name: str = ""
    shape: tuple[int | None, ...] | None = None
    dtype: str = "float32"


def rebuild(structure: Structure, of_leaf: Callable[[Any], Any]) -> Any:
    """The same structure with something else for each leaf."""
    if isinstance(structure, Mapping):
        return {key: rebuild(part, of_leaf) for key, part in structure.items()}
    if isinstance(structure, list | tuple):
        parts = [rebuild(part, of_leaf) for part in structure]
        if hasattr(structure, "_fields"):  # a named tuple
            return type(structure)(*parts)
        return tuple(parts) if isinstance(structure, tuple) else parts
    return of_leaf(structure)


def leaves(structure: Structure) -> list[Any]:
    """The leaves, in order."""
    found: list[Any] = []
    rebuild(structure, found.append)
    return found


def describe(x: Any) -> Structure:
    """The structure of one call's inputs, for a model that declares none."""
    count = iter(range(1 << 30))

    def leaf(value: Any) -> Leaf:
        alias = f"input_{next(count)}"
        dtype = "string" if value.dtype.kind in "OSU" else value.dtype.name
        return Leaf(alias, alias, (None, *value.shape[1:]) if value.ndim else (), dtype)

    return rebuild(x, leaf)


def match(x: Any, structure: Structure, *, strict: bool) -> Values:
    """The values for a declared structure, by alias.

    Args:
        x: as the structure; or a list in the order of its leaves; or a dict by their names.
        structure: what the model declares.
        strict: refuse other sizes than those declared.

    Raises:
        ValueError: `x` is not of this structure or of these sizes.
    """
    if isinstance(structure, Leaf):
        return {structure.alias: _fitted(np.asarray(_only(x, structure)), structure, strict)}
    matched: Values = {}
    for part, value in _pairs(x, structure):
        matched |= match(value, part, strict=strict)
    return matched


def _only(x: Any, leaf: Leaf) -> Any:
    """The one value for one leaf; Keras takes it in a list or dict too."""
    if isinstance(x, Mapping):
        if leaf.name not in x:
            raise ValueError(f"The model's input {leaf.name!r} is not among {sorted(x)}.")
        return x[leaf.name]
    if isinstance(x, list | tuple) and len(x) == 1:
        rank = np.ndim(x[0])
        if (hasattr(x[0], "shape") and rank) or (
            leaf.shape is not None and rank == len(leaf.shape)
        ):
            return x[0]
    return x


def _pairs(x: Any, structure: Structure) -> list[tuple[Structure, Any]]:
    if isinstance(structure, Mapping):
        if isinstance(x, Mapping):
            _check_keys(x, list(structure))
            return [(part, x[key]) for key, part in structure.items()]
        structure = [structure[key] for key in sorted(structure)]  # as Keras flattens a dict
    elif isinstance(x, Mapping):
        names = [leaf.name for leaf in leaves(structure)]
        _check_keys(x, names)
        return [(leaf, x[leaf.name]) for leaf in leaves(structure)]
    if len(structure) == 1 and not isinstance(x, list | tuple):
        return [(structure[0], x)]
    if not isinstance(x, list | tuple) or len(x) != len(structure):
        given = len(x) if isinstance(x, list | tuple) else 1
        raise ValueError(f"The model has {len(structure)} inputs, and {given} were given.")
    return list(zip(structure, x, strict=True))


def _check_keys(x: Mapping[Any, Any], names: Sequence[Any]) -> None:
    missing = [name for name in names if name not in x]
    if missing:
        raise ValueError(f"The model's inputs {missing} are not among {list(x)}.")


def _fitted(value: Array, leaf: Leaf, strict: bool) -> Array:
    """With a last axis of size 1 added or left out, where that is what is missing."""
    shape = leaf.shape
    if shape is None:
        return value
    if value.ndim == len(shape) - 1 and shape[-1] == 1:
        value = value[..., np.newaxis]
    elif value.ndim == len(shape) + 1 and value.shape[-1] == 1:
        value = value[..., 0]
    sizes = zip(shape[1:], value.shape[1:], strict=False)
    fits = value.ndim == len(shape) and all(size in (None, actual) for size, actual in sizes)
    if strict and not fits:
        raise ValueError(
            f"Input {leaf.name!r} is incompatible with the model: "
            f"expected shape={shape}, found shape={value.shape}."
        )
    return value


def as_arrays(x: Any, floatx: str) -> Any:
    """Arrays for whatever holds numbers, with floats of Keras's default width."""
    if isinstance(x, Mapping):
        return {key: as_arrays(part, floatx) for key, part in x.items()}
    if isinstance(x, list | tuple) and _holds_arrays(x):
        return tuple(as_arrays(part, floatx) for part in x)
    array = np.asarray(x)
    return array.astype(floatx, copy=False) if array.dtype.kind == "f" else array


def _holds_arrays(x: Any) -> bool:
    if isinstance(x, list | tuple):
        return bool(x) and _holds_arrays(x[0])
    return isinstance(x, Mapping) or hasattr(x, "__array__")


def is_stream(x: Any) -> bool:
    """Whether `x` gives batches: a generator, a tf.data.Dataset, a Sequence of Keras's."""
    if isinstance(x, list | tuple | Mapping) or hasattr(x, "__array__"):
        return False
    return hasattr(x, "__next__") or hasattr(x, "as_numpy_iterator") or _is_keras_sequence(x)


def stream(x: Any) -> Iterator[Any]:
    """The inputs of each batch; targets and weights that come with them are left out."""
    batches: Iterable[Any] = x
    if hasattr(x, "as_numpy_iterator"):
        batches = x.as_numpy_iterator()
    elif not hasattr(x, "__next__"):
        batches = (x[index] for index in range(len(x)))
    for batch in batches:
        yield batch[0] if isinstance(batch, tuple) else batch


def _is_keras_sequence(x: Any) -> bool:
    return hasattr(x, "__getitem__") and hasattr(x, "__len__") and not hasattr(x, "shape")


def slices(values: Values, batch_size: int) -> Iterator[Values]:
    """Batches along the first axis; the last may be smaller.

    Raises:
        ValueError: a batch size below 1, no samples, or not as many of each.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size has to be at least 1, not {batch_size}.")
    counts = {len(value) if value.ndim else 0 for value in values.values()}
    if len(counts) != 1 or 0 in counts:
        shapes = ", ".join(str(value.shape) for value in values.values())
        raise ValueError(f"Inputs need equally many samples, and at least one: {shapes}.")
    for start in range(0, counts.pop(), batch_size):
        yield {alias: value[start : start + batch_size] for alias, value in values.items()}


def join(answers: Sequence[Mapping[str, Any]], structure: Structure) -> Any:
    """The answers of all batches as one, in the model's own structure.

    Raises:
        ValueError: there is no answer.
    """
    if not answers:
        raise ValueError("There was no batch to predict on.")

    def joined(leaf: Leaf) -> Array:
        parts = [np.asarray(answer[leaf.alias]) for answer in answers]
        return np.concatenate(parts) if parts[0].ndim else np.stack(parts)

    return rebuild(structure, joined)
