"""What several callers ask of one store at the same time does not disturb each other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from accel_daemon.accelerator.blob_upload import BlobUpload
from accel_daemon.accelerator.store import BundleStore
from accel_protocol.limits import DEFAULT_LIMITS
from tests.accel_daemon.accelerator.test_store import BUNDLE, digest, manifest_of, put


def test_threads_may_keep_one_manifest_at_once(tmp_path: Path) -> None:
    """Clients that load the same graph at the same time do not disturb each other."""
    manifest = manifest_of(BUNDLE)
    failures: list[Exception] = []
    for turn in range(60):
        store = BundleStore(tmp_path / str(turn), DEFAULT_LIMITS)
        barrier = threading.Barrier(8)

        def keep(store: BundleStore = store, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            try:
                store.keep_manifest(manifest)
            except OSError as error:
                failures.append(error)

        threads = [threading.Thread(target=keep) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures == []


def test_an_upload_that_begins_while_room_is_made(tmp_path: Path) -> None:
    """Keeps its file, although what is needed was told before it was."""
    waiting, begun, now = list[str](), list[BlobUpload](), [0.0]

    def in_use() -> Iterator[bytes]:
        """Looked at while room is made, after those files that arrive."""
        if waiting:
            begun.append(store.receive(waiting.pop(), 30))
        yield from ()

    limits = replace(DEFAULT_LIMITS, store_bytes=200)
    store = BundleStore(tmp_path, limits, cast(Any, in_use), lambda: now[0])
    for content in (b"x" * 60, b"y" * 60):
        put(store, content)
    now[0] = 3600.0  # nobody counts on those any more
    waiting.append(digest(b"n" * 30))

    store.receive(digest(b"a" * 100), 100).close()
    with closing(begun[0]) as upload:
        assert upload.append(0, b"n" * 30)
    assert store.has(digest(b"n" * 30))
