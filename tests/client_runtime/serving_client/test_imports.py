"""What importing the client brings along."""

from __future__ import annotations

import subprocess
import sys

import client_runtime
from tests.conftest import patience

SCRIPT = "import sys, client_runtime.serving_client; print(*sys.modules)"
# Large, or not installed with the client alone.
ABSENT = {
    *("aiohttp", "botocore", "click", "cryptography", "google_crc32c", "tensorflow", "urllib3"),
    *("client_runtime.predictor", "client_runtime.serving", "client_runtime.transport"),
}


def test_the_client_imports_little() -> None:
    """Nothing of the rest of the client, and fewer modules than a budget: NumPy has 150 of them."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        check=True,
        capture_output=True,
        text=True,
        timeout=patience(60),
    )
    modules = set(done.stdout.split())

    assert modules & ABSENT == set()
    assert len(modules) < 450


def test_the_package_has_its_names() -> None:
    """They are imported when they are used."""
    for name in client_runtime.__all__:
        assert getattr(client_runtime, name).__name__ == name
    assert set(client_runtime.__all__) <= set(dir(client_runtime))
    assert not hasattr(client_runtime, "nothing")
