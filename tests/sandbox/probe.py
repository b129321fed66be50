"""Runs code of a test inside the sandbox: what a stranger would do who controls the engine.

It takes the launch order and enters the sandbox as the accelerator's own process does, then
answers lines of JSON: {"code": …, "names": {…}} runs Python whose variable `answer` comes back, or
the errno it failed with. Flags stand for hosts that lack something. No installation has this file.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import sys
import traceback
from typing import Any, NoReturn

from accel_daemon.accelerator.__main__ import confine
from accel_daemon.launch_order import LaunchOrder
from accel_daemon.sandbox import identity, kernel, landlock, seccomp
from accel_daemon.sandbox.enter import end_with_parent, seal
from accel_protocol.errors import AcceleratorError

libc = ctypes.CDLL(None, use_errno=True)
X86_64 = os.uname().machine == "x86_64"


def syscall(number_on_x86_64: int, number_on_aarch64: int, *arguments: Any) -> int:
    """A system call by its number; OSError when the kernel refuses."""
    number = number_on_x86_64 if X86_64 else number_on_aarch64
    result: int = libc.syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def refuse(*_: Any) -> NoReturn:
    """What a host without a power answers."""
    raise OSError(errno.EPERM, "not here")


def pretend(flag: str) -> None:
    """Make this host look poorer than it is."""
    name, _, value = flag.partition("=")
    if name == "--landlock":
        landlock.supported_abi = lambda: int(value)  # type: ignore[assignment]
    elif name == "--no-seccomp":
        seccomp.is_supported = lambda: False  # type: ignore[assignment]
    elif name == "--no-mounts":
        kernel.unshare = refuse  # type: ignore[assignment]
    elif name == "--no-setuid":
        identity._NEEDED = frozenset({63})


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Run a request's code."""
    scope = {"syscall": syscall, "libc": libc, "ctypes": ctypes, "os": os, **request["names"]}
    try:
        exec(request["code"], scope)
    except OSError as error:
        # posix_spawn and imports wrap the number in other classes of error.
        return {"errno": errno.errorcode.get(error.errno or 0, str(error))}
    except BaseException:
        return {"error": traceback.format_exc()}
    return {"answer": scope.get("answer")}


def main() -> None:
    """Enter, report, and answer until standard input ends."""
    end_with_parent()
    for flag in sys.argv[1:]:
        pretend(flag)
    replies = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    lines = open(0, "rb", buffering=0, closefd=False)  # noqa: SIM115 - to the end
    order = LaunchOrder.from_line(lines.readline())
    try:
        report = confine(order, replies)
    except AcceleratorError as error:
        replies.write(json.dumps({"failed": str(error)}).encode() + b"\n")
        sys.exit(1)
    first = {"text": report.to_text(), "uid": report.uid, "missing": report.missing}
    replies.write(json.dumps(first).encode() + b"\n")
    while line := lines.readline():
        request = json.loads(line)
        if "seal" in request:
            seal(report)
        reply = run(request) if "code" in request else {}
        with contextlib.suppress(TypeError):
            replies.write(json.dumps(reply).encode() + b"\n")


if __name__ == "__main__":
    main()
