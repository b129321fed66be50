"""The entry points of the program: `accel serve` and the names under which it is installed.

Apart from the program itself, so that an installation without the server's packages can say what
to install.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

_OURS = ("accel_protocol", "client_runtime")


def main(program: str | None = None, words: Sequence[str] | None = None) -> None:
    """Run the program; an extra that is missing is said, with exit status 1.

    Args:
        program: its name; None for the one it was started by.
        words: its arguments; None for those of the process.
    """
    try:
        from client_runtime.serving.assembly import Assembly
        from client_runtime.serving.ending import leave
        from client_runtime.serving.program import run
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in _OURS:
            raise
        sys.stderr.write(
            f"Error: the model server needs {error.name}, which is not installed.\n"
            "  Remedy: pip install 'elastic-accelerator[serving]'\n"
        )
        sys.exit(1)
    leave(
        run(program or Path(sys.argv[0]).name, sys.argv[1:] if words is None else words, Assembly)
    )


if __name__ == "__main__":
    main()
