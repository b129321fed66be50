"""The variables of a client of a daemon under test."""

from __future__ import annotations

import os

from accel_daemon.testing.environment import PREFIXES, client_variables, without_ours

READY = {
    "control": "https://127.0.0.1:1",
    "ca_file": "/home/ca.pem",
    "metadata": "http://127.0.0.1:2",
    "region": "us-east-1",
}


def test_all_that_a_client_needs() -> None:
    """Endpoint, trust, key, region and metadata; and no file of the developer's."""
    assert client_variables(READY, "AKIA", "secret") == {
        "AWS_ENDPOINT_URL_ELASTIC_INFERENCE": "https://127.0.0.1:1",
        "ACCEL_CA_FILE": "/home/ca.pem",
        "AWS_CA_BUNDLE": "/home/ca.pem",
        "AWS_ACCESS_KEY_ID": "AKIA",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:2",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


def test_all_of_it_is_taken_away_again() -> None:
    """Whatever is set begins with a prefix that is replaced as a whole."""
    variables = client_variables(READY, "AKIA", "secret")
    assert without_ours({**variables, "ACCEL_HOME": "/x", "ECS_X": "", "EI_X": "1"}) == {}


def test_the_rest_stays() -> None:
    """Also what merely contains such a prefix."""
    others = {"PATH": "/bin", "MY_AWS_KEY": "x", "EIGHT": "8", "HOME": "/home"}
    assert without_ours(others) == others
    assert all(prefix.endswith("_") for prefix in PREFIXES)
