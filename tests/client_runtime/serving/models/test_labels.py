"""Which labels may be given, and what they mean."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from accel_protocol.errors import Status
from client_runtime.serving.models.labels import LabelBook, LabelRule
from client_runtime.serving.statuses import ServingError
from client_runtime.serving_wire.model_management_pb2 import ModelConfig


def _assigned(
    book: LabelBook, labels: dict[str, int], available: Collection[int], rule: LabelRule
) -> LabelBook:
    model = ModelConfig(name="m", version_labels=labels)
    return book.assigned([model], lambda name, version: name == "m" and version in available, rule)


_ONLY, _NEW, _WHEN = LabelRule.AVAILABLE_ONLY, LabelRule.NEW_OR_SAME, LabelRule.WHEN_AVAILABLE
_BOOK = LabelBook({"m": {"stable": 1}})


@pytest.mark.parametrize("rule", list(LabelRule))
def test_an_available_version_takes_any_label(rule: LabelRule) -> None:
    """A new one, and one that meant another version."""
    book = _assigned(_BOOK, {"stable": 2, "canary": 3}, {2, 3}, rule)
    assert (book.version("m", "stable"), book.version("m", "canary")) == (2, 3)


@pytest.mark.parametrize(
    ("rule", "labels"),
    [(_ONLY, {"canary": 9}), (_ONLY, {"stable": 1}), (_ONLY, {"stable": 9}), (_NEW, {"stable": 9})],
)
def test_a_label_is_refused(rule: LabelRule, labels: dict[str, int]) -> None:
    """To a version that is not available; with the flag, only where it meant another one."""
    with pytest.raises(ServingError) as failure:
        _assigned(_BOOK, labels, {2}, rule)
    (version,) = labels.values()
    assert failure.value.status is Status.FAILED_PRECONDITION
    assert failure.value.message == (
        f"Request to assign label to version {version} of model m, which is not currently "
        "available for inference"
    )


@pytest.mark.parametrize("labels", [{"canary": 9}, {"stable": 1}])
def test_a_flag_allows_labels_of_absent_versions(labels: dict[str, int]) -> None:
    """New labels, and those that stay."""
    book = _assigned(_BOOK, labels, set(), _NEW)
    ((label, version),) = labels.items()
    assert book.version("m", label) == version


def test_a_label_that_is_not_named_any_more_is_gone() -> None:
    """A configuration replaces all labels; so are those of models that it leaves out."""
    for book in (_assigned(_BOOK, {}, {1}, _ONLY), _BOOK.assigned([], lambda *_: True, _ONLY)):
        with pytest.raises(ServingError, match="Unrecognized servable version label: stable"):
            book.version("m", "stable")


def test_an_unknown_label_is_told() -> None:
    """By name, as a wrong argument."""
    with pytest.raises(ServingError) as failure:
        _BOOK.version("other", "stable")
    assert failure.value.status is Status.INVALID_ARGUMENT
    assert failure.value.message == "Unrecognized servable version label: stable"


def test_a_label_may_wait_for_its_version() -> None:
    """Until then it means what it meant, or nothing."""
    book = _assigned(_BOOK, {"stable": 2, "canary": 2, "old": 3}, set(), _WHEN)
    assert book.version("m", "stable") == 1
    with pytest.raises(ServingError):
        book.version("m", "canary")
    assert book.arrived("other", 2) is book
    book = book.arrived("m", 2)
    assert (book.version("m", "stable"), book.version("m", "canary")) == (2, 2)
    assert book.awaited == {"m": {"old": 3}}
