"""All targets by name; each is built with a `Setting` when it is run."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.fuzz.oracle import Setting, Target
from tests.fuzz.targets import access, client, control, metadata, pipes, serving, wire

BUILDERS: Mapping[str, Callable[[Setting], Target]] = {
    **wire.TARGETS,
    **access.TARGETS,
    **pipes.TARGETS,
    **control.TARGETS,
    **metadata.TARGETS,
    **client.TARGETS,
    **serving.TARGETS,
}
