"""What ECS's agent would say of a task that uses the accelerators. Pure.

A task's metadata is found by an id in its URI. So are its credentials, by another one, which is a
secret: it comes from the token that lies in the home.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from accel_daemon.control.metadata.instance import (
    PRIVATE_ADDRESS,
    Instance,
    availability_zone,
    iso_time,
)

KIND = "elastic-inference"
CLUSTER, FAMILY, CONTAINER = "accel", "accel", "accelerator-client"


@dataclass(frozen=True)
class Container:
    """The one container of the emulated task.

    Attributes:
        instance: where it runs.
        token: what a client that may have credentials shows instead of being the daemon's user.
    """

    instance: Instance
    token: str = field(repr=False)

    @property
    def task_id(self) -> str:
        """32 hexadecimal digits that stay the same with the instance's id."""
        return hashlib.sha256(self.instance.id.encode()).hexdigest()[:32]

    @property
    def id(self) -> str:
        """How the container's metadata is found; no secret."""
        return f"{self.task_id}-0000000001"

    @property
    def credentials_id(self) -> str:
        """How the container's credentials are found; nobody can guess it."""
        digest = hashlib.sha256(f"credentials {self.token}".encode()).digest()
        return str(uuid.UUID(bytes=digest[:16], version=4))

    def is_credentials_id(self, text: str) -> bool:
        """Whether a text is that id; takes the same time whatever the text."""
        return hmac.compare_digest(text.encode(errors="replace"), self.credentials_id.encode())

    def is_token(self, header: str) -> bool:
        """Whether an Authorization header is the token; takes the same time whatever it is."""
        return hmac.compare_digest(header.encode(errors="replace"), self.token.encode())

    def association_names(self) -> Mapping[str, int]:
        """The accelerators' device names, and which ordinal each means."""
        return {f"device_{one + 1}": one for one in range(len(self.instance.fleet.accelerators))}


def associations_document(container: Container) -> str:
    """The list of associations."""
    return json.dumps({"Associations": list(container.association_names())})


def association_document(container: Container, name: str) -> str | None:
    """One association, None when there is none of this name.

    What Amazon put there was never published: it has the members of EC2's, and, ours, who serves
    the accelerator.
    """
    ordinal = container.association_names().get(name)
    if ordinal is None:
        return None
    accelerator = container.instance.fleet.accelerators[ordinal]
    document = {
        "elastic-inference-accelerator-id": accelerator.id,
        "elastic-inference-accelerator-type": accelerator.placement.spec.type,
    }
    if container.instance.control:
        document["endpoint"] = container.instance.control
    return json.dumps(document)


def container_document(container: Container) -> Mapping[str, object]:
    """The container's metadata, version 4."""
    started = iso_time(container.instance.started)
    digest = hashlib.sha256(container.id.encode()).hexdigest()
    labels = {
        "com.amazonaws.ecs.cluster": CLUSTER,
        "com.amazonaws.ecs.container-name": CONTAINER,
        "com.amazonaws.ecs.task-arn": _arn(container, f"task/{CLUSTER}/{container.task_id}"),
        "com.amazonaws.ecs.task-definition-family": FAMILY,
        "com.amazonaws.ecs.task-definition-version": "1",
    }
    return {
        "DockerId": container.id,
        "Name": CONTAINER,
        "DockerName": f"ecs-{FAMILY}-1-{CONTAINER}",
        "Image": f"{CONTAINER}:latest",
        "ImageID": f"sha256:{digest}",
        "Labels": labels,
        "DesiredStatus": "RUNNING",
        "KnownStatus": "RUNNING",
        "Limits": {"CPU": 0, "Memory": 0},
        "CreatedAt": started,
        "StartedAt": started,
        "Type": "NORMAL",
        "ContainerARN": _arn(container, f"container/{CLUSTER}/{container.task_id}/{digest[:8]}"),
        "Networks": [{"NetworkMode": "host", "IPv4Addresses": [PRIVATE_ADDRESS]}],
    }


def task_document(container: Container) -> Mapping[str, object]:
    """The task's metadata, version 4."""
    started = iso_time(container.instance.started)
    return {
        "Cluster": CLUSTER,
        "TaskARN": _arn(container, f"task/{CLUSTER}/{container.task_id}"),
        "Family": FAMILY,
        "Revision": "1",
        "DesiredStatus": "RUNNING",
        "KnownStatus": "RUNNING",
        "PullStartedAt": started,
        "PullStoppedAt": started,
        "AvailabilityZone": availability_zone(container.instance.region),
        "LaunchType": "EC2",
        "Containers": [container_document(container)],
    }


def _arn(container: Container, resource: str) -> str:
    instance = container.instance
    return f"arn:aws:ecs:{instance.region}:{instance.account}:{resource}"
