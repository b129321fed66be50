"""Runs a script in this process as `python SCRIPT` would: as `__main__`, and with its own ending.

What the script raises is printed without the frames of the code here, and the exit status is the
script's: its own for sys.exit, 1 for an exception, death by SIGINT for KeyboardInterrupt (which a
shell calls 130).
"""

from __future__ import annotations

import atexit
import builtins
import importlib.machinery
import io
import logging
import os
import runpy
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import CodeType, ModuleType, TracebackType

_FOLDER = Path(__file__).parent
# Whose frames are not the script's business.
_HIDDEN = frozenset(
    {
        __file__,
        str(_FOLDER / "contrib.py"),
        str(_FOLDER / "tensorflow1.py"),
        str(_FOLDER / "tensorflow_contrib" / "__init__.py"),
    }
)
_INTERRUPTED = 128 + signal.SIGINT


def run_file(path: str, arguments: Sequence[str]) -> None:
    """Run a file.

    Raises:
        OSError: it cannot be read; nothing was run.
        SystemExit: the script's own, or 1 after an exception was printed.
    """
    with io.open_code(os.path.abspath(path)) as file:
        source = file.read()
    _take_the_place_of_main([path, *arguments], os.path.dirname(os.path.realpath(path)))
    _ending_like_python(lambda: _execute(source, os.path.abspath(path)))


def run_module(name: str, arguments: Sequence[str]) -> None:
    """Run a module, as `python -m NAME` would.

    Raises:
        SystemExit: as for `run_file`.
    """
    _take_the_place_of_main([name, *arguments], os.getcwd())
    _ending_like_python(lambda: runpy.run_module(name, run_name="__main__", alter_sys=True))


def _take_the_place_of_main(argv: list[str], folder: str) -> None:
    sys.argv = argv
    if not sys.flags.safe_path:
        sys.path[0] = folder


def _execute(source: bytes, path: str) -> None:
    module = ModuleType("__main__")
    module.__file__ = path
    module.__loader__ = importlib.machinery.SourceFileLoader("__main__", path)
    module.__dict__.update(__builtins__=builtins, __annotations__={}, __cached__=None)
    # Ours is still referred to by the frames that run this function.
    sys.modules["__main__"] = module
    code: CodeType = compile(source, path, "exec", dont_inherit=True)
    exec(code, module.__dict__)  # noqa: S102 - running the script is what was asked for


def _ending_like_python(run: Callable[[], object]) -> None:
    """Run, print what is raised, and exit with the status Python would exit with."""
    atexit.register(_die_if_interrupted)  # now, so that it is called after the script's own
    try:
        run()
    except SystemExit:
        raise
    except BaseException as error:
        _hide_our_frames(error)
        sys.excepthook(type(error), error, error.__traceback__)
        global _was_interrupted
        _was_interrupted = isinstance(error, KeyboardInterrupt)
        status = _INTERRUPTED if _was_interrupted else 1
    else:
        return
    sys.exit(status)


_was_interrupted = False


def _die_if_interrupted() -> None:
    """End as Python does, so that a shell's loop around the script ends too."""
    if not _was_interrupted:
        return
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGINT)


def _hide_our_frames(error: BaseException) -> None:
    """Take our frames out of the tracebacks of an exception and of those behind it."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        current = waiting.pop()
        if current is not None and id(current) not in seen:
            seen.add(id(current))
            current.__traceback__ = without_our_frames(current.__traceback__)
            waiting += [current.__cause__, current.__context__]


def without_our_frames(traceback: TracebackType | None) -> TracebackType | None:
    """A copy of a traceback without the frames of the code here."""
    if traceback is None:
        return None
    rest = without_our_frames(traceback.tb_next)
    if traceback.tb_frame.f_code.co_filename in _HIDDEN:
        return rest
    return TracebackType(rest, traceback.tb_frame, traceback.tb_lasti, traceback.tb_lineno)
