"""The plan: a function of its seed."""

from __future__ import annotations

import re
from itertools import islice

import pytest

from tests.chaos.plan import COUNTER, KINDS, RUNNER, UPLOADS, actions, strikes
from tests.chaos.strikes import STRIKES
from tests.conftest import ROOT


def test_the_same_seed_gives_the_same_campaign() -> None:
    """Faults and actions, all of them."""
    first, second = (strikes(7, 60, 1.0, 2, has_disk=True) for _ in range(2))
    assert first == second
    first_actions, second_actions = (list(islice(actions(7, 3, RUNNER), 500)) for _ in range(2))
    assert first_actions == second_actions


def test_other_seeds_and_clients_differ() -> None:
    """Else a hundred campaigns would be one."""
    assert strikes(7, 60, 1.0, 2, has_disk=True) != strikes(8, 60, 1.0, 2, has_disk=True)
    of = [list(islice(actions(seed, client, RUNNER), 50)) for seed, client in ((7, 3), (7, 4))]
    assert of[0] != of[1]


@pytest.mark.parametrize("seed", range(5))
def test_a_minute_has_every_kind(seed: int) -> None:
    """In order, within its time, and as long as the kind lasts."""
    planned = strikes(seed, 60, 0.9, 2, has_disk=True)
    assert {one.kind for one in planned} == set(KINDS)
    assert [one.at for one in planned] == sorted(one.at for one in planned)
    for one in planned:
        kind = KINDS[one.kind]
        assert kind.shortest <= one.seconds <= kind.longest
        assert 0 <= one.at <= 60
        assert one.accelerator in (0, 1)


def test_without_a_disk_of_its_own_nothing_is_planned_for_one() -> None:
    """It would hit the machine's."""
    planned = strikes(1, 600, 1.0, 2, has_disk=False)
    assert not {one.kind for one in planned} & {k for k, v in KINDS.items() if v.needs_disk}


def test_every_kind_can_be_done() -> None:
    """And nothing is done that is never planned."""
    assert set(STRIKES) == set(KINDS)


def test_no_client_uploads_the_graph_of_another_one() -> None:
    """A graph that somebody has sent already would test nothing."""
    seen: set[int] = set()
    for client in range(8):
        mine = {one.graph for one in islice(actions(1, client, RUNNER), 2_000)}
        uploads = {graph for graph in mine if graph >= UPLOADS}
        assert uploads
        assert not uploads & seen
        seen |= uploads


def test_clients_that_count_only_count() -> None:
    """Their graph is nobody else's, and is never run twice."""
    kinds = {one.kind for one in islice(actions(1, 6, COUNTER), 2_000)}
    assert kinds == {"count", "unload", "reconnect", "pause"}


def test_the_document_names_every_kind() -> None:
    """And none that is not there."""
    text = (ROOT / "docs" / "chaos.md").read_text()
    rows = re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`([\w-]+)`", row)]
    assert sorted(named) == sorted(KINDS)
