"""Labels of versions: which may be given, and what they mean.

Pure.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from accel_protocol.errors import Status
from client_runtime.serving.statuses import ServingError, invalid
from client_runtime.serving_wire.model_management_pb2 import ModelConfig

Labels = Mapping[str, int]


class LabelRule(enum.Enum):
    """When a label may be given to a version that is not available.

    Attributes:
        AVAILABLE_ONLY: never; the configuration is refused.
        NEW_OR_SAME: when the label is new, or means that version already.
        WHEN_AVAILABLE: always, but until the version is available the label keeps its old meaning,
            if it had one.
    """

    AVAILABLE_ONLY = enum.auto()
    NEW_OR_SAME = enum.auto()
    WHEN_AVAILABLE = enum.auto()


@dataclass(frozen=True)
class LabelBook:
    """What the labels of all models mean.

    Attributes:
        given: versions by label, by model.
        awaited: as `given`: what labels are to mean once the versions are available.
    """

    given: Mapping[str, Labels] = field(default_factory=dict)
    awaited: Mapping[str, Labels] = field(default_factory=dict)

    def version(self, model: str, label: str) -> int:
        """The version that a label means.

        Raises:
            ServingError: there is no such label.
        """
        try:
            return self.given[model][label]
        except KeyError:
            raise invalid(f"Unrecognized servable version label: {label}") from None

    def assigned(
        self,
        models: Iterable[ModelConfig],
        is_available: Callable[[str, int], bool],
        rule: LabelRule,
    ) -> LabelBook:
        """The book after a new configuration, whose labels replace all there were.

        Raises:
            ServingError: a label may not be given to its version.
        """
        given: dict[str, dict[str, int]] = {}
        awaited: dict[str, dict[str, int]] = {}
        for model in models:
            old = self.given.get(model.name, {})
            given[model.name], awaited[model.name] = {}, {}
            for label, version in model.version_labels.items():
                if is_available(model.name, version) or _may_point(rule, old.get(label), version):
                    given[model.name][label] = version
                    continue
                if rule is not LabelRule.WHEN_AVAILABLE:
                    raise _unavailable(model.name, version)
                awaited[model.name][label] = version
                if label in old:
                    given[model.name][label] = old[label]
        return LabelBook(given, awaited)

    def arrived(self, model: str, version: int) -> LabelBook:
        """The book once a version has become available."""
        due = {k: v for k, v in self.awaited.get(model, {}).items() if v == version}
        if not due:
            return self
        left = {k: v for k, v in self.awaited[model].items() if k not in due}
        given = {**self.given, model: {**self.given.get(model, {}), **due}}
        return LabelBook(given, {**self.awaited, model: left})


def _may_point(rule: LabelRule, old: int | None, version: int) -> bool:
    return rule is LabelRule.NEW_OR_SAME and old in (None, version)


def _unavailable(model: str, version: int) -> ServingError:
    return ServingError(
        Status.FAILED_PRECONDITION,
        f"Request to assign label to version {version} of model {model}, which is not currently "
        "available for inference",
    )
