"""What EC2 would say of this machine."""

from __future__ import annotations

import json

import pytest

from accel_daemon.control.metadata.folders import look_up
from accel_daemon.control.metadata.instance import (
    VERSIONS,
    association,
    identity_document,
    instance_id,
    local_hostname,
    mac_address,
    root_folder,
)
from tests.accel_daemon.control.metadata.stand_ins import (
    ACCOUNT,
    FIRST,
    SECOND,
    stand_in_fleet,
    stand_in_instance,
)

ID = "i-" + "a1" * 8 + "a"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("latest", "dynamic\nmeta-data"),
        ("latest/dynamic", "instance-identity/"),
        ("latest/dynamic/instance-identity", "document\npkcs7\nsignature"),
        ("latest/meta-data/elastic-inference", "associations/"),
        ("latest/meta-data/elastic-inference/associations", f"{FIRST}\n{SECOND}"),
        ("latest/meta-data/elastic-inference/associations/" + FIRST,
         association(FIRST, "eia1.medium")),
        ("latest/meta-data/elastic-inference/endpoint", "https://127.0.0.1:9443"),
        ("latest/meta-data/iam", "info\nsecurity-credentials/"),
        ("latest/meta-data/iam/security-credentials", "the-role"),
        ("latest/meta-data/instance-id", ID),
        ("latest/meta-data/instance-type", "m5.large"),
        ("latest/meta-data/local-ipv4", "127.0.0.1"),
        ("latest/meta-data/hostname", "ip-127-0-0-1.ec2.internal"),
        ("latest/meta-data/placement", "availability-zone\navailability-zone-id\nregion"),
        ("latest/meta-data/placement/availability-zone", "us-east-1a"),
        ("latest/meta-data/placement/availability-zone-id", "use1-az1"),
        ("latest/meta-data/placement/region", "us-east-1"),
        ("latest/meta-data/services/domain", "amazonaws.com"),
        ("latest/meta-data/services/partition", "aws"),
        ("latest/user-data", None),
        ("2021-07-15/meta-data/instance-id", ID),
        ("2018-11-29/meta-data/elastic-inference", "associations/"),
        ("1999-01-01/meta-data/instance-id", None),
    ],
)  # fmt: skip
def test_texts(path: str, text: str | None) -> None:
    """Folders and texts as EC2 has them."""
    assert look_up(root_folder(stand_in_instance(), "the-role"), path) == text


def test_every_folder_leads_somewhere() -> None:
    """Whatever a listing names is there."""
    root = root_folder(stand_in_instance(), "the-role")
    data = "latest/meta-data"
    names = (look_up(root, data) or "").splitlines()
    assert names == sorted(names)
    for name in names:
        assert look_up(root, f"{data}/{name}"), name


def test_versions() -> None:
    """The root lists them in their order, the newest name last."""
    assert look_up(root_folder(stand_in_instance(), None), "") == "\n".join(VERSIONS)
    assert list(VERSIONS) == sorted(VERSIONS)


def test_without_a_role() -> None:
    """As on an instance without a profile: the folder is not there."""
    root = root_folder(stand_in_instance(), None)
    assert look_up(root, "latest/meta-data/iam") is None
    assert "iam" not in (look_up(root, "latest/meta-data") or "")


def test_without_a_control_endpoint() -> None:
    """Nobody is named who would serve the accelerators."""
    root = root_folder(stand_in_instance(control=""), None)
    assert look_up(root, "latest/meta-data/elastic-inference/endpoint") is None


def test_association_is_byte_for_byte() -> None:
    """As EC2 served it."""
    assert association("eia-1", "eia1.medium") == (
        '{"version_2018_04_12":{"elastic-inference-accelerator-id":"eia-1",'
        '"elastic-inference-accelerator-type":"eia1.medium"}}'
    )


def test_identity_document() -> None:
    """EC2's members; this instance's facts in them."""
    found = json.loads(identity_document(stand_in_instance()))
    nothing = {name for name, value in found.items() if value is None}
    assert nothing == {
        *("billingProducts", "devpayProductCodes", "marketplaceProductCodes"),
        *("kernelId", "ramdiskId"),
    }
    assert found["imageId"].startswith("ami-")
    assert {name: value for name, value in found.items() if name not in {*nothing, "imageId"}} == {
        "accountId": ACCOUNT,
        "architecture": "x86_64",
        "availabilityZone": "us-east-1a",
        "instanceId": instance_id(stand_in_fleet()),
        "instanceType": "m5.large",
        "pendingTime": "2026-01-02T03:04:05Z",
        "privateIp": "127.0.0.1",
        "region": "us-east-1",
        "version": "2017-09-30",
    }


@pytest.mark.parametrize(
    ("region", "name"),
    [("us-east-1", "ip-127-0-0-1.ec2.internal"),
     ("eu-west-1", "ip-127-0-0-1.eu-west-1.compute.internal")],
)  # fmt: skip
def test_hostname(region: str, name: str) -> None:
    """Only the first region has the short domain."""
    assert local_hostname(region) == name


def test_mac() -> None:
    """Six bytes, locally administered, always the same."""
    address = mac_address(ID)
    assert address == mac_address(ID)
    assert [len(one) for one in address.split(":")] == [2] * 6
    assert int(address[:2], 16) & 0b11 == 0b10
