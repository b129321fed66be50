"""EI_VISIBLE_DEVICES and accelerator_id."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_protocol.errors import ConfigurationError
from client_runtime.discovery.visible_devices import (
    Known,
    Question,
    ask,
    parse_visible,
    resolve,
    visible_ordinal,
)

IDS = [f"eia-{digit * 32}" for digit in "0123"]
KNOWN = [Known(one, ordinal) for ordinal, one in enumerate(IDS)]
A, B, C, D = IDS


@pytest.mark.parametrize(
    ("requested", "variable", "ids"),
    [
        (None, None, [A, B, C, D]),
        (2, None, [C]),
        ("2", None, [C]),
        (C, None, [C]),
        (None, "1,3", [B, D]),
        (0, "1,3", [B]),
        (1, "1,3", [D]),
        ("1", "1,3", [D]),
        (D, "1,3", [D]),
        (None, "3,1", [D, B]),
        (None, f"{D},0", [D, A]),
        (0, f"{D},0", [D]),
        (None, " 1 , 3 ", [B, D]),
        (None, "01", [B]),
    ],
)
def test_resolve(requested: str | int | None, variable: str | None, ids: list[str]) -> None:
    """Visible ones get new ordinals in the order in which they are listed."""
    assert resolve(requested, variable, KNOWN) == ids


@pytest.mark.parametrize(
    ("requested", "variable", "told"),
    [
        (4, None, [A, B, C, D]),
        (2, "1,3", [B, D]),
        (A, "1,3", [B, D]),
        ("eia-" + "9" * 32, None, [A]),
        (None, "7", ["7", A, D]),
        (None, "eia-" + "9" * 32, ["9" * 32, A]),
        (None, "1,1", ["1", "twice"]),
        (None, f"1,{B}", [B, "twice"]),
        (None, f"{B},{B}", [B, "twice"]),
        (None, "1,,3", ["''"]),
        (None, "1,", ["''"]),
        (None, "-1", ["-1"]),
        (None, "all", ["all"]),
        (None, "٣", ["٣"]),
        (-1, None, ["-1"]),
        (True, None, ["bool"]),
        ("first", None, ["first"]),
        ("", None, ["''"]),
        (None, ",".join(map(str, range(65))), ["64"]),
    ],
)
def test_refused(requested: str | int | None, variable: str | None, told: list[str]) -> None:
    """The message says what is wrong, or lists what there is."""
    with pytest.raises(ConfigurationError) as caught:
        resolve(requested, variable, KNOWN)
    assert caught.value.reason == "ACCELERATOR_NOT_FOUND"
    for text in told:
        assert text in caught.value.message


@pytest.mark.parametrize("variable", ["", "  "])
@pytest.mark.parametrize("requested", [None, 0, A])
def test_empty_means_none(requested: str | int | None, variable: str) -> None:
    """Said as what it is, whatever is requested."""
    for decide in (lambda: resolve(requested, variable, KNOWN), lambda: ask(requested, variable)):
        with pytest.raises(ConfigurationError, match="EI_VISIBLE_DEVICES is empty") as caught:
            decide()
        assert caught.value.reason == "NOT_CONFIGURED"


@pytest.mark.parametrize(
    ("requested", "variable", "question"),
    [
        (None, None, Question(None, None)),
        ("1", None, Question(1, None)),
        (B, None, Question(B, None)),
        (None, "1,3", Question(None, (1, 3))),
        (1, "1,3", Question(3, None)),
        (D, "1,3", Question(D, (1, 3))),
        (D, f"1,{D}", Question(D, None)),
    ],
)
def test_ask(requested: str | int | None, variable: str | None, question: Question) -> None:
    """The daemon gets its own ordinals, and decides what only it can know."""
    assert ask(requested, variable) == question


@pytest.mark.parametrize(("requested", "variable"), [(2, "1,3"), (A, B), (C, f"{A},{B}")])
def test_ask_refuses_what_is_certainly_hidden(requested: str | int, variable: str) -> None:
    """Without troubling the daemon."""
    with pytest.raises(ConfigurationError, match="EI_VISIBLE_DEVICES"):
        ask(requested, variable)


def answer_of_daemon(question: Question) -> list[str]:
    """What a daemon with these four makes of a question: see accel_daemon.control.connect."""
    listed = range(4) if question.visible is None else question.visible
    among = [one.id for entry in listed for one in KNOWN if entry in (one.id, one.ordinal)]
    if question.accelerator is not None:
        wanted = [one.id for one in KNOWN if question.accelerator in (one.id, one.ordinal)]
        among = [one for one in wanted if one in among]
    if not among:
        raise ConfigurationError("The daemon has no such accelerator.")
    return among


entries = st.lists(st.sampled_from([*range(4), *IDS]), min_size=1, max_size=4, unique=True).filter(
    lambda listed: len({IDS[one] if isinstance(one, int) else one for one in listed}) == len(listed)
)
requests = st.one_of(st.none(), st.integers(0, 5), st.sampled_from(IDS))


@given(requested=requests, listed=st.one_of(st.none(), entries))
def test_both_ways_to_decide_agree(
    requested: str | int | None, listed: list[str | int] | None
) -> None:
    """Asking the daemon gives what knowing the accelerators gives, with the same ordinals."""
    variable = None if listed is None else ",".join(map(str, listed))
    try:
        expected = resolve(requested, variable, KNOWN)
    except ConfigurationError:
        with pytest.raises(ConfigurationError):
            answer_of_daemon(ask(requested, variable))
        return
    assert answer_of_daemon(ask(requested, variable)) == expected


@given(listed=st.one_of(st.none(), entries), one=st.sampled_from(KNOWN))
def test_new_ordinals_agree(listed: list[str | int] | None, one: Known) -> None:
    """An accelerator's new ordinal is its place among the visible ones."""
    variable = None if listed is None else ",".join(map(str, listed))
    visible = resolve(None, variable, KNOWN)
    if one.id in visible:
        assert visible_ordinal(variable, one) == visible.index(one.id)
    else:
        with pytest.raises(ConfigurationError, match="does not list"):
            visible_ordinal(variable, one)


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Nothing else happens, and what is read has no duplicates."""
    try:
        read = parse_visible(text)
    except ConfigurationError:
        return
    assert read is not None
    assert len(set(read)) == len(read) > 0


def test_all_that_can_be_asked_is_a_pair() -> None:
    """An accelerator that is listed literally needs no list beside it."""
    for requested, variable in product((0, 1, B, D), ("1,3", f"{B},{D}")):
        question = ask(requested, variable)
        assert question.visible is None or isinstance(question.accelerator, str)
