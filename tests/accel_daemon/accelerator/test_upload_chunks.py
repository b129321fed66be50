"""Small chunks and files of one Upload are counted, pieces are not."""

from __future__ import annotations

import pytest

from accel_daemon.accelerator.upload_chunks import UploadChunks
from accel_protocol.errors import LimitError
from accel_protocol.limits import DEFAULT_LIMITS, SMALL_BYTES, Limits

FEW = Limits(upload_small_chunks=3, bundle_files=2)


def counted(*sizes: int, limits: Limits = FEW) -> None:
    """Count chunks that end no file."""
    chunks = UploadChunks(limits)
    for size in sizes:
        chunks.count(size, ends_file=False)


@pytest.mark.parametrize("count", [2, 3])
def test_some_small_chunks(count: int) -> None:
    """Up to the limit they are taken."""
    counted(*[1] * count)


def test_one_small_chunk_too_many() -> None:
    """Is refused by the limit's name."""
    with pytest.raises(LimitError) as caught:
        counted(1, SMALL_BYTES - 1, 1, 1)
    assert caught.value.fields == {"name": "upload_small_chunks", "limit": "3", "actual": "4"}


def test_pieces_are_not_small() -> None:
    """What a client of this project sends never counts, however large the file."""
    counted(*[DEFAULT_LIMITS.piece_bytes, SMALL_BYTES] * 100)


def test_the_last_chunk_of_a_file_may_be_small() -> None:
    """A bundle of many small files is one chunk a file."""
    chunks = UploadChunks(Limits(upload_small_chunks=0))
    for _ in range(DEFAULT_LIMITS.bundle_files):
        chunks.count(1, ends_file=True)


def test_one_file_too_many() -> None:
    """One Upload brings no more files than a bundle has."""
    chunks = UploadChunks(FEW)
    chunks.count(1, ends_file=True)
    chunks.count(1, ends_file=True)
    with pytest.raises(LimitError, match="bundle_files"):
        chunks.count(1, ends_file=True)


def test_a_million_chunks_of_one_byte() -> None:
    """Are refused after a thousandth of them."""
    with pytest.raises(LimitError) as caught:
        counted(*[1] * 1_000_000, limits=DEFAULT_LIMITS)
    assert caught.value.fields["actual"] == str(DEFAULT_LIMITS.upload_small_chunks + 1)
