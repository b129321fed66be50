"""A daemon, and all that AWS's own programs are told about it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.conftest import Daemon, start_daemon

TYPES = ("eia1.medium", "eia2.large", "eia2.large")


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with three accelerators, so that there is something to page through."""
    options = [option for one in TYPES for option in ("--accelerator", one)]
    running = start_daemon(tmp_path_factory.mktemp("home"), "--port", "0", *options)
    yield running
    assert running.stop() == 0


def client_variables(daemon: Daemon) -> dict[str, str]:
    """The environment of a client of AWS: where, whom to trust, who it is, and no other source."""
    profile = json.loads((daemon.home / "client.json").read_text())
    return {
        "AWS_ENDPOINT_URL_ELASTIC_INFERENCE": daemon.ready["control"],
        "AWS_CA_BUNDLE": daemon.ready["ca_file"],
        "AWS_ACCESS_KEY_ID": profile["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": profile["secret_access_key"],
        "AWS_DEFAULT_REGION": daemon.ready["region"],
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(daemon.home / "no-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(daemon.home / "no-credentials"),
    }


def arn_of(daemon: Daemon, ordinal: int = 0) -> str:
    """The ARN of an accelerator."""
    region, account = daemon.ready["region"], daemon.ready["account"]
    kind = "elastic-inference-accelerator"
    accelerator = daemon.ready["accelerators"][ordinal]["id"]
    return f"arn:aws:elastic-inference:{region}:{account}:{kind}/{accelerator}"
