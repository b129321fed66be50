"""The authority's certificate, for clients that know its digest."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def test_certificate(daemon: Any) -> None:
    """Without credentials, and the certificate alone."""
    answer = daemon.call("GET", "/ca.pem")
    assert answer.status == 200
    assert answer.data == Path(daemon.ready["ca_file"]).read_bytes()
    assert b"PRIVATE" not in answer.data
