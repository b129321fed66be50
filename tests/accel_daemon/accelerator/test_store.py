"""The store holds what it verified itself, goes on where an upload stopped, and heals."""

from __future__ import annotations

import errno
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accel_daemon.accelerator.store import BundleStore, missing_files, principal_folder
from accel_protocol.errors import (
    BusyError,
    LimitError,
    ModelError,
    ModelMissingError,
    StreamError,
)
from accel_protocol.limits import DEFAULT_LIMITS, Limits
from accel_protocol.manifest import SAVED_MODEL, BundleFile, Manifest, Selection
from tests.accel_daemon.accelerator.disk_steps import READING, failing, raising

CONTENT = b"0123456789"


def digest(content: bytes) -> str:
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def lacking(store: BundleStore, *digests: str) -> list[tuple[str, int]]:
    """What the store says it lacks of files of CONTENT's size."""
    return missing_files(store, dict.fromkeys(digests, len(CONTENT)))


def put(store: BundleStore, content: bytes) -> str:
    """Upload a file in one chunk."""
    with closing(store.receive(digest(content), len(content))) as upload:
        assert upload.append(0, content)
    return digest(content)


def manifest_of(files: dict[str, bytes]) -> Manifest:
    """A manifest of these files."""
    entries = (BundleFile(name, len(files[name]), digest(files[name])) for name in sorted(files))
    return Manifest(SAVED_MODEL, tuple(entries), Selection(signature="serving_default"))


def files_below(folder: Path) -> dict[str, bytes]:
    """All files below a folder by relative name."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder of a principal, not made yet."""
    return tmp_path / "principal"


@pytest.fixture
def store(root: Path) -> Iterator[BundleStore]:
    """An empty store."""
    return BundleStore(root, DEFAULT_LIMITS)


def test_a_whole_file_is_stored_under_its_digest(store: BundleStore, root: Path) -> None:
    """After the last byte the file is there and nothing is left over."""
    sha256 = put(store, CONTENT)
    assert store.has(sha256)
    assert files_below(root) == {f"blobs/{sha256}": CONTENT}


@given(st.lists(st.binary(min_size=1, max_size=8), min_size=1, max_size=6), st.data())
@settings(deadline=None, max_examples=30)
def test_an_upload_goes_on_wherever_it_stopped(
    tmp_path_factory: pytest.TempPathFactory, chunks: list[bytes], data: st.DataObject
) -> None:
    """Chunks may come in any number of uploads, each beginning at the committed offset."""
    store = BundleStore(tmp_path_factory.mktemp("store"), DEFAULT_LIMITS)
    content = b"".join(chunks)
    sha256, offset, done = digest(content), 0, False
    upload = store.receive(sha256, len(content))
    for chunk in chunks:
        if data.draw(st.booleans()):
            upload.close()
            assert store.committed_bytes(sha256, len(content)) == offset
            upload = store.receive(sha256, len(content))
        done = upload.append(offset, chunk)
        offset += len(chunk)
    upload.close()
    assert done
    assert store.has(sha256)


def test_an_upload_goes_on_in_another_process(store: BundleStore, root: Path) -> None:
    """A store opened anew over the same folder knows what had come."""
    sha256 = digest(CONTENT)
    with closing(store.receive(sha256, len(CONTENT))) as upload:
        assert not upload.append(0, CONTENT[:4])
    again = BundleStore(root, DEFAULT_LIMITS)
    assert lacking(again, sha256) == [(sha256, 4)]
    with closing(again.receive(sha256, len(CONTENT))) as upload:
        assert upload.append(4, CONTENT[4:])
    assert lacking(again, sha256) == []


@pytest.mark.parametrize("chunks", [[b"x" * 10], [b"01234", b"x" * 5], [b"x", CONTENT[1:]]])
def test_a_wrong_digest_stores_nothing(store: BundleStore, root: Path, chunks: list[bytes]) -> None:
    """Neither a file nor a part of it is left, so that the next upload begins anew."""
    with closing(store.receive(digest(CONTENT), 10)) as upload:
        for chunk in chunks[:-1]:
            upload.append(0, chunk)
        with pytest.raises(ModelError) as caught:
            upload.append(10 - len(chunks[-1]), chunks[-1])
    assert caught.value.reason == "DIGEST_MISMATCH"
    assert files_below(root) == {}
    assert lacking(store, digest(CONTENT)) == [(digest(CONTENT), 0)]


def test_a_wrong_first_part_stores_nothing(store: BundleStore, root: Path) -> None:
    """What an earlier upload left counts into the digest."""
    with closing(store.receive(digest(CONTENT), 10)) as upload:
        upload.append(0, b"wrong")
    with closing(store.receive(digest(CONTENT), 10)) as upload, pytest.raises(ModelError):
        upload.append(5, CONTENT[5:])
    assert files_below(root) == {}


@pytest.mark.parametrize(
    ("offset", "data"),
    [
        (3, b"3"),  # overlap
        (0, b"0"),  # from the start again
        (5, b"5"),  # gap
        (4, b""),  # no bytes
        (4, b"456789!"),  # more than announced
        (-1, b"x"),  # nowhere
    ],
)
def test_chunks_that_do_not_fit_are_refused(store: BundleStore, offset: int, data: bytes) -> None:
    """Overlap, gap, emptiness and excess are refused, and what had come stays."""
    sha256 = digest(CONTENT)
    with closing(store.receive(sha256, len(CONTENT))) as upload:
        upload.append(0, CONTENT[:4])
        with pytest.raises(StreamError):
            upload.append(offset, data)
    assert lacking(store, sha256) == [(sha256, 4)]


def test_an_empty_file_is_stored(store: BundleStore) -> None:
    """One chunk without bytes makes an empty file whole."""
    sha256 = put(store, b"")
    assert store.has(sha256)


def test_each_missing_file_is_named_once(store: BundleStore) -> None:
    """A bundle may hold one content under several names."""
    there, absent = put(store, b"there"), digest(b"absent")
    assert lacking(store, absent, there, absent) == [(absent, 0)]


BUNDLE = {
    "saved_model.pb": b"graph",
    "variables/variables.index": b"index",
    "variables/variables.data-00000-of-00001": b"weights",
    "assets/words.txt": b"",
    "assets/copy of the graph": b"graph",
}


def test_a_bundle_lies_under_its_own_names(store: BundleStore) -> None:
    """The folder holds exactly the manifest's files."""
    for content in BUNDLE.values():
        put(store, content)
    assert files_below(store.bundle(manifest_of(BUNDLE))) == BUNDLE


def test_a_bundle_can_be_asked_for_again(store: BundleStore) -> None:
    """What someone left in the folder is gone the second time."""
    for content in BUNDLE.values():
        put(store, content)
    (store.bundle(manifest_of(BUNDLE)) / "stranger").write_bytes(b"?")
    assert files_below(store.bundle(manifest_of(BUNDLE))) == BUNDLE


def test_two_bundles_share_files_and_nothing_else(store: BundleStore) -> None:
    """Models with files in common take their place once."""
    for content in BUNDLE.values():
        put(store, content)
    smaller = {"saved_model.pb": b"graph"}
    before = store.used_bytes()
    folders = [store.bundle(manifest_of(files)) for files in (BUNDLE, smaller)]
    assert [files_below(folder) for folder in folders] == [BUNDLE, smaller]
    assert store.used_bytes() == before


@pytest.mark.parametrize("missing", ["saved_model.pb", "assets/words.txt"])
def test_a_bundle_with_a_file_missing_is_missing(store: BundleStore, missing: str) -> None:
    """The client is told to upload."""
    for content in BUNDLE.values():
        if content != BUNDLE[missing]:
            put(store, content)
    with pytest.raises(ModelMissingError):
        store.bundle(manifest_of(BUNDLE))


@pytest.mark.parametrize("damage", [b"grape", b"grap", b"graph!", b""])
def test_a_damaged_file_is_removed_and_missing(
    store: BundleStore, root: Path, damage: bytes
) -> None:
    """A process that starts after the disk went bad asks for the file again, and heals."""
    sha256 = put(store, b"graph")
    (root / "blobs" / sha256).write_bytes(damage)
    store = BundleStore(root, DEFAULT_LIMITS)
    manifest = manifest_of({"saved_model.pb": b"graph"})
    with pytest.raises(ModelMissingError):
        store.bundle(manifest)
    assert lacking(store, sha256) == [(sha256, 0)]
    put(store, b"graph")
    assert files_below(store.bundle(manifest)) == {"saved_model.pb": b"graph"}


def test_what_has_just_arrived_is_not_read_again(store: BundleStore) -> None:
    """Its digest was computed when it came, and nobody has written to it since."""
    for content in BUNDLE.values():
        put(store, content)
    with failing(READING, 0, raising(errno.EIO)) as steps:
        folder = store.bundle(manifest_of(BUNDLE))
    assert steps == []
    assert files_below(folder) == BUNDLE


def test_another_process_reads_each_file_again(store: BundleStore, root: Path) -> None:
    """What the disk lost in between would be found."""
    for content in BUNDLE.values():
        put(store, content)
    with failing(READING, 10**6, raising(errno.EIO)) as steps:
        BundleStore(root, DEFAULT_LIMITS).bundle(manifest_of(BUNDLE))
    assert len(steps) >= len(set(BUNDLE.values()))


def test_what_is_damaged_once_it_has_arrived_is_missing(store: BundleStore, root: Path) -> None:
    """Also in the process that has seen it arrive: its time of change tells."""
    path = root / "blobs" / put(store, b"graph")
    path.write_bytes(b"grape")
    os.utime(path, ns=(0, time.time_ns()))  # as a clock that ticks slowly would have it later
    with pytest.raises(ModelMissingError):
        store.bundle(manifest_of({"saved_model.pb": b"graph"}))
    assert lacking(store, digest(b"graph")) == [(digest(b"graph"), 0)]


def test_a_manifest_is_remembered(store: BundleStore, root: Path) -> None:
    """A graph loads again by its id, in a later process too."""
    manifest = manifest_of(BUNDLE)
    store.keep_manifest(manifest)
    store.keep_manifest(manifest)
    assert BundleStore(root, DEFAULT_LIMITS).manifest(manifest.graph_id()) == manifest


def test_an_unknown_manifest_is_missing(store: BundleStore) -> None:
    """A graph never shown to this principal does not exist for it."""
    with pytest.raises(ModelMissingError):
        store.manifest(bytes(32))


@pytest.mark.parametrize("graph_id", [b"", b"\x01", bytes(33), bytes(4096)])
def test_what_is_no_graph_id_is_missing(store: BundleStore, graph_id: bytes) -> None:
    """It never becomes a path."""
    with pytest.raises(ModelMissingError):
        store.manifest(graph_id)


def test_a_damaged_manifest_is_removed_and_missing(store: BundleStore, root: Path) -> None:
    """A manifest that does not have its digest any more is asked for again."""
    manifest = manifest_of(BUNDLE)
    store.keep_manifest(manifest)
    path = root / "manifests" / manifest.graph_id().hex()
    path.write_bytes(path.read_bytes().replace(b"graph", b"grape"))
    with pytest.raises(ModelMissingError):
        store.manifest(manifest.graph_id())
    assert not path.exists()


PRINCIPALS = [
    ("000000000001", "arn:aws:iam::000000000001:user/a"),
    ("000000000001", "arn:aws:iam::000000000001:user/b"),
    ("000000000002", "arn:aws:iam::000000000002:user/a"),
    ("000000000001", "../../etc"),
    ("000000000001", ""),
]


def test_principals_have_folders_of_their_own() -> None:
    """Another name or another account is another folder."""
    assert len({principal_folder(*who) for who in PRINCIPALS}) == len(PRINCIPALS)


@pytest.mark.parametrize("who", PRINCIPALS)
def test_a_principal_s_folder_is_a_plain_name(who: tuple[str, str]) -> None:
    """No name of a principal leads anywhere else."""
    name = principal_folder(*who)
    assert len(name) == 32
    assert set(name) <= set("0123456789abcdef")


def test_what_others_uploaded_is_invisible(tmp_path: Path) -> None:
    """A file of another principal looks like a file nobody has."""
    one, two = (BundleStore(tmp_path / name, DEFAULT_LIMITS) for name in ("one", "two"))
    sha256 = put(one, CONTENT)
    assert lacking(two, sha256) == [(sha256, 0)]


def test_folders_are_for_the_process_only(store: BundleStore, root: Path) -> None:
    """Other users of the host cannot look into a store."""
    assert {path.stat().st_mode & 0o077 for path in root.iterdir()} == {0}


@pytest.mark.parametrize(("size", "allowed"), [(9, True), (10, True), (11, False)])
def test_a_file_is_limited(root: Path, size: int, allowed: bool) -> None:
    """One above `file_bytes` is refused before any byte came."""
    store = BundleStore(root, Limits(file_bytes=10))
    if allowed:
        store.receive(digest(b""), size).close()
    else:
        with pytest.raises(LimitError):
            store.receive(digest(b""), size)


@pytest.mark.parametrize(("size", "allowed"), [(2, True), (3, True), (4, False)])
def test_all_files_of_a_principal_are_limited(root: Path, size: int, allowed: bool) -> None:
    """Those that arrive count as they were announced, and nothing is removed from under them."""
    store = BundleStore(root, Limits(store_bytes=20))
    put(store, CONTENT)
    with closing(store.receive(digest(b"partial"), 7)) as upload:
        upload.append(0, b"part")
        if allowed:
            store.receive(digest(b"more"), size).close()
        else:
            with pytest.raises(LimitError) as caught:
                store.receive(digest(b"more"), size)
            assert caught.value.fields == {"name": "store_bytes", "limit": "20", "actual": "21"}


def test_a_file_that_is_gone_on_with_counts_once(root: Path) -> None:
    """What is here of it already is part of what was announced."""
    store = BundleStore(root, Limits(store_bytes=10))
    with closing(store.receive(digest(CONTENT), 10)) as upload:
        upload.append(0, CONTENT[:4])
    with closing(store.receive(digest(CONTENT), 10)) as upload:
        assert upload.append(4, CONTENT[4:])


@pytest.mark.parametrize(("passed", "kept"), [(0.0, True), (599.0, True), (601.0, False)])
def test_what_a_client_counts_on_is_kept_for_ten_minutes(
    root: Path, passed: float, kept: bool
) -> None:
    """By the clock that nobody sets: no longer, and no shorter."""
    now = [50.0]
    store = BundleStore(root, Limits(store_bytes=10), clock=lambda: now[0])
    first = put(store, CONTENT)
    now[0] += passed
    try:
        put(store, CONTENT[::-1])
    except LimitError:
        assert kept
    assert store.has(first) == kept


def test_used_bytes_are_those_of_all_files(store: BundleStore) -> None:
    """Whole files and parts."""
    put(store, CONTENT)
    with closing(store.receive(digest(b"partial"), 7)) as upload:
        upload.append(0, b"part")
    assert store.used_bytes() == 14


def test_manifests_are_counted(store: BundleStore) -> None:
    """They are on the same disk, and may be a MiB each."""
    manifest = manifest_of({"saved_model.pb": CONTENT})
    put(store, CONTENT)
    for _ in range(2):
        store.keep_manifest(manifest)
        assert store.used_bytes() == len(CONTENT) + len(manifest.canonical())


def test_manifests_are_limited(root: Path) -> None:
    """One more than fits pushes out the graph that was used least lately, or is refused."""
    manifests = [manifest_of({str(number): CONTENT}) for number in range(3)]
    size = len(manifests[0].canonical())
    in_use: set[bytes] = set()
    limits = Limits(store_bytes=2 * size + 5)
    store = BundleStore(root, limits, lambda: frozenset(in_use))
    for manifest in manifests:
        store.keep_manifest(manifest)
        assert store.used_bytes() <= limits.store_bytes
    here = [store.has_manifest(manifest.graph_id()) for manifest in manifests]
    assert here == [False, True, True]

    in_use.update(manifest.graph_id() for manifest in manifests[1:])
    with pytest.raises(LimitError, match="store_bytes"):
        store.keep_manifest(manifests[0])
    assert not store.has_manifest(manifests[0].graph_id())


def test_two_uploads_of_one_file_at_once_store_the_right_content(
    store: BundleStore, root: Path
) -> None:
    """Two clients of one principal may bring the same model at the same time."""
    sha256 = digest(CONTENT)
    uploads = []
    try:
        uploads.append(store.receive(sha256, len(CONTENT)))
        uploads.append(store.receive(sha256, len(CONTENT)))
        for start, end in ((0, 5), (5, 10)):
            for upload in uploads:
                upload.append(start, CONTENT[start:end])
                upload._stream.flush()
    except (StreamError, ModelError, BusyError, OSError):
        pass  # One of them may be sent away; what is stored has to be right.
    finally:
        for upload in uploads:
            upload.close()
    for path in (root / "blobs").iterdir():
        assert path.read_bytes() == CONTENT
    assert store.has(sha256) or store.committed_bytes(sha256, len(CONTENT)) <= len(CONTENT)


def test_a_part_with_all_its_bytes_can_be_finished(store: BundleStore, root: Path) -> None:
    """A process that ends between the last byte and the file's place leaves such a part."""
    sha256 = digest(CONTENT)
    (root / "partial" / sha256).write_bytes(CONTENT)
    (_, committed), *_ = lacking(store, sha256) or [(sha256, 0)]
    if not store.has(sha256):
        with closing(store.receive(sha256, len(CONTENT))) as upload:
            upload.append(committed, CONTENT[committed:])
    assert store.has(sha256)


def test_a_part_that_is_too_long_begins_anew(store: BundleStore) -> None:
    """An upload that announced a wrong size must not make the digest unusable."""
    sha256 = digest(CONTENT)
    with closing(store.receive(sha256, 100)) as upload:
        upload.append(0, b"x" * 60)
    with closing(store.receive(sha256, len(CONTENT))) as upload:
        committed = store.committed_bytes(sha256, len(CONTENT))
        upload.append(committed, CONTENT[committed:])
    assert store.has(sha256)


def test_a_manifest_with_a_wrong_size_removes_nothing(store: BundleStore) -> None:
    """The digest says whether a file is damaged; the manifest may be what is wrong."""
    sha256 = put(store, b"graph")
    honest = manifest_of({"saved_model.pb": b"graph"})
    with pytest.raises((ModelMissingError, ModelError)):
        store.bundle(replace(honest, files=(replace(honest.files[0], size=99),)))
    assert store.has(sha256)
