"""What ECS's agent would say."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_daemon.control.metadata.container import (
    Container,
    association_document,
    associations_document,
    task_document,
)
from tests.accel_daemon.control.metadata.stand_ins import (
    FIRST,
    SECOND,
    TOKEN,
    stand_in_instance,
)

CONTAINER = Container(stand_in_instance(), TOKEN)


def test_associations() -> None:
    """One device for each accelerator."""
    assert json.loads(associations_document(CONTAINER)) == {
        "Associations": ["device_1", "device_2"]
    }


@pytest.mark.parametrize(
    ("name", "id_and_type"),
    [("device_1", (FIRST, "eia1.medium")), ("device_2", (SECOND, "eia2.large"))],
)
def test_association(name: str, id_and_type: tuple[str, str]) -> None:
    """The members of EC2's, and who serves it."""
    assert json.loads(association_document(CONTAINER, name) or "") == {
        "elastic-inference-accelerator-id": id_and_type[0],
        "elastic-inference-accelerator-type": id_and_type[1],
        "endpoint": "https://127.0.0.1:9443",
    }


@given(st.text())
def test_no_other_association(name: str) -> None:
    """Nothing by another name."""
    assert (association_document(CONTAINER, name) is None) == (
        name not in CONTAINER.association_names()
    )


def test_ids() -> None:
    """The container's id stays; that of its credentials changes with the token."""
    other = Container(stand_in_instance(), "u" * 43)
    assert re.fullmatch("[0-9a-f]{32}-[0-9]{10}", CONTAINER.id)
    assert CONTAINER.id == other.id
    assert CONTAINER.credentials_id != other.credentials_id
    assert CONTAINER.is_credentials_id(CONTAINER.credentials_id)
    assert not CONTAINER.is_credentials_id(CONTAINER.id)


@given(st.text())
def test_token(header: str) -> None:
    """Only the token is the token, and any text may be asked about."""
    assert CONTAINER.is_token(header) == (header == TOKEN)


def test_task() -> None:
    """It names its container, and where it runs."""
    task = task_document(CONTAINER)
    assert task["AvailabilityZone"] == "us-east-1a"
    assert re.fullmatch("arn:aws:ecs:us-east-1:0{12}:task/accel/[0-9a-f]{32}", str(task["TaskARN"]))
    assert [one["DockerId"] for one in task["Containers"]] == [CONTAINER.id]  # type: ignore[attr-defined]


def test_secret_is_not_shown() -> None:
    """Not where the value is printed."""
    assert TOKEN not in repr(CONTAINER)
