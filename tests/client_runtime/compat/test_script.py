"""A script under `accel run` is told apart from one under `python` by nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ACCEL = [sys.executable, "-c", "from client_runtime.cli.main import main; main()"]

SCRIPTS = {
    "identity": """
        import sys, os
        print(__name__, __file__, __package__, __spec__, __doc__, sys.argv, sys.path[0])
        print(sys.modules["__main__"].__dict__ is globals(), type(__loader__).__name__)
        print(isinstance(1 / 2, float), "annotations" in globals())
        """,
    "ends": "print('words')",
    "exits with a number": "import sys; sys.exit(42)",
    "exits with words": "import sys; sys.exit('words')",
    "exits with nothing": "import sys; sys.exit()",
    "exits in silence": "import os; os._exit(5)",
    "raises": """
        def divide(a):
            return 1 / a

        try:
            divide(0)
        except ZeroDivisionError as error:
            raise OSError(2, "no such thing") from error
        """,
    "raises while handling": """
        try:
            {}["key"]
        except KeyError:
            [].index(3)
        """,
    "has a syntax error": "print('never')\nif True print('x')",
    "lacks a module": "import no.such.module",
    "is interrupted": """
        import atexit
        atexit.register(print, "goodbye")
        print("at work", end="")
        raise KeyboardInterrupt
        """,
    "has its own hook": """
        import sys
        sys.excepthook = lambda kind, error, traceback: print(kind, traceback.tb_lineno)
        raise ValueError("words")
        """,
    "leaves a thread": """
        import atexit, threading, time
        atexit.register(print, "at exit")
        threading.Thread(target=lambda: (time.sleep(0.2), print("thread"))).start()
        print("main")
        """,
    "imports its neighbour": "import neighbour; print(neighbour.__file__)",
    "raises what the command line knows": """
        import click
        raise click.UsageError("words")
        """,
    "pickles": """
        import pickle
        class Thing: pass
        print(type(pickle.loads(pickle.dumps(Thing()))) is Thing)
        """,
}


def run(command: list[str], folder: Path) -> tuple[int, str, str]:
    """Status, output and errors of a command."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def write(path: Path, text: str) -> Path:
    """A script of the table, without its indentation."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(line.removeprefix(" " * 8) for line in text.splitlines()))
    return path


@pytest.mark.parametrize("text", SCRIPTS.values(), ids=SCRIPTS.keys())
def test_same_as_python(tmp_path: Path, text: str) -> None:
    """Exit status, output and tracebacks are those of `python SCRIPT`, to the letter."""
    write(tmp_path / "folder" / "neighbour.py", "")
    script = write(tmp_path / "folder" / "script.py", text).relative_to(tmp_path)

    expected = run([sys.executable, str(script), "a"], tmp_path)

    assert run([*ACCEL, "run", str(script), "a"], tmp_path) == expected


@pytest.mark.parametrize("before", [[], ["--"]])
def test_arguments_pass_untouched(tmp_path: Path, before: list[str]) -> None:
    """Whatever follows the script is the script's, ours and `--` included."""
    write(tmp_path / "script.py", "import sys; print(sys.argv)")
    arguments = ["--help", "-m", "--", "--image=a b.jpg", "", "-x", "--version", "--"]

    answer = run([*ACCEL, "run", *before, "script.py", *arguments], tmp_path)

    assert answer == (0, f"{['script.py', *arguments]}\n", "")


def test_module_form(tmp_path: Path) -> None:
    """`-m MODULE` is what it is for python."""
    write(tmp_path / "package" / "__main__.py", SCRIPTS["identity"].replace("__spec__", "1"))

    expected = run([sys.executable, "-m", "package", "-m", "--help"], tmp_path)

    assert run([*ACCEL, "run", "-m", "package", "-m", "--help"], tmp_path) == expected


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.py"], "cannot open 'nowhere.py': No such file or directory"),
        (["--typo", "script.py"], "--typo"),
        (["-m"], "-m needs the name of a module"),
        ([], "Missing argument"),
    ],
)
def test_wrong_use(tmp_path: Path, arguments: list[str], words: str) -> None:
    """What is wrong about the command line is exit status 2 and one sentence."""
    status, _, errors = run([*ACCEL, "run", *arguments], tmp_path)

    assert status == 2
    assert words in errors


def test_scripts_without_tensorflow_never_load_it(tmp_path: Path) -> None:
    """Nothing but the import of TensorFlow loads TensorFlow; NumPy's old names are there."""
    text = "import sys, numpy as np; print('tensorflow' in sys.modules, np.float, np.NaN)"
    write(tmp_path / "script.py", text)

    assert run([*ACCEL, "run", "script.py"], tmp_path) == (0, "False <class 'float'> nan\n", "")


def test_other_programs_are_not_touched(tmp_path: Path) -> None:
    """Importing the client changes no import and no NumPy for the program that does it."""
    text = """
        import sys, numpy
        import client_runtime, client_runtime.cli.main, client_runtime.cli.run
        print([finder for finder in sys.meta_path if "client_runtime" in repr(finder)])
        print("asscalar" in vars(numpy))
        """
    script = write(tmp_path / "script.py", text)

    assert run([sys.executable, str(script)], tmp_path) == (0, "[]\nFalse\n", "")
