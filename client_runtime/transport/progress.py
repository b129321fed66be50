"""Progress bars for what takes over a second, on a terminal only."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[int], object]
_SHOW_AFTER_SECONDS = 1.0


@contextmanager
def progress(what: str, total_bytes: int) -> Iterator[Progress]:
    """A bar that counts bytes; call what it yields with each number of bytes done."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda _: None
        return
    from tqdm import tqdm  # here, because only few calls show anything

    with tqdm(
        total=total_bytes,
        desc=what,
        unit="B",
        unit_scale=True,
        delay=_SHOW_AFTER_SECONDS,
        leave=False,
    ) as bar:
        yield bar.update
