"""An Upload's chunks are taken while those before are written, and not without bound."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from accel_daemon.accelerator.blob_upload import BlobUpload
from accel_daemon.accelerator.incoming_files import IncomingFiles
from accel_daemon.accelerator.store import BundleStore
from accel_protocol import upload_frames
from accel_protocol.errors import AcceleratorError, LimitError, ModelError, StreamError
from accel_protocol.limits import DEFAULT_LIMITS, KIB, Limits
from accel_protocol.upload_frames import Chunk
from accel_protocol.v1 import accelerator_pb2 as pb
from tests.conftest import patience

LIMITS = Limits(piece_bytes=128 * KIB)
PIECE = bytes(range(256)) * 512


class SlowStore(BundleStore):
    """A store that takes no file before it is told to."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, DEFAULT_LIMITS)
        self.go = threading.Event()

    def receive(self, sha256: str, size: int) -> BlobUpload:
        """See `BundleStore.receive`."""
        assert self.go.wait(patience(60))
        return super().receive(sha256, size)


def chunks_of(content: bytes, piece: int = len(PIECE)) -> list[Chunk]:
    """The chunks of a file, as they are read from their messages."""
    blob = pb.Blob(sha256=hashlib.sha256(content).digest(), size=len(content))
    starts = range(0, len(content), piece)
    messages = [upload_frames.encode(blob, at, content[at : at + piece]) for at in starts]
    return [upload_frames.decode(message) for message in messages]


async def each(
    chunks: Sequence[Chunk], then: Callable[[], object] = lambda: None
) -> AsyncIterator[Chunk]:
    """Chunks that come one after the other, and what happens in the end."""
    for chunk in chunks:
        yield chunk
    then()


def receive(store: BundleStore, chunks: AsyncIterator[Chunk]) -> list[str]:
    """Take these chunks; the digests of the files that became whole."""

    async def take() -> list[str]:
        files = IncomingFiles(store, LIMITS)
        await files.receive(chunks, lambda size: None)
        return [blob.sha256.hex() for blob in files.stored]

    return asyncio.run(take())


def test_several_files(tmp_path: Path) -> None:
    """Each is whole when the call is answered, empty ones too."""
    contents = [PIECE * 5, b"small", PIECE]
    empty = Chunk(pb.Blob(sha256=hashlib.sha256(b"").digest()), 0, b"", 0)
    chunks = [chunk for content in contents for chunk in chunks_of(content)]
    stored = receive(BundleStore(tmp_path, DEFAULT_LIMITS), each([*chunks, empty]))
    assert stored == [hashlib.sha256(content).hexdigest() for content in (*contents, b"")]
    for content in (*contents, b""):
        path = tmp_path / "blobs" / hashlib.sha256(content).hexdigest()
        assert path.read_bytes() == content


def test_chunks_are_taken_while_others_are_written(tmp_path: Path) -> None:
    """The second one comes although the first is still on its way to the disk."""
    store, content = SlowStore(tmp_path), PIECE * 2

    async def come() -> AsyncIterator[Chunk]:
        first, second = chunks_of(content)
        yield first
        yield second
        store.go.set()  # not reached where the first has to be written before

    assert receive(store, come()) == [hashlib.sha256(content).hexdigest()]


@pytest.mark.parametrize("size", [len(PIECE), 1])
def test_no_more_is_taken_than_may_wait(tmp_path: Path, size: int) -> None:
    """However small the chunks are, while the disk does not come after."""
    store, came = SlowStore(tmp_path), list[int]()
    content = (PIECE * 20)[: 20 * size]

    async def take() -> int:
        files = IncomingFiles(store, LIMITS)
        work = asyncio.create_task(files.receive(each(chunks_of(content, size)), came.append))
        await asyncio.sleep(0.2)
        waiting = len(came)
        store.go.set()
        await work
        return waiting

    # One batch is with the thread, which waits, and the next is full at most.
    assert asyncio.run(take()) <= 12
    assert len(came) == 20


@pytest.mark.parametrize(
    ("chunks", "error"),
    [
        (chunks_of(PIECE * 9)[1:], StreamError),
        ([*chunks_of(PIECE * 9)[:8], chunks_of(b"?" * len(PIECE) * 9)[8]], StreamError),
        ([Chunk(one.blob, one.offset, b"?" * len(one.data), 0) for one in chunks_of(PIECE * 9)],
         ModelError),
        ([Chunk(pb.Blob(sha256=b"short", size=1), 0, b"x", 0)], StreamError),
        (chunks_of(PIECE[:1100], 1)[:-1], LimitError),
    ],
    ids=["a gap", "another file", "another content", "no digest", "a flood"],
)  # fmt: skip
def test_what_a_thread_finds_wrong_ends_the_call(
    tmp_path: Path, chunks: list[Chunk], error: type[AcceleratorError]
) -> None:
    """With its own error, and nothing is in the place of a whole file."""
    store = BundleStore(tmp_path, DEFAULT_LIMITS)
    with pytest.raises(error):
        receive(store, each(chunks))
    assert list((tmp_path / "blobs").iterdir()) == []


def test_a_call_that_breaks_after_something_was_wrong(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Is ended by what broke it, and nothing of the rest reaches the log."""
    store = BundleStore(tmp_path, DEFAULT_LIMITS)

    async def come() -> AsyncIterator[Chunk]:
        yield chunks_of(PIECE * 2)[1]
        await asyncio.sleep(0.2)
        raise ConnectionError("the cable is cut here")

    with pytest.raises(ConnectionError):
        receive(store, come())
    gc.collect()
    assert "never retrieved" not in caplog.text


def test_what_came_before_the_call_broke_stays(tmp_path: Path) -> None:
    """All of it, and the file can be gone on with at once."""
    store, content = BundleStore(tmp_path, DEFAULT_LIMITS), PIECE * 3
    sha256 = hashlib.sha256(content).hexdigest()

    def breaks() -> None:
        raise ConnectionError("the cable is cut here")

    with pytest.raises(ConnectionError):
        receive(store, each(chunks_of(content)[:2], breaks))
    assert store.committed_bytes(sha256, len(content)) == 2 * len(PIECE)
    assert receive(store, each(chunks_of(content)[2:])) == [sha256]


def test_a_call_that_is_cancelled_lets_its_file_go(tmp_path: Path) -> None:
    """Once the thread that is at it has come back, and not before."""
    store, content = SlowStore(tmp_path), PIECE * 3
    sha256 = hashlib.sha256(content).hexdigest()

    async def cancelled() -> None:
        files = IncomingFiles(store, LIMITS)
        work = asyncio.create_task(files.receive(each(chunks_of(content)), lambda size: None))
        await asyncio.sleep(0.05)
        work.cancel()
        await asyncio.sleep(0.05)
        assert not work.done()
        store.go.set()
        await asyncio.wait([work])
        assert work.cancelled()

    asyncio.run(cancelled())
    assert store.has(sha256)
    store.receive(sha256, len(content)).close()
