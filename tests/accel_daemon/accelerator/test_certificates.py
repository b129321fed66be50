"""The certificate that is shown: gRPC is told of another one once, and of nothing else."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from accel_daemon.accelerator.certificates import ShownCertificate
from accel_daemon.pki.authority import Leaf, create_authority, issue_leaf


@pytest.fixture(scope="module")
def leaves() -> tuple[Leaf, Leaf]:
    """Two certificates of one authority."""
    now = datetime.now(UTC)
    authority = create_authority(now, "test authority")
    first, second = (
        issue_leaf(authority, name=name, ip_addresses=["127.0.0.1"], now=now, days=1)
        for name in ("first", "second")
    )
    return first, second


def pem(leaf: Leaf) -> tuple[str, str]:
    """Certificate and key as text."""
    return leaf.certificate_pem.decode(), leaf.private_key_pem.decode()


def test_nothing_new(leaves: tuple[Leaf, Leaf]) -> None:
    """Without another certificate, no handshake makes gRPC throw away what others use."""
    shown = ShownCertificate(*pem(leaves[0]))
    assert [shown.replacement() for _ in range(3)] == [None, None, None]


def test_another_one_is_answered_once(leaves: tuple[Leaf, Leaf]) -> None:
    """Of many handshakes at once, one brings the new pair."""
    shown = ShownCertificate(*pem(leaves[0]))
    shown.show(*pem(leaves[1]))
    together = threading.Barrier(8)

    def asked() -> bool:
        together.wait()
        return shown.replacement() is not None

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: asked(), range(8)))
    assert sorted(answers) == [False] * 7 + [True]
    assert shown.replacement() is None
