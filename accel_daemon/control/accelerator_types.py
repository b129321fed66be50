"""DescribeAcceleratorTypes and DescribeAcceleratorOfferings: what Amazon published about its types.

Only the published types are in both: they are what `accel-daemon up --accelerator TYPE` emulates in
this region. Our own type `host` is the whole device, of which nothing was published, so it appears
where it is attached (DescribeAccelerators) and not here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aiohttp import web

from accel_daemon.control.metadata.instance import availability_zone, zone_id
from accel_daemon.control.service import call_of
from accel_protocol.accelerator_types import PUBLISHED_TYPES, PublishedType
from accel_protocol.errors import CallError

MAX_TYPES = 100


async def describe_accelerator_types(request: web.Request) -> web.StreamResponse:
    """`GET /describe-accelerator-types`: the published table."""
    return web.json_response({"acceleratorTypes": [_type_row(one) for one in PUBLISHED_TYPES]})


async def describe_accelerator_offerings(request: web.Request) -> web.StreamResponse:
    """`POST /describe-accelerator-offerings`: each published type, at the one place there is."""
    call = call_of(request)
    body = call.json_body()
    location_type, names = read_location_type(body), read_type_names(body)
    location = locations(call.service.region)[location_type]
    rows = [
        {"acceleratorType": one.name, "locationType": location_type, "location": location}
        for one in PUBLISHED_TYPES
        if not names or one.name in names
    ]
    return web.json_response({"acceleratorTypeOfferings": rows})


def locations(region: str) -> Mapping[str, str]:
    """The one location of each location type."""
    return {
        "region": region,
        "availability-zone": availability_zone(region),
        "availability-zone-id": zone_id(region),
    }


def read_location_type(body: Mapping[str, object]) -> str:
    """Which kind of location the body asks for.

    Raises:
        CallError: none, or one that there is not.
    """
    value = body.get("locationType")
    known = ("region", "availability-zone", "availability-zone-id")
    if not isinstance(value, str) or value not in known:
        raise CallError(f"`locationType` is required and is one of {', '.join(known)}.")
    return value


def read_type_names(body: Mapping[str, object]) -> Sequence[str]:
    """The types the body asks for; empty when all are meant.

    Raises:
        CallError: not a list of at most 100 published types.
    """
    names = body.get("acceleratorTypes")
    if names is None:
        return ()
    if not isinstance(names, list) or len(names) > MAX_TYPES:
        raise CallError(f"`acceleratorTypes` is not a list of at most {MAX_TYPES} types.")
    published = [one.name for one in PUBLISHED_TYPES]
    if any(name not in published for name in names):
        raise CallError(f"`acceleratorTypes` holds what is not one of {', '.join(published)}.")
    return names


def _type_row(one: PublishedType) -> dict[str, object]:
    return {
        "acceleratorTypeName": one.name,
        "memoryInfo": {"sizeInMiB": one.mebibytes},
        "throughputInfo": [
            {"key": "TFLOPS16bit", "value": one.tera_flops_16},
            {"key": "TFLOPS32bit", "value": one.tera_flops_32},
        ],
    }
