"""Models served from real accelerators answer as TensorFlow would, and go as they came."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from accel_protocol.errors import ConfigurationError, Status
from client_runtime.serving.events import BatchEnded, Event, RunEnded, WarmedUp
from client_runtime.serving.inference.accelerator_loader import AcceleratorLoader
from client_runtime.serving.inference.fleet import discovered
from client_runtime.serving.inference.local_loader import LocalLoader
from client_runtime.serving.inference.options import ALL_ACCELERATORS, InferenceOptions
from client_runtime.serving.inference.service import InferenceService
from client_runtime.serving.servable import Bounds, Servable, ServableId
from client_runtime.serving.statuses import ServingError
from client_runtime.serving_wire import inference_pb2 as pb
from client_runtime.serving_wire import tensor_protos
from client_runtime.serving_wire.prediction_log_pb2 import PredictionLog
from client_runtime.serving_wire.records import write_record
from client_runtime.transport.attachment import connect
from tests.conftest import Daemon, eventually, patience, start_daemon, use_home
from tests.integration.conftest import counting_model

v1 = tf.compat.v1
ID = ServableId("m", 123)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with two accelerators, for all tests here."""
    options = ("--accelerator", "host,compile=off") * 2
    running = start_daemon(tmp_path_factory.mktemp("pair"), "--port", "0", *options)
    yield running
    assert running.stop() == 0


@pytest.fixture(autouse=True)
def client(pair: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is a client of that daemon."""
    use_home(monkeypatch, pair.home)


def half_plus_two(folder: Path) -> Path:
    """TensorFlow 1's half plus two: y = x / 2 + 2, fed directly or by examples; and a counter."""
    with v1.Session(graph=tf.Graph()) as session:
        half, two, count = (v1.Variable(start, use_resource=False) for start in (0.5, 2.0, 0.0))
        text = v1.placeholder(tf.string, name="tf_example")
        features = {"x": v1.FixedLenFeature([1], tf.float32)}
        x = tf.identity(v1.parse_example(text, features)["x"], name="x")
        y = tf.add(tf.multiply(half, x), two, name="y")
        label = tf.fill(tf.shape(y), "y")
        more = v1.assign_add(count, 1.0)
        session.run(v1.global_variables_initializer())

        def signature(inputs: Any, outputs: Any, method: str) -> Any:
            infos = [
                {alias: v1.saved_model.build_tensor_info(one) for alias, one in given.items()}
                for given in (inputs, outputs)
            ]
            return v1.saved_model.build_signature_def(*infos, f"tensorflow/serving/{method}")

        builder = v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            {
                "serving_default": signature({"x": x}, {"y": y}, "predict"),
                "classify": signature(
                    {"inputs": text}, {"scores": y, "classes": label}, "classify"
                ),
                "regress": signature({"inputs": text}, {"outputs": y}, "regress"),
                "incr": signature({}, {"output": more}, "predict"),
                "get": signature({}, {"output": count}, "predict"),
            },
        )
        builder.save()
    return folder


def functions(folder: Path) -> Path:
    """TensorFlow 2: a signature of two tensors, one of none, and one that is refused."""

    class Model(tf.Module):  # type: ignore[misc]
        @tf.function(
            input_signature=[
                tf.TensorSpec(None, tf.float32, name="a"),
                tf.TensorSpec(None, tf.float32, name="b"),
            ]
        )
        def both(self, a: Any, b: Any) -> dict[str, Any]:
            return {"sum": a + b, "product": a * b}

        @tf.function(input_signature=[])
        def nothing(self) -> dict[str, Any]:
            return {"answer": tf.constant(42)}

        @tf.function(input_signature=[tf.TensorSpec([], tf.string, name="path")])
        def read(self, path: Any) -> dict[str, Any]:
            return {"content": tf.io.read_file(path)}

    model = Model()
    signatures = {"serving_default": model.both, "nothing": model.nothing, "read": model.read}
    tf.saved_model.save(model, str(folder), signatures=signatures)
    return folder


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """See `half_plus_two`."""
    return half_plus_two(tmp_path_factory.mktemp("half") / "123")


class Served:
    """One model as its servable serves it: a catalog of nothing else, and its inference."""

    def __init__(self, servable: Servable, options: InferenceOptions) -> None:
        self.servable = servable
        self.service = InferenceService(self, options)  # type: ignore[arg-type]

    @contextmanager
    def use(self, spec: pb.ModelSpec) -> Iterator[Servable]:
        """See `Catalog.use`."""
        yield self.servable

    def predict(self, key: str = "", bounds: Bounds | None = None, **inputs: Any) -> Any:
        """The outputs, by alias."""
        request = pb.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = "m", key
        for alias, value in inputs.items():
            request.inputs[alias].CopyFrom(tensor_protos.to_proto(np.asarray(value), content=True))
        answer = self.service.predict(request, bounds or Bounds())
        return {alias: tensor_protos.to_array(one) for alias, one in answer.outputs.items()}


@contextmanager
def serving(folder: Path, *, loader: Any = AcceleratorLoader, **options: Any) -> Iterator[Served]:
    """A model that is served inside the `with`."""
    chosen = InferenceOptions(**options)
    one = loader(chosen)
    servable = one.load(ID, folder, Bounds())
    try:
        yield Served(servable, chosen)
    finally:
        servable.close()
        one.close()


def graphs_of(ordinal: int = 0) -> int:
    """How many graphs an accelerator has loaded."""
    with connect(accelerator_id=ordinal) as attachment:
        return len(attachment.list().graphs)


def examples(*values: float) -> pb.Input:
    """Examples with one float each."""
    made = pb.Input()
    for value in values:
        example = made.example_list.examples.add()
        example.features.feature["x"].float_list.value.append(value)
    return made


def test_all_methods_answer(half: Path) -> None:
    """Fed directly in any shape, or by examples; each run is told of."""
    events: list[Event] = []
    with serving(half, observer=events.append) as served:
        for x in ([1, 2, 5], 3, [[8.0]]):
            answer = served.predict(x=np.float32(x))["y"]
            np.testing.assert_array_equal(answer, np.float32(x) / 2 + 2)
        spec = pb.ModelSpec(name="m", signature_name="classify")
        classified = served.service.classify(
            pb.ClassificationRequest(model_spec=spec, input=examples(2, 4)), Bounds()
        )
        got = [row.classes[0] for row in classified.result.classifications]
        assert [(one.label, one.score) for one in got] == [("y", 3), ("y", 4)]
        spec = pb.ModelSpec(name="m", signature_name="regress")
        regressed = served.service.regress(
            pb.RegressionRequest(model_spec=spec, input=examples(2, 4)), Bounds()
        )
        assert [one.value for one in regressed.result.regressions] == [3, 4]
    runs = [one for one in events if isinstance(one, RunEnded)]
    assert [one.signature for one in runs] == ["serving_default"] * 3 + ["classify", "regress"]
    assert all(0 < one.compute_seconds < one.seconds for one in runs)


def test_the_graph_decides_what_fits(tmp_path: Path) -> None:
    """Signatures of several tensors or none run; one whose ops are refused says so when run."""
    with serving(functions(tmp_path / "1")) as served:
        answer = served.predict(a=np.float32([1, 2]), b=np.float32(3))
        assert {alias: one.tolist() for alias, one in answer.items()} == {
            "sum": [4, 5],
            "product": [3, 6],
        }
        assert served.predict("nothing")["answer"] == 42
        with pytest.raises(ServingError, match="ReadFile") as caught:
            served.predict("read", path=np.array(b"/etc/passwd", dtype=object))
        assert caught.value.status is Status.FAILED_PRECONDITION
        with pytest.raises(ServingError, match="Incompatible shapes") as caught:
            served.predict(a=np.float32([1, 2]), b=np.float32([1, 2, 3]))
        assert caught.value.status is Status.INVALID_ARGUMENT


def test_a_wrong_device_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not as a model that cannot be loaded, which is tried again for minutes."""
    monkeypatch.setenv("EI_VISIBLE_DEVICES", "7")
    with pytest.raises(ConfigurationError, match="EI_VISIBLE_DEVICES"):
        discovered()


def test_other_tensors_are_run_by_their_names(half: Path) -> None:
    """As SessionRun asks for them; an unknown one is refused."""
    with serving(half) as served:
        request = pb.SessionRunRequest(fetch=["y", "x:0"])
        request.model_spec.name = "m"
        text = tf.train.Example(
            features=tf.train.Features(
                feature={"x": tf.train.Feature(float_list=tf.train.FloatList(value=[4]))}
            )
        ).SerializeToString()
        fed = tensor_protos.to_proto(np.array([text], dtype=object), content=False)
        request.feed.add(name="tf_example", tensor=fed)
        answer = served.service.session_run(request, Bounds())
        got = [(one.name, list(one.tensor.float_val)) for one in answer.tensor]
        assert got == [("y", [4]), ("x:0", [4])]
        request.fetch.append("z:0")
        with pytest.raises(ServingError, match="'z:0' refers to a Tensor which does not exist"):
            served.service.session_run(request, Bounds())


def test_a_closed_version_is_gone_from_the_accelerator(half: Path) -> None:
    """But not what the same version, loaded once more, still uses."""
    before, loader = graphs_of(), AcceleratorLoader(InferenceOptions())
    first, second = (loader.load(ServableId("m", n), half, Bounds()) for n in (1, 2))
    assert graphs_of() + graphs_of(1) == before + 5 + 5  # each went to the emptier accelerator
    third = loader.load(ServableId("m", 1), half, Bounds())
    first.close()
    assert graphs_of() + graphs_of(1) == before + 5 + 5
    feeds = {"x": np.float32([2])}
    assert third.run("serving_default", feeds, Bounds())["y"] == 3
    with pytest.raises(ServingError, match="unloaded") as caught:
        first.run("serving_default", feeds, Bounds())
    assert caught.value.status is Status.UNAVAILABLE
    second.close()
    third.close()
    assert graphs_of() + graphs_of(1) == before
    loader.close()


def test_signatures_of_a_version_share_their_state(half: Path) -> None:
    """What one changes another reads; their memory counts once, and another version has its own."""
    before = graphs_of() + graphs_of(1)
    with serving(half) as served:
        counts = [float(served.predict(key)["output"]) for key in ("incr", "get", "incr", "get")]
        assert counts == [1, 1, 2, 2]
        assert served.predict(x=np.float32([2]))["y"] == 3
        assert sorted(held > 0 for held in bytes_of_each()) == [False] * 4 + [True]
        loader = AcceleratorLoader(InferenceOptions())
        other = loader.load(ServableId("m", 124), half, Bounds())
        assert other.run("get", {}, Bounds())["output"] == 0
        other.close()
        loader.close()
        assert served.predict("get")["output"] == 2
    assert graphs_of() + graphs_of(1) == before


def bytes_of_each() -> list[int]:
    """What all graphs take that the accelerators have loaded."""
    found = []
    for ordinal in (0, 1):
        with connect(accelerator_id=ordinal) as attachment:
            found += [one.memory_bytes for one in attachment.list().graphs]
    return found


def stopped(ask: Callable[[], Any]) -> ServingError:
    """How a request ends that would take for ever."""
    started = time.monotonic()
    with pytest.raises(ServingError) as caught:
        ask()
    assert time.monotonic() - started < patience(30)
    return caught.value


def test_requests_end_in_time(tmp_path: Path) -> None:
    """By their deadline, by cancelling, and when their version is closed."""
    with serving(counting_model(tmp_path / "1")) as served:
        endless = {"steps": np.int64(10**15)}
        soon = Bounds(time.monotonic() + 1)
        error = stopped(lambda: served.predict(bounds=soon, **endless))
        assert error.status is Status.DEADLINE_EXCEEDED
        assert error.message == "Timed out waiting for notification"

        bounds = Bounds()
        threading.Timer(0.5, bounds.cancellation.cancel).start()
        error = stopped(lambda: served.predict(bounds=bounds, **endless))
        assert error.status is Status.CANCELLED

        threading.Timer(0.5, served.servable.close).start()
        error = stopped(lambda: served.predict(**endless))
        assert (error.status, "unloaded" in error.message) == (Status.UNAVAILABLE, True)


def warm_up_file(folder: Path, *requests: pb.PredictRequest) -> None:
    """Put warm-up requests into a version's folder."""
    (folder / "assets.extra").mkdir()
    with (folder / "assets.extra" / "tf_serving_warmup_requests").open("wb") as stream:
        for request in requests:
            log = PredictionLog()
            log.predict_log.request.CopyFrom(request)
            write_record(stream, log.SerializeToString())


def test_warm_up_requests_run_before_others(tmp_path: Path) -> None:
    """One that fails fails the load, and nothing stays loaded."""
    folder, events = half_plus_two(tmp_path / "1"), []
    good = pb.PredictRequest()
    good.inputs["x"].CopyFrom(tensor_protos.to_proto(np.float32([1]), content=False))
    warm_up_file(folder, good, good, pb.PredictRequest())
    before = graphs_of() + graphs_of(1)
    with (
        pytest.raises(ServingError, match="input size does not match signature"),
        serving(folder, observer=events.append, warm_up_iterations=3),
    ):
        pass
    ran = [one.status for one in events if isinstance(one, RunEnded)]
    assert ran == [None] * 6
    warmed = [one for one in events if isinstance(one, WarmedUp)]
    assert [(one.records, one.status) for one in warmed] == [(2, Status.INVALID_ARGUMENT)]
    # Fewer where those of a test before were still leaving.
    assert graphs_of() + graphs_of(1) <= before


def test_requests_are_batched_as_the_versions_folder_says(tmp_path: Path) -> None:
    """Eight requests at one time make one run, which is as large as an allowed size."""
    folder, events = half_plus_two(tmp_path / "1"), []
    (folder / "batching_params.pbtxt").write_text(
        "max_batch_size { value: 16 } allowed_batch_sizes: 16 "
        f"batch_timeout_micros {{ value: {int(patience(3) * 1e6)} }}"
    )
    with (
        serving(folder, observer=events.append, batching_per_model=True) as served,
        ThreadPoolExecutor(8) as threads,
    ):
        asked = [threads.submit(served.predict, x=np.float32([[n], [n + 1]])) for n in range(8)]
        for n, one in enumerate(asked):
            assert one.result(patience(30))["y"].tolist() == [[n / 2 + 2], [(n + 1) / 2 + 2]]
    batches = [one for one in events if isinstance(one, BatchEnded)]
    assert [(one.rows, one.execution_rows) for one in batches] == [((2,) * 8, 16)]


class Asking:
    """Clients that run models without end inside the `with`, each request with a deadline.

    Attributes:
        ended: of each request the status, None for an answer, when it began, and its seconds.
    """

    def __init__(self, *asks: Callable[[Bounds], object], deadline: float) -> None:
        self.ended: list[tuple[Status | None, float, float]] = []
        self._asks, self._deadline = asks, deadline
        self._stop, self._threads = threading.Event(), ThreadPoolExecutor(len(asks))

    def __enter__(self) -> Asking:
        self._asking = [self._threads.submit(self._ask, ask) for ask in self._asks]
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for one in self._asking:
            one.result(patience(60))

    def good_since(self, moment: float) -> int:
        """How many requests that began after it were answered."""
        return sum(status is None and began > moment for status, began, _ in list(self.ended))

    def _ask(self, ask: Callable[[Bounds], object]) -> None:
        while not self._stop.wait(0.01):
            status, began = None, time.monotonic()
            try:
                ask(Bounds(began + self._deadline))
            except ServingError as error:
                status = error.status
            self.ended.append((status, began, time.monotonic() - began))


def test_a_killed_accelerator_comes_back_under_load(
    half: Path, pair: Daemon, tmp_path: Path
) -> None:
    """All requests of eight clients are answered, or end in time and can be repeated.

    Four of them ask a model that is on both accelerators, four one that is on the killed one.
    """
    deadline = patience(2)
    with (
        serving(half, default_replicas=ALL_ACCELERATORS) as both,
        serving(counting_model(tmp_path / "1")) as one,
    ):
        victim = 0 if graphs_of(0) > graphs_of(1) else 1
        assert {graphs_of(victim), graphs_of(1 - victim)} == {6, 5}
        four = [lambda bounds: expect(both, bounds, "y", 4.0, x=np.float32([4]))] * 4
        alone = [lambda bounds: expect(one, bounds, "count", 9, steps=np.int64(9))] * 4
        with (
            Asking(*four, deadline=deadline) as asking_both,
            Asking(*alone, deadline=deadline) as asking_one,
        ):
            eventually(lambda: min(runs_of(0), runs_of(1)) > 40)
            pid = pair.status()["accelerators"][victim]["pid"]
            os.kill(pid, signal.SIGKILL)
            killed = time.monotonic()
            eventually(lambda: asking_both.good_since(killed) > 40)
            eventually(lambda: asking_one.good_since(killed + 0.5) > 40, 60)
            eventually(lambda: graphs_of(victim) >= 2, 60)
    allowed = {None, Status.UNAVAILABLE, Status.DEADLINE_EXCEEDED}
    for status, _, seconds in asking_both.ended + asking_one.ended:
        assert status in allowed
        assert seconds < deadline + patience(3)


def expect(served: Served, bounds: Bounds, alias: str, value: float, **inputs: Any) -> None:
    """A request whose answer is known."""
    assert served.predict(bounds=bounds, **inputs)[alias] == value


def runs_of(ordinal: int) -> int:
    """How many runs an accelerator's process has answered."""
    with connect(accelerator_id=ordinal) as attachment:
        return int(attachment.list().counters.runs)


def test_without_an_accelerator_signatures_share_their_state(half: Path) -> None:
    """In this process's TensorFlow, with the same answers."""
    with serving(half, loader=LocalLoader) as served:
        assert served.predict(x=np.float32([2]))["y"] == 3
        served.predict("incr")
        assert served.predict("incr")["output"] == 2
        assert served.predict("get")["output"] == 2
        with pytest.raises(ServingError, match="to be float but string is provided"):
            served.predict(x=np.array([b"a"], dtype=object))
