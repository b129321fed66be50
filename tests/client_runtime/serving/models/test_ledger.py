"""Versions through their lives, with whatever happens to them in whatever order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from accel_protocol.errors import Status
from client_runtime.serving.models.ledger import Ledger, LoadRules, Order, Task
from client_runtime.serving.models.lifecycle import News, State, Version
from client_runtime.serving.models.plan import Swap
from client_runtime.serving.servable import ServableId
from client_runtime.serving.statuses import ServingError

_RULES = LoadRules(retries=2, retry_interval=10.0, stuck=60.0, users=30.0)


class _Servable:
    """What loads bring here; it is never asked anything."""

    def __init__(self) -> None:
        self.id, self.signatures = ServableId("m", 0), {}

    def run(self, signature: str, feeds: Any, bounds: Any) -> Any:
        raise AssertionError

    def close(self) -> None:
        raise AssertionError


def _folders(*numbers: int) -> dict[int, Path]:
    return {number: Path(f"/m/{number}") for number in numbers}


def _states(ledger: Ledger) -> dict[int, str]:
    return {number: v.state.name for number, v in ledger.models["m"].versions.items()}


def _failure(message: str = "no such file") -> ServingError:
    return ServingError(Status.NOT_FOUND, message)


def _tasks(ledger: Ledger, now: float) -> list[tuple[Task, int]]:
    return [(order.task, order.version.id.version) for order in ledger.orders(now)]


def _loaded(ledger: Ledger, *numbers: int) -> None:
    """Serve these versions."""
    ledger.aspire("m", _folders(*numbers), 0.0)
    for order in ledger.orders(0.0):
        ledger.load_ended(order.version, _Servable(), 0.0)
    assert ledger.orders(0.0) == []


def test_a_life_from_start_to_end() -> None:
    """Every state is told, with what the one before took, and once."""
    ledger = Ledger(_RULES)
    ledger.aspire("m", _folders(1), 1.0)
    (load,) = ledger.orders(2.0)
    ledger.load_ended(load.version, _Servable(), 5.0)
    ledger.aspire("m", {}, 6.0)
    (close,) = ledger.orders(7.0)
    ledger.close_ended(close.version, 9.0)
    assert (load.task, close.task) == (Task.LOAD, Task.CLOSE)
    assert close.version.servable is None
    seconds = [0.0, 1.0, 3.0, 2.0, 2.0]
    assert list(ledger.news) == [
        News(ServableId("m", 1), state, None, took, Path("/m/1"), state is State.AVAILABLE)
        for state, took in zip(State, seconds, strict=True)
    ]
    assert ledger.is_empty()


def test_each_try_to_load_is_told_once() -> None:
    """With its error; and not again when the version is given up while it waits for the next."""
    ledger = Ledger(LoadRules(retries=5, retry_interval=60.0))
    ledger.aspire("m", _folders(1), 0.0)
    (load,) = ledger.orders(0.0)
    ledger.load_ended(load.version, ServingError(Status.INTERNAL, "broken"), 1.0)
    (again,) = ledger.orders(61.0)
    ledger.load_ended(again.version, ServingError(Status.INTERNAL, "broken"), 62.0)
    ledger.aspire("m", {}, 63.0)
    assert [(one.state, one.ends_load) for one in ledger.news] == [
        (State.START, False),
        (State.LOADING, False),
        (State.LOADING, True),
        (State.LOADING, True),
        (State.END, False),
    ]


def test_the_last_try_to_load_is_told_with_the_end() -> None:
    """Of a version that is not tried again."""
    ledger = Ledger(LoadRules(retries=0))
    ledger.aspire("m", _folders(1), 0.0)
    (load,) = ledger.orders(0.0)
    ledger.load_ended(load.version, ServingError(Status.INTERNAL, "broken"), 1.0)
    assert (ledger.news[-1].state, ledger.news[-1].ends_load) == (State.END, True)


def test_the_new_version_answers_before_the_old_one_goes() -> None:
    """And the old one stays listed."""
    ledger = Ledger(_RULES)
    _loaded(ledger, 1)
    ledger.aspire("m", _folders(2), 0.0)
    (load,) = ledger.orders(0.0)
    latest = ledger.available("m", None)
    assert latest is not None
    assert latest.id.version == 1
    ledger.load_ended(load.version, _Servable(), 0.0)
    (close,) = ledger.orders(0.0)
    assert ledger.available("m", 1) is None
    ledger.close_ended(close.version, 0.0)
    assert _states(ledger) == {1: "END", 2: "AVAILABLE"}


def test_users_are_waited_for_with_a_bound() -> None:
    """Nobody new comes in, and the last one out makes it close; or the time does."""
    ledger = Ledger(_RULES)
    _loaded(ledger, 1)
    version = ledger.models["m"].versions[1]
    version.users = 1
    ledger.aspire("m", {}, 100.0)
    assert _tasks(ledger, 100.0) == []
    assert ledger.available("m", None) is None
    assert _tasks(ledger, 129.0) == []
    assert ledger.next_due(129.0) == 130.0
    assert _tasks(ledger, 130.0) == [(Task.CLOSE, 1)]


def test_the_last_user_out_makes_it_close() -> None:
    """Before the time is over."""
    ledger = Ledger(_RULES)
    _loaded(ledger, 1)
    version = ledger.models["m"].versions[1]
    version.users = 1
    ledger.aspire("m", {}, 100.0)
    assert _tasks(ledger, 100.0) == []
    version.users = 0
    assert _tasks(ledger, 101.0) == [(Task.CLOSE, 1)]


def test_a_load_is_tried_again_and_then_given_up() -> None:
    """So often and so late as the rules say; the last error stays with the version."""
    ledger = Ledger(_RULES)
    ledger.aspire("m", _folders(1), 0.0)
    for attempt, now in enumerate([0.0, 10.0, 20.0]):
        assert ledger.orders(now - 0.1) == []
        (order,) = ledger.orders(now)
        ledger.load_ended(order.version, _failure(f"attempt {attempt}"), now)
        assert ledger.next_due(now) == (now + 10.0 if attempt < 2 else None)
    version = ledger.models["m"].versions[1]
    assert (version.state, version.tries) == (State.END, 3)
    assert version.error is not None
    assert version.error.message == "attempt 2"
    assert (ledger.orders(999.0), ledger.next_due(999.0)) == ([], None)
    ledger.aspire("m", _folders(1), 999.0)
    assert ledger.orders(999.0) == []


def test_retries_may_have_no_end_and_no_pause() -> None:
    """None of the one, a negative one of the other."""
    ledger = Ledger(LoadRules(retries=None, retry_interval=-1.0))
    ledger.aspire("m", _folders(1), 0.0)
    for _ in range(20):
        (order,) = ledger.orders(5.0)
        ledger.load_ended(order.version, _failure(), 5.0)
    assert _states(ledger) == {1: "LOADING"}


def test_a_version_that_comes_again_is_loaded_again() -> None:
    """Also one that had failed, and with all its tries."""
    ledger = Ledger(LoadRules(retries=0))
    ledger.aspire("m", _folders(1), 0.0)
    (order,) = ledger.orders(0.0)
    ledger.load_ended(order.version, _failure(), 0.0)
    ledger.aspire("m", {}, 0.0)
    assert ledger.orders(0.0) == []
    ledger.aspire("m", _folders(1), 0.0)
    assert ledger.models["m"].versions[1].error is None
    assert _tasks(ledger, 0.0) == [(Task.LOAD, 1)]


def test_a_failed_version_is_tried_from_another_folder() -> None:
    """Somebody has mended the base path."""
    ledger = Ledger(LoadRules(retries=0))
    ledger.aspire("m", _folders(1), 0.0)
    (order,) = ledger.orders(0.0)
    ledger.load_ended(order.version, _failure(), 0.0)
    ledger.aspire("m", {1: Path("/mended/1")}, 0.0)
    assert _tasks(ledger, 0.0) == [(Task.LOAD, 1)]


def test_a_version_that_comes_again_too_early_waits_for_its_end() -> None:
    """It is unloaded first, and then loaded."""
    ledger = Ledger(_RULES)
    _loaded(ledger, 1)
    ledger.aspire("m", {}, 0.0)
    (close,) = ledger.orders(0.0)
    ledger.aspire("m", _folders(1), 0.0)
    assert ledger.orders(0.0) == []
    ledger.close_ended(close.version, 0.0)
    assert _tasks(ledger, 0.0) == [(Task.LOAD, 1)]


def test_a_load_that_is_not_wanted_any_more_is_cancelled() -> None:
    """And what it brings all the same is closed."""
    ledger = Ledger(_RULES)
    ledger.aspire("m", _folders(1), 0.0)
    (load,) = ledger.orders(0.0)
    ledger.aspire("m", {}, 0.0)
    (cancel,) = ledger.orders(0.0)
    assert cancel == Order(Task.CANCEL, load.version, load.cancellation)
    ledger.load_ended(load.version, _Servable(), 0.0)
    assert ledger.available("m", None) is None
    (close,) = ledger.orders(0.0)
    ledger.close_ended(close.version, 0.0)
    version = ledger.models["m"].versions[1]
    assert version.error is not None
    assert (version.state, version.error.status) == (State.END, Status.CANCELLED)


def test_a_load_that_is_wanted_again_begins_anew() -> None:
    """Its cancelled one has to end first."""
    ledger = Ledger(_RULES)
    ledger.aspire("m", _folders(1), 0.0)
    (load,) = ledger.orders(0.0)
    ledger.aspire("m", {}, 0.0)
    ledger.aspire("m", _folders(1), 0.0)
    assert _tasks(ledger, 0.0) == [(Task.CANCEL, 1)]
    ledger.load_ended(load.version, ServingError(Status.CANCELLED, "cancelled"), 0.0)
    (again,) = ledger.orders(0.0)
    assert again.task is Task.LOAD
    assert again.cancellation is not load.cancellation


def test_a_load_that_waits_for_a_retry_ends_at_once() -> None:
    """When it is not wanted any more; its error stays."""
    ledger = Ledger(_RULES)
    ledger.aspire("m", _folders(1), 0.0)
    (load,) = ledger.orders(0.0)
    ledger.load_ended(load.version, _failure("the reason"), 0.0)
    ledger.aspire("m", {}, 1.0)
    assert (_tasks(ledger, 99.0), ledger.next_due(99.0)) == ([], None)
    assert load.version.state is State.END
    assert load.version.error is not None
    assert load.version.error.message == "the reason"


def test_a_stuck_load_holds_up_a_newer_version_only_so_long() -> None:
    """While the old one answers."""
    ledger = Ledger(_RULES)
    _loaded(ledger, 1)
    ledger.aspire("m", _folders(2), 0.0)
    assert _tasks(ledger, 0.0) == [(Task.LOAD, 2)]
    ledger.aspire("m", _folders(3), 5.0)
    assert _tasks(ledger, 5.0) == [(Task.CANCEL, 2)]
    assert ledger.next_due(5.0) == 65.0
    assert _tasks(ledger, 65.0) == [(Task.LOAD, 3)]


def test_a_stuck_close_holds_up_a_newer_version_only_so_long() -> None:
    """Counted from when users had to be gone."""
    ledger = Ledger(_RULES)
    _loaded(ledger, 1)
    ledger.aspire("m", _folders(2), 0.0)
    (load,) = ledger.orders(0.0)
    ledger.load_ended(load.version, _Servable(), 0.0)
    assert _tasks(ledger, 0.0) == [(Task.CLOSE, 1)]
    ledger.aspire("m", _folders(3), 5.0)
    assert _tasks(ledger, 5.0) == []
    assert ledger.next_due(5.0) == 90.0
    assert _tasks(ledger, 90.0) == [(Task.LOAD, 3)]


def test_other_models_go_on() -> None:
    """Whatever becomes of one."""
    ledger = Ledger(_RULES)
    ledger.aspire("slow", _folders(1), 0.0)
    ledger.aspire("m", _folders(1), 0.0)
    (slow, fast) = ledger.orders(0.0)
    ledger.load_ended(fast.version, _Servable(), 0.0)
    assert ledger.available("m", None) is fast.version
    assert ledger.available("slow", None) is None
    assert slow.version.is_busy


def test_stopping_ends_all() -> None:
    """What is loaded, what loads, and what waits for users longer than is left."""
    ledger = Ledger(LoadRules(users=1000.0))
    _loaded(ledger, 1, 2)
    ledger.models["m"].versions[1].users = 1
    ledger.aspire("m", _folders(2), 0.0)
    assert ledger.orders(0.0) == []
    ledger.stop(users_until=5.0, now=1.0)
    assert _tasks(ledger, 1.0) == [(Task.CLOSE, 2)]
    assert ledger.next_due(1.0) == 5.0
    assert _tasks(ledger, 5.0) == [(Task.CLOSE, 1)]
    assert not ledger.is_empty()


def test_few_of_many_that_ended_stay_listed() -> None:
    """The newest."""
    ledger = Ledger(LoadRules(ended_kept=2))
    for number in range(1, 7):
        ledger.aspire("m", _folders(number), 0.0)
        while orders := ledger.orders(0.0):
            for order in orders:
                if order.task is Task.LOAD:
                    ledger.load_ended(order.version, _Servable(), 0.0)
                else:
                    ledger.close_ended(order.version, 0.0)
    ledger.aspire("m", _folders(6), 0.0)
    assert _states(ledger) == {4: "END", 5: "END", 6: "AVAILABLE"}


def test_no_life_goes_backwards() -> None:
    """A defect would show here, not as a servable that is used after its end."""
    version = Version(ServableId("m", 1), Path("/m/1"), 0.0, state=State.END)
    with pytest.raises(ValueError, match="END to AVAILABLE"):
        version.enter(State.AVAILABLE, 0.0)


_NUMBERS = st.sets(st.integers(1, 4))
_NAMES = st.sampled_from(["a", "b"])


class _Lives(RuleBasedStateMachine):
    """A ledger to which anything happens, and a world that carries out its orders in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.open: list[Order] = []
        self.cancelled: list[Order] = []
        self.living: dict[int, Version] = {}
        self.wanted: dict[str, set[int]] = {}
        self.told: dict[ServableId, State] = {}

    @initialize(swap=st.sampled_from(list(Swap)), retries=st.sampled_from([0, 1, None]))
    def begin(self, swap: Swap, retries: int | None) -> None:
        rules = LoadRules(retries, 10.0, swap, stuck=60.0, users=30.0, ended_kept=2)
        self.swap, self.ledger = swap, Ledger(rules)

    @rule(name=_NAMES, numbers=_NUMBERS)
    def aspire(self, name: str, numbers: set[int]) -> None:
        had_one = self.ledger.available(name, None) is not None
        self.wanted[name] = numbers
        self.ledger.aspire(name, _folders(*numbers), self.now)
        self._follow()
        if had_one and numbers and self.swap is Swap.LOAD_FIRST:
            assert self.ledger.available(name, None), "a swap has taken the last one that answers"

    @rule(seconds=st.sampled_from([0.1, 10.0, 30.0, 60.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self._follow()

    @precondition(lambda self: any(order.task is Task.LOAD for order in self.open))
    @rule(data=st.data(), works=st.booleans())
    def end_load(self, data: st.DataObject, works: bool) -> None:
        order = data.draw(st.sampled_from([o for o in self.open if o.task is Task.LOAD]))
        self.open.remove(order)
        if works:
            self.living[id(order.version)] = order.version
        self.ledger.load_ended(order.version, _Servable() if works else _failure(), self.now)
        self._follow()

    @precondition(lambda self: any(order.task is Task.CLOSE for order in self.open))
    @rule(data=st.data())
    def end_close(self, data: st.DataObject) -> None:
        order = data.draw(st.sampled_from([o for o in self.open if o.task is Task.CLOSE]))
        self.open.remove(order)
        del self.living[id(order.version)]
        self.ledger.close_ended(order.version, self.now)
        self._follow()

    @rule(name=_NAMES)
    def use(self, name: str) -> None:
        if (version := self.ledger.available(name, None)) is not None:
            assert version.servable is not None
            version.users += 1

    @rule(name=_NAMES, number=st.integers(1, 4))
    def leave(self, name: str, number: int) -> None:
        version = self.ledger.models[name].versions.get(number) if name in self.wanted else None
        if version is not None and version.users and not version.is_busy:
            version.users -= 1
            self._follow()

    @invariant()
    def no_order_is_given_twice(self) -> None:
        busy = [id(order.version) for order in self.open]
        assert len(busy) == len(set(busy))

    @invariant()
    def what_serves_is_loaded(self) -> None:
        for model in self.ledger.models.values() if self.wanted else ():
            for version in model.versions.values():
                is_serving = version.id.version in model.serving
                assert is_serving == (version.state is State.AVAILABLE)
                assert (version.servable is not None) == (id(version) in self.living)
                if version.state in (State.START, State.END):
                    assert version.servable is None

    def teardown(self) -> None:
        """Whatever has happened: when all loads work, what is wanted serves in the end."""
        for _ in range(100):
            for order in list(self.open):
                if order.task is Task.LOAD:
                    self.end_load_of(order)
                else:
                    self.open.remove(order)
                    del self.living[id(order.version)]
                    self.ledger.close_ended(order.version, self.now)
                self._follow()
            self.now += 100.0
            self._follow()
        assert not self.open
        for name, numbers in self.wanted.items():
            versions = self.ledger.models[name].versions
            failed = {n for n in numbers if versions[n].state is State.END}
            serving = set(self.ledger.models[name].serving)
            assert numbers - failed <= serving
            assert not numbers - failed or serving <= numbers

    def end_load_of(self, order: Order) -> None:
        self.open.remove(order)
        self.living[id(order.version)] = order.version
        self.ledger.load_ended(order.version, _Servable(), self.now)

    def _follow(self) -> None:
        for order in self.ledger.orders(self.now):
            if order.task is Task.CANCEL:
                self.cancelled.append(order)
            else:
                self.open.append(order)
        while self.ledger.news:
            news = self.ledger.news.popleft()
            assert news.seconds >= 0
            self.told[news.id] = news.state
        for model in self.ledger.models.values():
            for version in model.versions.values():
                assert self.told[version.id] is version.state


TestLives = _Lives.TestCase
TestLives.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
