"""Feeds made from a signature, for measuring: the right dtypes and shapes, meaningless values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from accel_protocol import dtypes
from accel_protocol.errors import FeedError
from accel_protocol.limits import DEFAULT_LIMITS
from accel_protocol.tensors import Array
from client_runtime.models.saved_model import TensorInfo

_SEED = 0


def parse_sizes(pairs: Sequence[tuple[str, str]]) -> dict[str, tuple[int, ...]]:
    """`--dim FEED=SIZE[,SIZE…]` as sizes by feed.

    Raises:
        FeedError: a size is no number of at least 0, or a feed is named twice.
    """
    sizes: dict[str, tuple[int, ...]] = {}
    for name, text in pairs:
        parts = [part.strip() for part in text.split(",")]
        if name in sizes or not all(part.isascii() and part.isdigit() for part in parts):
            raise FeedError(
                f"--dim {name}={text} is not understood, or names a feed a second time.",
                remedy="Write --dim FEED=SIZE or --dim FEED=SIZE,SIZE, once for each feed.",
            )
        sizes[name] = tuple(int(part) for part in parts)
    return sizes


def shape_for(
    name: str, info: TensorInfo, batch: int | None, sizes: tuple[int, ...]
) -> tuple[int, ...]:
    """A feed's shape with its unknown dimensions filled in.

    Args:
        name: for messages.
        info: the feed.
        batch: size of an unknown first dimension; None for 1.
        sizes: of the other unknown ones, in order; one size is good for all, none means 1. For an
            unknown rank, all dimensions after the first.

    Raises:
        FeedError: the sizes do not fit, or the first dimension is fixed at another size.
    """
    if info.shape is None:
        return (batch or 1, *sizes)
    shape = list(info.shape)
    if shape and shape[0] < 0:
        shape[0] = batch or 1
    elif shape and batch is not None and batch != shape[0]:
        raise FeedError(
            f"The first dimension of the feed {name!r} is fixed at {shape[0]}.",
            remedy=f"Leave out --batch, or give --batch {shape[0]}.",
        )
    unknown = [axis for axis, size in enumerate(shape) if size < 0]
    if len(sizes) not in (0, 1, len(unknown)) or (sizes and not unknown):
        raise FeedError(
            f"The feed {name!r} has {len(unknown)} unknown dimensions besides the first, and "
            f"--dim says {len(sizes)} sizes."
        )
    filled = sizes * len(unknown) if len(sizes) == 1 else sizes or (1,) * len(unknown)
    for axis, size in zip(unknown, filled, strict=True):
        shape[axis] = size
    return tuple(shape)


def rows_of(arrays: Iterable[Array]) -> int:
    """The first dimension that all feeds share; 1 where they do not."""
    sizes = {array.shape[0] if array.ndim else 1 for array in arrays}
    return sizes.pop() if len(sizes) == 1 else 1


def make_feeds(
    feeds: Mapping[str, TensorInfo], batch: int | None, sizes: Mapping[str, tuple[int, ...]]
) -> dict[str, Array]:
    """An array for every feed, the same at every call.

    Raises:
        FeedError: see `shape_for`; sizes for what is not random; a feed whose dtype is not known; a
            feed larger than a call may be.
    """
    strangers = sorted(set(sizes) - set(feeds))
    if strangers:
        raise FeedError(
            f"--dim names {', '.join(strangers)}, which are no random feeds.",
            remedy=f"Random feeds are: {', '.join(sorted(feeds)) or 'none'}.",
        )
    if batch is not None and not feeds:
        raise FeedError(
            "--batch is the size of random feeds, and no feed is random.",
            remedy="Leave out --batch, or leave out --input.",
        )
    generator = np.random.default_rng(_SEED)
    shapes = {
        name: shape_for(name, info, batch, sizes.get(name, ())) for name, info in feeds.items()
    }
    return {
        name: _values(name, info.dtype, shapes[name], generator) for name, info in feeds.items()
    }


def _values(name: str, dtype: int, shape: tuple[int, ...], generator: np.random.Generator) -> Array:
    if dtype not in dtypes.supported():
        raise FeedError(
            f"The model does not say the dtype of the feed {name!r}.",
            remedy=f"Give it a value: --input {name}=@FILE.",
        )
    wanted = dtypes.numpy_of(dtype)
    if math.prod(shape) * wanted.itemsize > DEFAULT_LIMITS.call_bytes:
        raise FeedError(f"The feed {name!r} of shape {list(shape)} is larger than a call may be.")
    if dtype == dtypes.STRING:
        return np.full(shape, b"x", dtype=object)
    if wanted == np.uint8:
        return generator.integers(0, 256, shape, dtype=np.uint8)
    if wanted.kind in "iub":
        # Small, because whole numbers are mostly indexes, and an index must not be out of range.
        return np.asarray(generator.integers(0, 2, shape)).astype(wanted)
    return np.asarray(generator.random(shape, dtype=np.float32)).astype(wanted)
