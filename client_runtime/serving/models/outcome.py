"""How models are: what a client is told, and what a start or a new configuration waits for.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from accel_protocol.errors import Status
from client_runtime.serving.models.ledger import Model
from client_runtime.serving.models.lifecycle import State, Version
from client_runtime.serving.servable import ServableId
from client_runtime.serving.statuses import ServingError
from client_runtime.serving_wire.model_management_pb2 import (
    GetModelStatusResponse,
    ModelVersionStatus,
)
from client_runtime.serving_wire.status_codes_pb2 import Code


@dataclass(frozen=True)
class Settled:
    """How far the models have come.

    Attributes:
        available: the names of those that answer, sorted.
        failed: why others do not, by version.
        waiting: what others wait for, by name.
    """

    available: tuple[str, ...] = ()
    failed: Mapping[ServableId, ServingError] = field(default_factory=dict)
    waiting: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_good(self) -> bool:
        """Whether all of them answer."""
        return not self.failed and not self.waiting

    def message(self, what: str = "servable(s)") -> str:
        """What did not become available and why, as the original says it; then what is late."""
        failed = "".join(
            f"{{{{name: {id_.name} version: {id_.version}}} due to error: "
            f"{error.status.name}: {error.message}}}, "
            for id_, error in sorted(self.failed.items(), key=lambda item: item[0].name)
        )
        late = "".join(f"{{{name}: {why}}}, " for name, why in sorted(self.waiting.items()))
        count = len(self.failed) + len(self.waiting)
        return f"{count} {what} did not become available: {{{failed}{late}}}"


@dataclass(frozen=True)
class Finding:
    """What the last look at a model's base path brought.

    Attributes:
        looked: whether there was one.
        trouble: why no versions were found there, "" when some were.
        warnings: of the versions that were found.
    """

    looked: bool = False
    trouble: str = ""
    warnings: tuple[str, ...] = ()


def settled(
    models: Mapping[str, Model], findings: Mapping[str, Finding], *, serve_what_is_ready: bool
) -> Settled:
    """How far the models named in `findings` have come.

    A model has come up when its newest version that has settled is available. Where what is ready
    is to be served, one has failed with its first failed load, and is not waited for while it has
    no versions.
    """
    available: list[str] = []
    failed: dict[ServableId, ServingError] = {}
    waiting: dict[str, str] = {}
    for name, finding in sorted(findings.items()):
        versions = _aspired(models.get(name, Model()))
        decisive = next((v for v in versions if _has_settled(v, serve_what_is_ready)), None)
        if decisive is None:
            waiting[name] = _why(versions, finding)
        elif decisive.error is not None:
            failed[decisive.id] = decisive.error
        else:
            available.append(name)
    return Settled(tuple(available), failed, waiting)


def must_wait(
    state: Settled,
    models: Mapping[str, Model],
    findings: Mapping[str, Finding],
    *,
    ready_only: bool,
) -> bool:
    """Whether to wait longer; `ready_only`: not for models that have no versions."""
    if not ready_only:
        return bool(state.waiting)
    return any(
        not findings[name].looked or _aspired(models.get(name, Model())) for name in state.waiting
    )


def status(model: Model | None, name: str, version: int | None) -> GetModelStatusResponse:
    """The states of a model's versions, the newest first, or of one version.

    Raises:
        ServingError: there are none (NOT_FOUND).
    """
    known = model.versions if model else {}
    if version is not None and version not in known:
        raise ServingError(Status.NOT_FOUND, f"Could not find version {version} of model {name}")
    if not known:
        raise ServingError(Status.NOT_FOUND, f"Could not find any versions of model {name}")
    response = GetModelStatusResponse()
    for number in sorted(known, reverse=True) if version is None else [version]:
        _add_status(response, known[number])
    return response


def _add_status(response: GetModelStatusResponse, version: Version) -> None:
    added = response.model_version_status.add(
        version=version.id.version, state=ModelVersionStatus.State.ValueType(version.state)
    )
    added.status.SetInParent()  # OK, which is told too
    if version.error is not None:
        added.status.error_code = Code.ValueType(version.error.status)
        added.status.error_message = version.error.message


def _aspired(model: Model) -> list[Version]:
    aspired = (v for v in model.versions.values() if v.aspired)
    return sorted(aspired, key=lambda v: v.id.version, reverse=True)


def _has_settled(version: Version, first_failure_counts: bool) -> bool:
    if version.state is State.LOADING:
        return first_failure_counts and version.error is not None
    return version.state in (State.AVAILABLE, State.END)


def _why(versions: list[Version], finding: Finding) -> str:
    if versions:
        newest = versions[0]
        error = f", last error: {newest.error.message}" if newest.error else ""
        return f"version {newest.id.version} is {newest.state.name}{error}"
    return finding.trouble or "its base path has not been looked at"
