"""The published types, and where they are offered."""

from __future__ import annotations

from typing import Any

import pytest

from accel_daemon.control.metadata.instance import zone_id
from accel_protocol.accelerator_types import PUBLISHED_TYPES


def test_types(daemon: Any) -> None:
    """Name, memory, and integers for throughput."""
    answer = daemon.call("GET", "/describe-accelerator-types", key=daemon.keys["ann"]).json()
    rows = {one["acceleratorTypeName"]: one for one in answer["acceleratorTypes"]}
    assert rows["eia2.medium"] == {
        "acceleratorTypeName": "eia2.medium",
        "memoryInfo": {"sizeInMiB": 2048},
        "throughputInfo": [
            {"key": "TFLOPS16bit", "value": 8},
            {"key": "TFLOPS32bit", "value": 1},
        ],
    }
    assert {name: row["memoryInfo"]["sizeInMiB"] for name, row in rows.items()} == {
        "eia1.medium": 1024,
        "eia1.large": 2048,
        "eia1.xlarge": 4096,
        "eia2.medium": 2048,
        "eia2.large": 4096,
        "eia2.xlarge": 8192,
    }


@pytest.mark.parametrize(
    ("location_type", "location"),
    [
        ("region", "us-east-1"),
        ("availability-zone", "us-east-1a"),
        ("availability-zone-id", "use1-az1"),
    ],
)
def test_offerings(daemon: Any, location_type: str, location: str) -> None:
    """Those asked for, at the one place of that kind."""
    body = {"locationType": location_type, "acceleratorTypes": ["eia2.large", "eia1.medium"]}
    answer = daemon.call(
        "POST", "/describe-accelerator-offerings", body, key=daemon.keys["ann"]
    ).json()
    assert answer["acceleratorTypeOfferings"] == [
        {"acceleratorType": name, "locationType": location_type, "location": location}
        for name in ("eia1.medium", "eia2.large")
    ]


@pytest.mark.parametrize("body", [{"acceleratorTypes": []}, {"acceleratorTypes": None}, {}])
def test_all_offerings(daemon: Any, body: dict[str, Any]) -> None:
    """No types asked for: all published ones."""
    asked = {"locationType": "region", **body}
    path = "/describe-accelerator-offerings"
    answer = daemon.call("POST", path, asked, key=daemon.keys["ann"]).json()
    assert len(answer["acceleratorTypeOfferings"]) == len(PUBLISHED_TYPES)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"locationType": None},
        {"locationType": "planet"},
        {"locationType": ["region"]},
        {"locationType": "region", "acceleratorTypes": "eia2.large"},
        {"locationType": "region", "acceleratorTypes": ["host"]},
        {"locationType": "region", "acceleratorTypes": [{}]},
        {"locationType": "region", "acceleratorTypes": ["eia2.large"] * 101},
    ],
)
def test_offerings_refuse(daemon: Any, body: dict[str, Any]) -> None:
    """A BadRequestException."""
    answer = daemon.call("POST", "/describe-accelerator-offerings", body, key=daemon.keys["ann"])
    assert answer.status == 400
    assert answer.headers["x-amzn-ErrorType"] == "BadRequestException"


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        ("us-east-1", "use1-az1"),
        ("ap-southeast-2", "apse2-az1"),
        ("eu-central-1", "euc1-az1"),
        ("us-gov-west-1", "usgw1-az1"),
    ],
)
def test_zone_ids(region: str, expected: str) -> None:
    """As AWS abbreviates its regions."""
    assert zone_id(region) == expected
