"""The command `accel-daemon`, also as `python -m accel_daemon`.

Apart from the command line itself, so that an installation without the daemon's packages can say
what to install.
"""

from __future__ import annotations

import sys

_OURS = ("accel_daemon", "accel_protocol")


def main() -> None:
    """Run the command line, or say which extra is missing and exit with status 1."""
    try:
        from accel_daemon.cli.main import main as run
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in _OURS:
            raise
        sys.stderr.write(
            f"Error: the daemon needs {error.name}, which is not installed.\n"
            "  Remedy: pip install 'elastic-accelerator[daemon]'\n"
        )
        sys.exit(1)
    run()


if __name__ == "__main__":
    main()
