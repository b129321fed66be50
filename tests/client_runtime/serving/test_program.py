"""The program's words and exit status, without a model."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from accel_protocol.errors import ConfigurationError, Status
from client_runtime.serving import program
from client_runtime.serving.ending import SIGNALS
from client_runtime.serving.flags.settings import Settings
from client_runtime.serving.server import Served
from client_runtime.serving.statuses import ServingError
from tests.client_runtime.serving.doors.conftest import Models
from tests.conftest import patience


@pytest.fixture(autouse=True)
def _signals_as_they_were() -> Iterator[None]:
    before = {one: signal.getsignal(one) for one in SIGNALS}
    yield
    for one, handler in before.items():
        signal.signal(one, handler)


class Backend:
    """Fails with `error` when it loads, or else sends this process a signal."""

    def __init__(self, error: Exception | None = None, *, is_slow: bool = False) -> None:
        self._error, self._is_slow = error, is_slow
        self.closed = threading.Event()
        models = Models()
        self.sessions_ended = threading.Event()
        self.served = Served(
            models,
            models,  # type: ignore[arg-type]
            lambda guard: None,  # type: ignore[arg-type, return-value]
            end_sessions=self.sessions_ended.set,
        )

    def load(self) -> None:
        """See program.Backend."""
        if self._error is not None:
            raise self._error
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
        if self._is_slow:
            self.closed.wait(patience(30))

    def close(self) -> None:
        """See program.Backend."""
        self.closed.set()


def run(backend: Backend, *words: str) -> int:
    """Run the program with it."""
    return program.run("serve", words, lambda _: backend)


def socket_flag(folder: Path) -> tuple[str, str]:
    """Listen on a socket only."""
    return "--port=0", f"--grpc_socket_path={folder / 's'}"


def test_help_and_mistakes_show_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """With the original's exit status, which is not 0."""
    assert run(Backend(), "--help") == 255
    shown = capsys.readouterr()
    assert shown.out.startswith("usage: serve\nFlags:\n\t--port=8500")
    assert shown.err == ""

    assert run(Backend(), "--port=x") == 255
    shown = capsys.readouterr()
    assert shown.out.startswith("usage: serve\n")
    assert shown.err == "Couldn't interpret value x for flag port.\n"


def test_version_has_the_lines_that_scripts_look_for(capsys: pytest.CaptureFixture[str]) -> None:
    """TensorFlow Serving's two, and Elastic Inference's."""
    assert run(Backend(), "--version") == 0
    lines = capsys.readouterr().out.splitlines()

    assert [line.partition(":")[0] for line in lines] == [
        "TensorFlow ModelServer",
        "TensorFlow Library",
        "EI Version",
    ]


def test_an_unknown_argument_does_not_stop_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is named, with the usage, and the server goes on: here until its signal."""
    backend = Backend()
    words = ("--model_base_path=/m", *socket_flag(tmp_path), "--model-name=x", "word")

    assert run(backend, *words) == 0

    assert capsys.readouterr().out.startswith("unknown argument: --model-name=x\nusage: serve\n")
    assert backend.closed.is_set()


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--port=0"], "INVALID_ARGUMENT: At least one of server_options.grpc_port"),
        ([], "INVALID_ARGUMENT: Both server_options.model_base_path"),
        (["--model_base_path=/m", "--ssl_config_file=/none"], "NOT_FOUND: /none"),
        (["--model_base_path=/m", "--api_keys_file=/none"], "FAILED_PRECONDITION: The API keys"),
        (["--model_base_path=/m", "--grpc_channel_arguments=x"], "INVALID_ARGUMENT: --grpc"),
    ],
)
def test_what_cannot_start_says_why(
    words: list[str], error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """On standard output, as the original does, before a model is loaded."""
    backend = Backend(AssertionError("it was loaded"))

    assert run(backend, *words) == 255
    assert capsys.readouterr().out.startswith(f"Failed to start server. Error: {error}")


def test_a_model_that_fails_stops_the_start(capsys: pytest.CaptureFixture[str]) -> None:
    """What was loaded by then is unloaded."""
    backend = Backend(ServingError(Status.INTERNAL, "1 servable(s) did not become available"))

    assert run(backend, "--model_base_path=/m", "--port=1") == 255

    out = capsys.readouterr().out
    assert (
        out == "Failed to start server. Error: INTERNAL: 1 servable(s) did not become available\n"
    )
    assert backend.closed.is_set()


def test_no_accelerator_is_an_error_with_its_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    """The message that every client of the project gives."""

    def build(settings: Settings) -> Backend:
        raise ConfigurationError("No accelerator was found.")

    assert program.run("serve", ["--model_base_path=/m"], build) == 255
    out = capsys.readouterr().out
    assert out.startswith("Failed to start server. Error: FAILED_PRECONDITION: No accelerator was")
    assert "accel-daemon up" in out


def test_a_signal_ends_it_while_models_load(tmp_path: Path) -> None:
    """No port is opened any more."""
    backend = Backend(is_slow=True)

    assert run(backend, "--model_base_path=/m", *socket_flag(tmp_path)) == 0
    assert backend.sessions_ended.is_set()
    assert backend.closed.is_set()
    assert not (tmp_path / "s").exists()
