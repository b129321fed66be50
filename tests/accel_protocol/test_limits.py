"""Every limit is inclusive, positive, and the same on the wire."""

from __future__ import annotations

from dataclasses import asdict, fields

import pytest

from accel_protocol.errors import LimitError, Status
from accel_protocol.limits import DEFAULT_LIMITS, Limits
from accel_protocol.v1 import accelerator_pb2 as pb

NAMES = [field.name for field in fields(Limits)]


def test_the_fields_are_those_of_the_message() -> None:
    """What the daemon enforces is what GetCapabilities can report."""
    assert [field.name for field in pb.Limits.DESCRIPTOR.fields] == NAMES


def test_the_defaults_travel() -> None:
    """Every default fits its field of the message, unchanged."""
    message = pb.Limits.FromString(pb.Limits(**asdict(DEFAULT_LIMITS)).SerializeToString())
    assert {name: getattr(message, name) for name in NAMES} == asdict(DEFAULT_LIMITS)


@pytest.mark.parametrize("name", NAMES)
def test_a_limit_is_inclusive(name: str) -> None:
    """Below and at the limit is allowed, one above is not."""
    limit = getattr(DEFAULT_LIMITS, name)
    DEFAULT_LIMITS.check(name, limit - 1)
    DEFAULT_LIMITS.check(name, limit)
    with pytest.raises(LimitError):
        DEFAULT_LIMITS.check(name, limit + 1)


@pytest.mark.parametrize("name", NAMES)
def test_a_refusal_names_limit_and_actual_figure(name: str) -> None:
    """Whoever is refused can read what to change, in the message and in the fields."""
    with pytest.raises(LimitError) as caught:
        Limits(**{name: 10}).check(name, 11)
    assert caught.value.fields == {"name": name, "limit": "10", "actual": "11"}
    assert all(part in caught.value.message for part in (name, "10", "11"))


def test_a_refusal_is_resource_exhausted() -> None:
    """The status is the one that the .proto file states, and repeating does not help."""
    with pytest.raises(LimitError) as caught:
        DEFAULT_LIMITS.check("streams", DEFAULT_LIMITS.streams + 1)
    assert caught.value.status is Status.RESOURCE_EXHAUSTED
    assert not caught.value.retryable


def test_a_piece_with_its_head_fits_into_a_message() -> None:
    """A well-behaved peer's messages are far below the largest that is taken."""
    assert DEFAULT_LIMITS.piece_bytes * 2 <= DEFAULT_LIMITS.message_bytes


def test_a_ticket_fits_into_the_metadata() -> None:
    """The longest ticket that is allowed can be sent."""
    assert DEFAULT_LIMITS.ticket_characters < DEFAULT_LIMITS.metadata_bytes
