"""A store whose process is killed, or whose disk fails, at any step: what is left is right."""

from __future__ import annotations

import errno
import hashlib
import resource
import signal
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from accel_daemon.accelerator.store import BundleStore, missing_files
from accel_protocol.errors import AcceleratorError, InternalError, ModelMissingError
from accel_protocol.limits import DEFAULT_LIMITS, Limits
from tests.accel_daemon.accelerator.disk_steps import READING, WRITING, dies, failing, raising
from tests.accel_daemon.accelerator.test_store import digest, files_below, manifest_of

FILES = {"saved_model.pb": b"0123456789", "variables/variables.index": b"index", "assets/w": b""}
MANIFEST = manifest_of(FILES)
OLD = {"saved_model.pb": b"an old graph" * 100, "variables/variables.index": b"index"}


def bring(store: BundleStore, files: dict[str, bytes]) -> None:
    """What a client and `Load` do for a model: send what is missing, in pieces, then link it."""
    contents = {digest(content): content for content in files.values()}
    sizes = {sha256: len(content) for sha256, content in contents.items()}
    for sha256, offset in missing_files(store, sizes):
        send(store, contents[sha256], offset)
    store.keep_manifest(manifest_of(files))
    store.bundle(manifest_of(files))


def send(store: BundleStore, content: bytes, offset: int) -> None:
    """Upload the rest of a file in some pieces."""
    size = max(4, len(content) // 3)
    with closing(store.receive(digest(content), len(content))) as upload:
        while not upload.append(offset, content[offset : offset + size]):
            offset += size


def whole(files: dict[str, bytes]) -> dict[str, bytes]:
    """All that a store holds of these files and no others."""
    manifest = manifest_of(files)
    name = manifest.graph_id().hex()
    return {
        f"manifests/{name}": manifest.canonical(),
        **{f"blobs/{digest(content)}": content for content in files.values()},
        **{f"bundles/{name}/{path}": content for path, content in files.items()},
    }


def check_names(root: Path) -> None:
    """What stands under a digest has it; unfinished files are elsewhere."""
    for folder in ("blobs", "manifests"):
        for path in (root / folder).iterdir():
            assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name


def each_step(
    tmp_path: Path, prepare: Callable[[Path], None], work: Callable[[Path], None]
) -> list[Path]:
    """The folder of a store for each step of the work, at which its process was killed."""
    roots: list[Path] = []
    while True:
        root = tmp_path / str(len(roots))
        prepare(root)
        if not dies(lambda root=root: work(root), len(roots)):  # type: ignore[misc]
            return roots
        roots.append(root)


def test_a_process_killed_at_any_step_of_an_upload(tmp_path: Path) -> None:
    """Leaves whole files and parts only, and the next process goes on to the same end."""
    roots = each_step(
        tmp_path, lambda root: None, lambda root: bring(BundleStore(root, DEFAULT_LIMITS), FILES)
    )
    assert len(roots) > 30
    for root in roots:
        store = BundleStore(root, DEFAULT_LIMITS)
        check_names(root)
        bring(store, FILES)
        assert files_below(root) == whole(FILES)


def test_a_process_killed_at_any_step_of_making_room(tmp_path: Path) -> None:
    """Leaves the old model whole, or to be sent again; the new one comes in any case."""
    measured = BundleStore(tmp_path / "measured", DEFAULT_LIMITS)
    bring(measured, OLD)
    limits = Limits(store_bytes=measured.used_bytes())
    roots = each_step(
        tmp_path,
        lambda root: bring(BundleStore(root, limits), OLD),
        lambda root: bring(BundleStore(root, limits), FILES),
    )
    assert len(roots) > 30
    for root in roots:
        store = BundleStore(root, limits)
        check_names(root)
        bring(store, FILES)
        assert files_below(root) == whole(FILES)
        assert all(content in FILES.values() for content in files_below(root / "blobs").values())


@pytest.mark.parametrize("size", range(1, 10))
def test_a_process_killed_inside_a_write(tmp_path: Path, size: int) -> None:
    """What it had written so far is gone on with: here no file can be larger than `size`."""

    def work() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        store = BundleStore(tmp_path, DEFAULT_LIMITS)
        send(store, FILES["saved_model.pb"], 0)

    assert dies(work, at=10**6)
    store = BundleStore(tmp_path, DEFAULT_LIMITS)
    sha256 = digest(FILES["saved_model.pb"])
    assert missing_files(store, {sha256: 10}) == [(sha256, size)]
    send(store, FILES["saved_model.pb"], size)
    assert files_below(tmp_path) == {f"blobs/{sha256}": FILES["saved_model.pb"]}


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_a_disk_that_fails_once_at_any_step(tmp_path: Path, number: int) -> None:
    """The call fails with a typed error that may be tried again, and then does all there is."""
    at = 0
    while True:
        store = BundleStore(tmp_path / str(at), DEFAULT_LIMITS)
        try:
            with failing(WRITING, at, raising(number)) as steps:
                bring(store, FILES)
        except AcceleratorError as error:
            assert error.retryable
            assert "nobody" not in str(error)
        if len(steps) <= at:
            break
        check_names(tmp_path / str(at))
        bring(store, FILES)
        assert files_below(tmp_path / str(at)) == whole(FILES)
        at += 1
    assert at > 30


@pytest.fixture
def store(tmp_path: Path) -> BundleStore:
    """A store that holds a model."""
    store = BundleStore(tmp_path, DEFAULT_LIMITS)
    bring(store, FILES)
    return BundleStore(tmp_path, DEFAULT_LIMITS)


def test_a_whole_file_that_cannot_be_read(store: BundleStore, tmp_path: Path) -> None:
    """Is asked for again, and then its model is there."""
    with failing(READING, 0, raising(errno.EIO)), pytest.raises(ModelMissingError) as caught:
        store.bundle(MANIFEST)
    assert caught.value.retryable
    assert files_below(tmp_path) != whole(FILES)
    bring(store, FILES)
    assert files_below(tmp_path) == whole(FILES)


def test_a_manifest_that_cannot_be_read(store: BundleStore, tmp_path: Path) -> None:
    """Is asked for again."""
    with failing(READING, 0, raising(errno.EIO)), pytest.raises(ModelMissingError):
        store.manifest(MANIFEST.graph_id())
    bring(store, FILES)
    assert store.manifest(MANIFEST.graph_id()) == MANIFEST
    assert files_below(tmp_path) == whole(FILES)


def test_a_part_that_cannot_be_read(tmp_path: Path) -> None:
    """Is not gone on with: the file comes anew."""
    store = BundleStore(tmp_path, DEFAULT_LIMITS)
    content = FILES["saved_model.pb"]
    (tmp_path / "partial" / digest(content)).write_bytes(content[:5])
    with failing(READING, 0, raising(errno.EIO)), pytest.raises(InternalError) as caught:
        send(store, content, 5)
    assert caught.value.retryable
    assert missing_files(store, {digest(content): 10}) == [(digest(content), 0)]
    send(store, content, 0)
    assert files_below(tmp_path) == {f"blobs/{digest(content)}": content}


def test_a_finished_part_that_cannot_be_read(tmp_path: Path) -> None:
    """Does not keep its file away for good, where its process ended before it got its place."""
    store = BundleStore(tmp_path, DEFAULT_LIMITS)
    content = FILES["saved_model.pb"]
    (tmp_path / "partial" / digest(content)).write_bytes(content)
    with failing(READING, 0, raising(errno.EIO)):
        assert missing_files(store, {digest(content): 10}) == [(digest(content), 0)]
    send(store, content, 0)
    assert files_below(tmp_path) == {f"blobs/{digest(content)}": content}
