"""Local sockets of the host, named and abstract: no graph and no engine comes to one.

A hostile model needs no op of its own for it: gRPC takes `unix:` addresses where it takes others.
Of the corpus `RpcClient` comes to one where nothing holds it back. For engines see test_daemon.py.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from tests.sandbox.conftest import Host
from tests.sandbox.test_corpus import CONNECTING, attempt, visitors

MODEL = "RpcClient"


@pytest.fixture(scope="module", params=["named", "abstract"])
def local_door(request: pytest.FixtureRequest, host: Host) -> Iterator[tuple[str, socket.socket]]:
    """A local socket that everyone may connect to, and gRPC's name of it."""
    folder = host.folder / "doors"
    folder.mkdir(mode=0o755)
    name = f"accel-test-door-{os.getpid()}"
    path = folder / name
    with socket.socket(socket.AF_UNIX) as listener:
        if request.param == "named":
            listener.bind(str(path))
            path.chmod(0o777)
        else:
            listener.bind(f"\0{name}")
        listener.listen()
        listener.setblocking(False)
        yield f"unix:{path}" if request.param == "named" else f"unix-abstract:{name}", listener
    path.unlink(missing_ok=True)
    folder.rmdir()


def target(host: Host, address: str) -> dict[str, str]:
    """What models are to read, write and connect to."""
    return {"read": str(host.canary), "write": str(host.folder / "nothing"), "address": address}


@pytest.mark.parametrize(("sandbox", "comes"), [("strict", False), ("off", True)])
def test_a_graph_and_a_local_socket(
    host: Host, local_door: tuple[str, socket.socket], sandbox: str, comes: bool
) -> None:
    """With admission switched off: only without the sandbox it comes there."""
    address, listener = local_door
    assert MODEL in CONNECTING
    own = host.folder / "daemon" / "accelerators" / f"eia-local-{sandbox}"
    answers = attempt(host, own, sandbox, [MODEL], **target(host, address))
    assert set(answers) == {MODEL}
    assert (visitors(listener) > 0) == comes, answers
