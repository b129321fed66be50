"""The catalog with its threads, over a loader that holds nothing."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from pathlib import Path

import pytest

from accel_protocol.errors import Status
from client_runtime.serving.models import folders
from client_runtime.serving.models.catalog import ServableCatalog
from client_runtime.serving.models.labels import LabelRule
from client_runtime.serving.models.ledger import LoadRules
from client_runtime.serving.models.lifecycle import News, State
from client_runtime.serving.servable import Bounds, ServableId
from client_runtime.serving.statuses import ServingError
from client_runtime.serving_wire.model_management_pb2 import ModelConfig, ModelServerConfig
from tests.client_runtime.serving.models.conftest import (
    Begin,
    MemoryLoader,
    configured,
    in_time,
    model_at,
    refused,
    served,
    settle,
    spec,
    states_of,
)
from tests.conftest import eventually, patience


def test_models_are_found_by_latest_version_and_label(begin: Begin, tmp_path: Path) -> None:
    """Several versions of one model, one of another."""
    half = model_at(tmp_path, "half", "007", 9) + " model_version_policy { all {} }"
    catalog = begin(
        configured(
            half + " version_labels { key: 'old' value: 7 }", model_at(tmp_path, "other", 1)
        ),
        label_rule=LabelRule.NEW_OR_SAME,
    )
    eventually(lambda: len(_loaded(catalog)) == 3)
    assert served(catalog, spec("half")) == 9
    assert served(catalog, spec("half", 7)) == served(catalog, spec("half", label="old")) == 7
    assert served(catalog, spec("other")) == 1
    assert catalog.names() == ["half", "other"]
    assert catalog.labels("half") == {"old": 7}
    assert catalog.ready()


def _loaded(catalog: ServableCatalog) -> list[tuple[str, int]]:
    return [
        (name, version)
        for name in catalog.names()
        for version, state in states_of(catalog, name).items()
        if state == "AVAILABLE"
    ]


def test_what_is_not_there_is_told(begin: Begin, tmp_path: Path) -> None:
    """In the original's words."""
    catalog = begin(configured(model_at(tmp_path, "m", 1)))
    settle(catalog)
    not_found = Status.NOT_FOUND
    assert refused(catalog, name="x") == (not_found, "Servable not found for request: Latest(x)")
    assert refused(catalog, name="m", version=5) == (
        not_found,
        "Servable not found for request: Specific(m, 5)",
    )
    assert refused(catalog, name="m", label="l") == (
        Status.INVALID_ARGUMENT,
        "Unrecognized servable version label: l",
    )
    assert refused(catalog, name="") == (
        Status.INVALID_ARGUMENT,
        "ModelSpec has no name specified.",
    )


def test_states_are_told_the_newest_first(begin: Begin, tmp_path: Path) -> None:
    """With the error of a version that failed; of one version where one is named."""
    fine = model_at(tmp_path, "m", 1, 3) + " model_version_policy { all {} }"
    model_at(tmp_path, "m", 2, fault="broken")
    catalog = begin(configured(fine))
    eventually(lambda: states_of(catalog, "m") == {3: "AVAILABLE", 2: "END", 1: "AVAILABLE"})
    response = catalog.status("m", None)
    assert [status.version for status in response.model_version_status] == [3, 2, 1]
    assert all(status.HasField("status") for status in response.model_version_status)
    codes = [status.status.error_code for status in response.model_version_status]
    assert codes == [0, Status.NOT_FOUND, 0]
    (one,) = catalog.status("m", 2).model_version_status
    assert (one.version, one.status.error_message) == (2, "broken")
    for name, version, message in [
        ("m", 9, "Could not find version 9 of model m"),
        ("x", None, "Could not find any versions of model x"),
        ("x", 1, "Could not find version 1 of model x"),
    ]:
        with pytest.raises(ServingError, match=message) as failure:
            catalog.status(name, version)
        assert failure.value.status is Status.NOT_FOUND


def test_a_start_fails_with_what_failed(begin: Begin, tmp_path: Path, loader: MemoryLoader) -> None:
    """After all retries, and after every other model has settled too."""
    broken = model_at(tmp_path, "default", 123, fault="no saved_model.pb")
    catalog = begin(configured(broken, model_at(tmp_path, "good", 1)))
    settled = catalog.wait_until_settled(time.monotonic() + patience(20))
    assert settled.message() == (
        "1 servable(s) did not become available: {{{name: default version: 123} due to error: "
        "NOT_FOUND: no saved_model.pb}, }"
    )
    assert settled.available == ("good",)
    assert loader.loads.count(ServableId("default", 123)) == 2
    assert not catalog.ready()


def test_a_missing_base_path_is_waited_for(
    begin: Begin, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With a line in the log at every look; then it is served."""
    base_path = tmp_path / "late"
    catalog = begin(configured(f"name: 'm' base_path: '{base_path}'"))
    line = (
        f"Could not find base path {base_path} for servable m with error NOT_FOUND: {base_path} "
        "not found"
    )
    eventually(lambda: caplog.messages.count(line) >= 3)
    settled = catalog.wait_until_settled(time.monotonic())
    assert (settled.waiting, settled.is_good) == ({"m": line}, False)
    base_path.mkdir()
    eventually(lambda: "Did you forget to name your leaf directory" in caplog.text)
    (base_path / "1").mkdir()
    settle(catalog)


def test_what_is_ready_can_be_served(begin: Begin, tmp_path: Path, loader: MemoryLoader) -> None:
    """One model has failed once and goes on trying, another one has no folder."""
    catalog = begin(
        configured(
            model_at(tmp_path, "broken", 1, fault="not yet"),
            model_at(tmp_path, "good", 1),
            f"name: 'late' base_path: '{tmp_path / 'late'}'",
        ),
        LoadRules(retries=None, retry_interval=0.02),
        serve_what_is_ready=True,
    )
    settled = catalog.wait_until_settled(None)
    assert settled.available == ("good",)
    assert [(id_.name, error.message) for id_, error in settled.failed.items()] == [
        ("broken", "not yet")
    ]
    assert list(settled.waiting) == ["late"]
    (tmp_path / "broken" / "1" / "fault").unlink()
    (tmp_path / "late" / "1").mkdir(parents=True)
    eventually(catalog.ready)


def test_a_load_that_hangs_holds_up_nobody(
    begin: Begin, tmp_path: Path, loader: MemoryLoader
) -> None:
    """Other models come up and swap versions meanwhile."""
    loader.gate("slow", 1)
    catalog = begin(configured(model_at(tmp_path, "slow", 1), model_at(tmp_path, "m", 1)))
    eventually(lambda: ("m", 1) in _loaded(catalog))
    model_at(tmp_path, "m", 2)
    eventually(lambda: states_of(catalog, "m") == {2: "AVAILABLE", 1: "END"})
    assert states_of(catalog, "slow") == {1: "LOADING"}
    assert not catalog.ready()


def test_a_load_is_bounded_in_time(begin: Begin, tmp_path: Path, loader: MemoryLoader) -> None:
    """When its option says so."""
    loader.gate("m", 1)
    catalog = begin(configured(model_at(tmp_path, "m", 1)), load_seconds=0.05)
    settled = catalog.wait_until_settled(time.monotonic() + patience(20))
    assert settled.failed[ServableId("m", 1)].status is Status.DEADLINE_EXCEEDED


def test_a_load_that_waits_in_line_is_not_begun(
    begin: Begin, tmp_path: Path, loader: MemoryLoader
) -> None:
    """When it is not wanted any more."""
    gate = loader.gate("slow", 1)
    slow, late = model_at(tmp_path, "slow", 1), model_at(tmp_path, "late", 1)
    catalog = begin(configured(slow, late), load_threads=1)
    eventually(lambda: states_of(catalog, "late") == {1: "LOADING"})
    catalog.remove_model("late", in_time())
    gate.set()
    eventually(lambda: states_of(catalog, "late") == {1: "END"})
    assert loader.loads == [ServableId("slow", 1)]


def test_a_servable_that_fails_to_close_has_ended(
    begin: Begin, tmp_path: Path, loader: MemoryLoader
) -> None:
    """There is nothing more to be done for it."""
    loader.closes_badly = True
    catalog = begin(configured(model_at(tmp_path, "m", 1)))
    settle(catalog)
    catalog.remove_model("m", in_time())
    eventually(lambda: states_of(catalog, "m") == {1: "END"})


def test_two_names_of_a_version_are_warned_of_once(
    begin: Begin, tmp_path: Path, caplog: pytest.LogCaptureFixture, loader: MemoryLoader
) -> None:
    """Not at every look."""
    catalog = begin(configured(model_at(tmp_path, "m", "1", "01")))
    settle(catalog)
    model_at(tmp_path, "m", 2)
    eventually(lambda: served(catalog, spec("m")) == 2)
    warnings = [text for text in caplog.messages if text.startswith("Duplicate version")]
    assert len(warnings) == 1


def test_a_look_that_comes_late_says_nothing(
    begin: Begin, tmp_path: Path, loader: MemoryLoader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk was slow, and meanwhile the model was removed, or was looked at again."""
    old, new = model_at(tmp_path / "old", "m", 1), model_at(tmp_path / "new", "m", 5)
    gone, last = model_at(tmp_path, "gone", 1), model_at(tmp_path, "last")
    gates = {name: threading.Event() for name in ("m", "gone", "last")}
    seen = threading.Semaphore(0)
    ended = threading.Semaphore(0)
    look = folders.look

    def slow_look(model: ModelConfig) -> folders.View:
        view = look(model)
        if threading.current_thread().name == "model-catalog":
            seen.release()
            assert gates[model.name].wait(patience(20))
            ended.release()
        return view

    monkeypatch.setattr(folders, "look", slow_look)
    catalog = begin(configured(old, gone, last), poll_seconds=0.0)
    assert seen.acquire(timeout=patience(20))
    catalog.reload(configured(new), in_time())
    model_at(tmp_path / "old", "m", 2)
    catalog.reload(configured(old), in_time())
    for gate in gates.values():
        gate.set()
        assert ended.acquire(timeout=patience(20))
    assert served(catalog, spec("m")) == 2
    assert ServableId("m", 1) not in loader.loads
    assert ServableId("gone", 1) not in loader.loads


def test_a_defect_in_the_loader_fails_one_load(
    begin: Begin, tmp_path: Path, loader: MemoryLoader
) -> None:
    """And is told with its kind."""
    model_at(tmp_path, "m", 1)
    (tmp_path / "m" / "1" / "fault").mkdir()
    catalog = begin(configured(f"name: 'm' base_path: '{tmp_path / 'm'}'"))
    settled = catalog.wait_until_settled(time.monotonic() + patience(20))
    error = settled.failed[ServableId("m", 1)]
    assert (error.status, error.message[:18]) == (Status.INTERNAL, "IsADirectoryError:")


def test_a_version_that_is_deleted_is_unloaded(begin: Begin, tmp_path: Path) -> None:
    """Down to none; and a base path that goes away changes nothing."""
    kept, gone = model_at(tmp_path, "kept", 1), model_at(tmp_path, "gone", 1)
    catalog = begin(configured(kept, gone))
    settle(catalog)
    (tmp_path / "kept").rename(tmp_path / "elsewhere")
    shutil.rmtree(tmp_path / "gone" / "1")
    eventually(lambda: states_of(catalog, "gone") == {1: "END"})
    assert refused(catalog, name="gone")[0] is Status.NOT_FOUND
    assert served(catalog, spec("kept")) == 1
    (tmp_path / "gone" / "1").mkdir()
    eventually(lambda: states_of(catalog, "gone") == {1: "AVAILABLE"})


def test_a_servable_in_use_is_not_unloaded(begin: Begin, tmp_path: Path) -> None:
    """Nobody new gets it; it is closed when the last user has left."""
    catalog = begin(configured(model_at(tmp_path, "m", 1)))
    settle(catalog)
    with catalog.use(spec("m")) as first, catalog.use(spec("m")):
        model_at(tmp_path, "m", 2)
        eventually(lambda: states_of(catalog, "m") == {1: "UNLOADING", 2: "AVAILABLE"})
        assert first.run("", {}, Bounds())["version"] == 1
        assert served(catalog, spec("m")) == 2
        assert refused(catalog, name="m", version=1)[0] is Status.NOT_FOUND
    eventually(lambda: states_of(catalog, "m") == {1: "END", 2: "AVAILABLE"})
    with pytest.raises(ServingError):
        first.run("", {}, Bounds())


def test_users_that_never_leave_are_waited_for_with_a_bound(begin: Begin, tmp_path: Path) -> None:
    """Memory comes back in the end."""
    catalog = begin(configured(model_at(tmp_path, "m", 1)), LoadRules(users=0.1))
    settle(catalog)
    with catalog.use(spec("m")):
        model_at(tmp_path, "m", 2)
        eventually(lambda: states_of(catalog, "m") == {1: "END", 2: "AVAILABLE"})


@pytest.mark.parametrize(("poll_seconds", "loads"), [(0.0, [1]), (-1.0, [])])
def test_polling_can_be_left_out(
    begin: Begin, tmp_path: Path, loader: MemoryLoader, poll_seconds: float, loads: list[int]
) -> None:
    """0: one look at the start; negative: not even that."""
    catalog = begin(configured(model_at(tmp_path, "m", 1)), poll_seconds=poll_seconds)
    settled = catalog.wait_until_settled(time.monotonic() + (patience(20) if loads else 0.2))
    assert settled.is_good == bool(loads)
    model_at(tmp_path, "m", 2)
    time.sleep(0.1)
    assert [id_.version for id_ in loader.loads] == loads


def test_a_label_in_the_first_configuration_fails_the_start(
    loader: MemoryLoader, tmp_path: Path
) -> None:
    """No version is available yet; nothing is begun."""
    model = model_at(tmp_path, "m", 1) + " version_labels { key: 'stable' value: 1 }"
    catalog = ServableCatalog(configured(model), loader)
    with pytest.raises(ServingError, match="Request to assign label to version 1 of model m"):
        catalog.start()
    assert catalog.close(0.0)
    assert loader.loads == []


def test_labels_can_wait_for_their_versions(
    begin: Begin, tmp_path: Path, loader: MemoryLoader
) -> None:
    """From the first configuration on."""
    model = model_at(tmp_path, "m", 1) + " version_labels { key: 'stable' value: 1 }"
    gate = loader.gate("m", 1)
    catalog = begin(configured(model), label_rule=LabelRule.WHEN_AVAILABLE)
    assert refused(catalog, name="m", label="stable")[0] is Status.INVALID_ARGUMENT
    gate.set()
    settle(catalog)
    assert served(catalog, spec("m", label="stable")) == 1


def test_a_flag_allows_labels_of_versions_that_are_absent(begin: Begin, tmp_path: Path) -> None:
    """The label is known, the version is not."""
    model = model_at(tmp_path, "m", 1) + " version_labels { key: 'next' value: 5 }"
    catalog = begin(configured(model), label_rule=LabelRule.NEW_OR_SAME)
    assert refused(catalog, name="m", label="next") == (
        Status.NOT_FOUND,
        "Servable not found for request: Specific(m, 5)",
    )


def test_events_are_told_in_order(begin: Begin, tmp_path: Path) -> None:
    """An observer may ask the catalog, and may fail."""
    told: list[News] = []

    def observe(news: News) -> None:
        told.append(news)
        catalog.status("m", None)
        raise RuntimeError("an observer's own fault")

    gate = threading.Event()
    made = model_at(tmp_path, "m", 1)
    catalog = begin(configured(), observe=lambda news: gate.wait() and observe(news))
    gate.set()
    catalog.reload(configured(made), in_time())
    (tmp_path / "m" / "1").rmdir()
    eventually(lambda: len(told) == 5)
    assert [news.state for news in told] == list(State)
    assert all(news.id == ServableId("m", 1) and news.error is None for news in told)


def test_configurations_are_told(begin: Begin, tmp_path: Path) -> None:
    """Those that were accepted, the first one too; what becomes of the message changes nothing."""
    told: list[list[str]] = []

    def configured_(config: ModelServerConfig) -> None:
        told.append([model.name for model in config.model_config_list.config])
        raise RuntimeError("an observer's own fault")

    catalog = begin(configured(), configured=configured_)
    config = configured(model_at(tmp_path, "m", 1))
    catalog.reload(config, in_time())
    config.model_config_list.config[0].base_path = "relative"
    with pytest.raises(ServingError):
        catalog.reload(config, in_time())
    assert told == [[], ["m"]]
    shutil.rmtree(tmp_path / "m" / "1")
    eventually(lambda: not catalog.ready())


def test_a_failed_try_is_told(
    begin: Begin, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With its error, to the observer and in the log."""
    told: list[News] = []
    broken = configured(model_at(tmp_path, "m", 1, fault="broken"))
    with caplog.at_level(logging.ERROR):
        begin(broken, observe=told.append)
        eventually(lambda: told and told[-1].state is State.END)
    errors = [(news.state, str(news.error)) for news in told if news.error]
    assert errors == [(State.LOADING, "broken"), (State.END, "broken")]
    assert caplog.messages[-2:] == [
        "Servable {name: m version: 1} cannot be loaded: NOT_FOUND: broken; it is tried again",
        "Servable {name: m version: 1} cannot be loaded: NOT_FOUND: broken",
    ]


def test_closing_waits_for_users_and_frees_all(begin: Begin, tmp_path: Path) -> None:
    """Nobody new comes in."""
    catalog = begin(configured(model_at(tmp_path, "m", 1)))
    settle(catalog)
    with catalog.use(spec("m")) as servable:
        closing = threading.Thread(target=catalog.close, args=(patience(20),))
        closing.start()
        eventually(lambda: not catalog.ready())
        assert refused(catalog, name="m")[0] is Status.UNAVAILABLE
        assert servable.run("", {}, Bounds())["version"] == 1
        assert closing.is_alive()
    closing.join(patience(20))
    assert not closing.is_alive()
    assert states_of(catalog, "m") == {1: "END"}


def test_closing_does_not_wait_for_ever(begin: Begin, tmp_path: Path, loader: MemoryLoader) -> None:
    """Not for users that stay, and a load that is under way is cancelled."""
    loader.gate("slow", 1)
    catalog = begin(configured(model_at(tmp_path, "m", 1), model_at(tmp_path, "slow", 1)))
    eventually(lambda: ("m", 1) in _loaded(catalog))
    eventually(lambda: states_of(catalog, "slow") == {1: "LOADING"})
    with catalog.use(spec("m")):
        assert catalog.close(0.05)
    assert states_of(catalog, "slow") == {1: "END"}
