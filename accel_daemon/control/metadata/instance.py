"""The instance that metadata is about: what EC2 would say of this machine. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from accel_daemon.control.metadata.folders import Folder
from accel_daemon.supervisor.fleet import Fleet

ASSOCIATION_VERSION = "version_2018_04_12"
# Programs read it to choose a model or a batch size; it is a type that could have accelerators.
INSTANCE_TYPE = "m5.large"
PRIVATE_ADDRESS = "127.0.0.1"
# The accelerators' folder came with 2018-11-29; the others are from EC2's own list.
VERSIONS = (
    *("1.0", "2007-01-19", "2008-02-01", "2009-04-04", "2011-01-01", "2012-01-12", "2014-02-25"),
    *("2014-11-05", "2015-10-20", "2016-04-19", "2016-06-30", "2016-09-02", "2018-03-28"),
    *("2018-08-17", "2018-09-24", "2018-11-29", "2019-10-01", "2020-10-27", "2021-01-03"),
    *("2021-03-23", "2021-07-15", "2022-09-24", "2024-04-11", "latest"),
)
_ARCHITECTURES = {"aarch64": "arm64", "amd64": "x86_64"}
_COMPASS = {"northeast": "ne", "northwest": "nw", "southeast": "se", "southwest": "sw"}
_PLACEHOLDER = ""  # never served: the texts of these entries have routes of their own


@dataclass(frozen=True)
class Instance:
    """The facts.

    Attributes:
        fleet: the accelerators that are attached to the instance.
        region: for instance "us-east-1".
        control: "https://HOST:PORT" of who serves the accelerators; "" when nobody is to be told.
        account: 12 digits.
        machine: what platform.machine() says.
        started: aware time.
    """

    fleet: Fleet
    region: str
    control: str
    account: str
    machine: str
    started: datetime

    @property
    def id(self) -> str:
        """The instance id."""
        return instance_id(self.fleet)


def availability_zone(region: str) -> str:
    """The one zone of the emulated region."""
    return f"{region}a"


def zone_id(region: str) -> str:
    """The id of a region's first zone as AWS abbreviates it: "use1-az1" for "us-east-1"."""
    area, *directions, number = region.split("-")
    short = "".join(_COMPASS.get(one, one[:1]) for one in directions)
    return f"{area}{short}{number}-az1"


def instance_id(fleet: Fleet) -> str:
    """An instance id that stays the same as long as the first accelerator's id does."""
    return f"i-{fleet.accelerators[0].id.removeprefix('eia-')[:17]}"


def association(accelerator_id: str, accelerator_type: str) -> str:
    """Exactly the document that EC2 has for an attached accelerator: JSON on one line."""
    body = {
        ASSOCIATION_VERSION: {
            "elastic-inference-accelerator-id": accelerator_id,
            "elastic-inference-accelerator-type": accelerator_type,
        }
    }
    return json.dumps(body, separators=(",", ":"))


def root_folder(instance: Instance, role: str | None) -> Folder:
    """Everything below "/".

    Args:
        instance: what it is about.
        role: the name of the instance's role, None when it has none.
    """
    data, dynamic = data_folder(instance, role), Folder({"instance-identity": _IDENTITY})
    version = Folder({"dynamic": dynamic, "meta-data": data}, marks_folders=False)
    return Folder(dict.fromkeys(VERSIONS, version), marks_folders=False)


def data_folder(instance: Instance, role: str | None) -> Folder:
    """The folder `meta-data`."""
    name, mac = local_hostname(instance.region), mac_address(instance.id)
    zone = availability_zone(instance.region)
    placement = {
        "availability-zone": zone,
        "availability-zone-id": zone_id(instance.region),
        "region": instance.region,
    }
    entries: dict[str, Folder | str] = {
        "ami-id": image_id(instance.id),
        "elastic-inference": _accelerators(instance),
        "hostname": name,
        "iam": _role_folder(role or ""),
        "instance-id": instance.id,
        "instance-type": INSTANCE_TYPE,
        "local-hostname": name,
        "local-ipv4": PRIVATE_ADDRESS,
        "mac": mac,
        "placement": Folder(placement),
        "services": Folder({"domain": "amazonaws.com", "partition": "aws"}),
    }
    if role is None:
        del entries["iam"]
    return Folder(entries)


def identity_document(instance: Instance) -> str:
    """The instance's identity, with the members and the layout of EC2's."""
    nothing = ("billingProducts", "devpayProductCodes", "kernelId", "marketplaceProductCodes")
    document: Mapping[str, object] = {
        **dict.fromkeys((*nothing, "ramdiskId")),
        "accountId": instance.account,
        "architecture": _ARCHITECTURES.get(instance.machine.lower(), instance.machine),
        "availabilityZone": availability_zone(instance.region),
        "imageId": image_id(instance.id),
        "instanceId": instance.id,
        "instanceType": INSTANCE_TYPE,
        "pendingTime": iso_time(instance.started),
        "privateIp": PRIVATE_ADDRESS,
        "region": instance.region,
        "version": "2017-09-30",
    }
    return json.dumps(document, indent=2, sort_keys=True)


def iso_time(time: datetime) -> str:
    """An aware UTC time as all of AWS's metadata writes it, in whole seconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def image_id(instance: str) -> str:
    """An image id that stays the same with the instance's."""
    return f"ami-{hashlib.sha256(instance.encode()).hexdigest()[:17]}"


def mac_address(instance: str) -> str:
    """A locally administered address that stays the same with the instance's id."""
    digits = hashlib.sha256(instance.encode()).hexdigest()[-10:]
    return "02:" + ":".join(digits[place : place + 2] for place in range(0, 10, 2))


def local_hostname(region: str) -> str:
    """The private name as EC2 makes it from the private address."""
    domain = "ec2.internal" if region == "us-east-1" else f"{region}.compute.internal"
    return f"ip-{PRIVATE_ADDRESS.replace('.', '-')}.{domain}"


_IDENTITY = Folder(dict.fromkeys(("document", "pkcs7", "signature"), _PLACEHOLDER))


def _accelerators(instance: Instance) -> Folder:
    bodies = {
        one.id: association(one.id, one.placement.spec.type) for one in instance.fleet.accelerators
    }
    # `endpoint` is ours: EC2's clients knew the one endpoint of their region. It is not in the
    # folder's listing, which stays what it was.
    ours = {"endpoint": instance.control} if instance.control else {}
    return Folder({"associations": Folder(bodies)}, ours)


def _role_folder(role: str) -> Folder:
    return Folder({"info": _PLACEHOLDER, "security-credentials": Folder({role: _PLACEHOLDER})})
