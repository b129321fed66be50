"""The program from its command line to its exit status, as TensorFlow Serving's main has them."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Protocol, TextIO

from accel_protocol.errors import AcceleratorError
from client_runtime.serving.ending import Ending
from client_runtime.serving.flags import contradictions, grammar
from client_runtime.serving.flags.settings import Settings
from client_runtime.serving.server import Access, Served, Server
from client_runtime.serving.statuses import ServingError, from_accelerator
from client_runtime.serving.text_files import TextFileError

_log = logging.getLogger(__name__)
FAILED = 255
# Whose command line and interfaces these are.
_INTERFACE = "2.20.0"


class Backend(Protocol):
    """What is behind the doors: models, and what answers with them."""

    served: Served

    def load(self) -> None:
        """Load what is to be served; returns when the ports may be opened.

        Raises:
            ServingError: a model cannot be loaded.
        """

    def close(self) -> None:
        """Unload all, and stop."""


Build = Callable[[Settings], Backend]


def run(program: str, words: Sequence[str], build: Build) -> int:
    """Run the program until it is told to end.

    Args:
        program: its name, for the usage.
        words: its arguments.
        build: makes what is behind the doors; may raise ServingError and AcceleratorError.

    Returns:
        The exit status.
    """
    line = grammar.parse(Settings, words)
    usage = grammar.usage(program, Settings)
    for mistake in line.mistakes:
        _say(mistake, sys.stderr)
    if line.mistakes or "--help" in line.unknown:
        _say(usage.rstrip("\n"))
        return FAILED
    if line.settings.version:
        _say(version_text())
        return 0
    if line.unknown:
        _say(f"unknown argument: {line.unknown[0]}\n{usage}".rstrip("\n"))
    _start_logging()
    for sentence in grammar.without_effect(line.settings):
        _log.warning("%s", sentence)
    try:
        _serve(line.settings, build)
    except (ServingError, AcceleratorError) as error:
        return _failed(error)
    return 0


def version_text() -> str:
    """What --version prints."""
    ours = version("elastic-accelerator")
    return "\n".join(
        [
            f"TensorFlow ModelServer: {_INTERFACE}+elastic.accelerator.{ours}",
            "TensorFlow Library: none (models run on the accelerator)",
            f"EI Version: elastic-accelerator {ours}",
        ]
    )


def _serve(settings: Settings, build: Build) -> None:
    ending = Ending()
    ending.listen()
    contradictions.check(settings)
    access = Access.of(settings)
    backend = build(settings)
    server = Server(settings, access, backend.served)

    def start() -> None:
        error: Exception | None = None
        try:
            backend.load()
            server.open()
        except Exception as failure:
            error = failure
        ending.wake(error)

    try:
        # Loading may take long, and the main thread has to hear signals meanwhile.
        threading.Thread(target=start, name="start", daemon=True).start()
        ending.wait()
        ending.wait()
        _log.info("draining: no more requests are accepted")
        server.drain()
    finally:
        backend.close()


def _failed(error: ServingError | AcceleratorError) -> int:
    if isinstance(error, TextFileError):
        _say(error.detail, sys.stderr)
    if isinstance(error, AcceleratorError):
        error = from_accelerator(error)
    _say(f"Failed to start server. Error: {error.status.name}: {error.message}")
    return FAILED


def _say(text: str, stream: TextIO | None = None) -> None:
    stream = stream or sys.stdout
    stream.write(f"{text}\n")
    stream.flush()


def _start_logging() -> None:
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format="%(asctime)s %(levelname).1s %(name)s] %(message)s",
    )
    # Its own words on every aborted call would be said twice.
    logging.getLogger("grpc").setLevel(logging.CRITICAL)
