"""A stand-in for `accel_daemon.accelerator`: the same pipes and a TLS port, but no engine.

It notes what it was told in `life.jsonl` in its store, and reports the counters that a test writes
into `counters.json` there. Flags make it misbehave.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import ssl
import sys
import threading
from pathlib import Path
from typing import Any

from accel_daemon.launch_order import LaunchOrder, Notice, Report


def main() -> None:
    """Serve until told to drain, or until standard input ends."""
    flags = {flag for flag in sys.argv[1:] if flag.startswith("--")}
    if "--deaf" in flags:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    order = LaunchOrder.from_line(sys.stdin.buffer.raw.readline())
    store = Path(order.store)
    told = {"tenancy": order.tenancy, "clock_anchor": order.clock_anchor}
    note(store, "started", pid=os.getpid(), environment=dict(os.environ), **told)
    if "--babble" in flags:
        write(b'hello\n{"kind": "ready", "port": "many"}\n[]\n')
    if "--fail" in flags or (store / "fail").exists():
        write(Report("failed", message="the engine is\nmissing").to_line())
        sys.exit(1)
    if "--crash" in flags or (store / "crash").exists():
        sys.exit(3)
    listener = listen(order)
    threading.Thread(target=accept, args=(listener,), daemon=True).start()
    shift = 1 if (store / "lie").exists() else 0
    sandbox = "off" if "--open" in flags else f"{order.sandbox} (stand-in)"
    write(Report("ready", port=listener.getsockname()[1] + shift, sandbox=sandbox).to_line())
    follow(store, is_deaf="--deaf" in flags)


def follow(store: Path, is_deaf: bool) -> None:
    """Note notices and report counters."""
    reported: dict[str, int] = {}
    while True:
        readable, _, _ = select.select([sys.stdin.fileno()], [], [], 0.05)
        if readable:
            line = sys.stdin.buffer.raw.readline()
            if not line:
                return
            notice = Notice.from_line(line)
            note(store, notice.kind, keys=notice.access_key_ids, principals=notice.principals)
            if notice.kind == "faults":
                note(store, "told", faults=notice.faults)
                write(Report("status", counters={"faults_version": notice.version}).to_line())
            if notice.kind == "drain" and not is_deaf:
                return
        with contextlib.suppress(FileNotFoundError, ValueError):
            counters = json.loads((store / "counters.json").read_text())
            if counters != reported:
                reported = counters
                write(Report("status", counters=counters).to_line())


def listen(order: LaunchOrder) -> ssl.SSLSocket:
    """Listen as the order says, with its certificate."""
    leaf = Path(os.environ["HOME"]) / "leaf.pem"
    leaf.write_text(order.private_key_pem + order.certificate_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(leaf)
    leaf.unlink()
    plain = socket.create_server((order.host, order.port))
    return context.wrap_socket(plain, server_side=True)


def accept(listener: ssl.SSLSocket) -> None:
    """Shake hands with whoever comes."""
    while True:
        with contextlib.suppress(OSError):
            listener.accept()[0].close()


def note(store: Path, event: str, **facts: Any) -> None:
    """Append one line for the test to read."""
    with open(store / "life.jsonl", "a") as file:
        file.write(json.dumps({"event": event, **facts}) + "\n")


def write(line: bytes) -> None:
    """Write to the supervisor."""
    os.write(1, line)


if __name__ == "__main__":
    main()
