"""Errors keep their class, reason and words on the way over the wire."""

from __future__ import annotations

import inspect
import re

import pytest

from accel_protocol import errors
from accel_protocol.errors import REASONS, AcceleratorError, Status, from_wire

TREE_LINE = re.compile(r"^    (?P<lead>[│├└─ ]*)(?P<name>\w+Error)\b(?P<rest>.*)$")
CLASSES = {
    name: value
    for name, value in vars(errors).items()
    if inspect.isclass(value) and issubclass(value, AcceleratorError)
}


def drawn_tree() -> list[tuple[str, str | None, str]]:
    """(class, the parent it is drawn under, the words behind it) of the module's docstring."""
    found: list[tuple[str, str | None, str]] = []
    above: dict[int, str] = {}
    for line in (errors.__doc__ or "").splitlines():
        if match := TREE_LINE.match(line):
            depth = len(match["lead"])
            parents = [above[level] for level in sorted(above) if level < depth]
            found.append((match["name"], parents[-1] if parents else None, match["rest"]))
            above = {level: name for level, name in above.items() if level < depth}
            above[depth] = match["name"]
    return found


TREE = drawn_tree()


def test_the_tree_draws_every_class() -> None:
    """The docstring and the module name the same classes, each once."""
    assert sorted(name for name, _, _ in TREE) == sorted(CLASSES)


@pytest.mark.parametrize(("name", "parent"), [(n, p) for n, p, _ in TREE if p])
def test_a_class_stands_under_the_parent_drawn(name: str, parent: str) -> None:
    """What the docstring draws is what `except` catches."""
    assert CLASSES[parent] in CLASSES[name].__bases__


def test_a_lost_answer_is_no_lost_connection() -> None:
    """What repeats a call after a lost connection must not catch a call that may have run."""
    assert not issubclass(errors.AnswerLostError, errors.ConnectionLostError)


@pytest.mark.parametrize(
    ("name", "builtin"),
    [("FeedError", ValueError), ("ModelError", ValueError), ("DeadlineError", TimeoutError)],
)
def test_some_are_also_builtin_errors(name: str, builtin: type[Exception]) -> None:
    """Callers that know only Python's own errors catch these, as the docstring says."""
    assert issubclass(CLASSES[name], builtin)
    assert f"(also {builtin.__name__})" in next(rest for n, _, rest in TREE if n == name)


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_comes_back_as_its_class(reason: str) -> None:
    """Sent and received, an error has the same class, reason, words and facts."""
    sent = REASONS[reason].exception("It happened.", reason=reason, fields={"a": "b"})
    got = from_wire(
        sent.reason,
        sent.message,
        remedy=sent.remedy,
        request_id="r-1",
        fields=sent.fields,
        status=int(sent.status),
    )
    assert type(got) is type(sent)
    assert (got.reason, got.message, got.remedy) == (sent.reason, sent.message, sent.remedy)
    assert (got.request_id, got.fields, got.status) == ("r-1", {"a": "b"}, sent.status)


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_has_a_remedy(reason: str) -> None:
    """One sentence that says what to do."""
    remedy = REASONS[reason].remedy
    assert remedy[0].isupper()
    assert remedy.endswith(".")


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_is_an_upper_case_code(reason: str) -> None:
    """Codes are stable names that logs and documents can be searched for."""
    assert re.fullmatch(r"[A-Z]+(_[A-Z]+)*", reason)


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_has_an_http_error_status(reason: str) -> None:
    """The control endpoint answers with a status of the 400s or 500s."""
    assert 400 <= REASONS[reason].http <= 599


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_has_a_reason_of_its_own_kind(name: str) -> None:
    """The default reason of a class stands in the table and leads back to it or below it."""
    if name != "AcceleratorError":
        row = REASONS[CLASSES[name].default_reason]
        assert issubclass(row.exception, CLASSES[name])


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (Status.CANCELLED, errors.CancelledError),
        (Status.INVALID_ARGUMENT, errors.CallError),
        (Status.DEADLINE_EXCEEDED, errors.DeadlineError),
        (Status.NOT_FOUND, errors.ConfigurationError),
        (Status.PERMISSION_DENIED, errors.AccessDeniedError),
        (Status.RESOURCE_EXHAUSTED, errors.BusyError),
        (Status.FAILED_PRECONDITION, errors.CallError),
        (Status.UNIMPLEMENTED, errors.VersionError),
        (Status.INTERNAL, errors.InternalError),
        (Status.UNAVAILABLE, errors.ConnectionLostError),
        (Status.UNAUTHENTICATED, errors.CredentialsError),
    ],
)
def test_an_unknown_reason_falls_back_to_its_status(
    status: Status, expected: type[AcceleratorError]
) -> None:
    """A newer peer's refusal still has the right class, and keeps its words."""
    got = from_wire("INVENTED_LATER", "New.", remedy="Do it.", status=int(status))
    assert type(got) is expected
    assert (got.message, got.remedy) == ("New.", "Do it.")


@pytest.mark.parametrize(
    "status", [status for status in Status if status is not Status.FAILED_PRECONDITION]
)
def test_a_fallback_keeps_its_status(status: Status) -> None:
    """An unknown reason travels on under the status it came with."""
    assert from_wire("INVENTED_LATER", "New.", status=int(status)).status is status


@pytest.mark.parametrize("status", [None, 0, 2, 99, -1])
def test_without_a_known_status_it_is_internal(status: int | None) -> None:
    """Neither reason nor status known: a defect on the other side."""
    assert type(from_wire("INVENTED_LATER", "New.", status=status)) is errors.InternalError


def test_the_text_shows_reason_remedy_and_request_id() -> None:
    """Everything that helps stands in what `print` shows."""
    error = errors.BusyError("No room.", remedy="Wait a little.", request_id="r-17")
    assert str(error) == "No room. [BUSY]\n  Remedy: Wait a little.\n  Request id: r-17"


def test_the_text_leaves_out_what_is_not_there() -> None:
    """Without a request id no line speaks of one; the remedy is the table's."""
    text = str(errors.FeedError("Wrong."))
    assert text == f"Wrong. [INVALID_FEED]\n  Remedy: {REASONS['INVALID_FEED'].remedy}"


@pytest.mark.parametrize("reason", REASONS)
def test_only_the_world_s_failures_are_retryable(reason: str) -> None:
    """Wrong calls and refusals are not worth repeating."""
    error = from_wire(reason, "It happened.")
    assert error.retryable == isinstance(error, errors.UnavailableError)
    assert error.retryable != isinstance(error, errors.CallError | errors.RefusedError)


def test_fields_belong_to_the_error() -> None:
    """A mapping that is changed later does not change the error."""
    fields = {"limit": "1"}
    error = errors.LimitError("Too much.", fields=fields)
    fields["limit"] = "2"
    assert error.fields == {"limit": "1"}


def test_what_a_terminal_would_obey_does_not_come_from_a_peer() -> None:
    """Nor what no encoding can write; lines stay lines."""
    error = from_wire(
        "BUSY", "a\x1b[2J\nb\ud800", remedy="\u202ec\t", request_id="\r", fields={"\x9b": "\0é"}
    )
    assert (error.message, error.remedy, error.request_id) == ("a?[2J\nb?", "?c\t", "?")
    assert error.fields == {"?": "?é"}
