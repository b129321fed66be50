"""The last boto3 that knows the elastic-inference service, against a daemon that is one.

boto3 1.36.26 is configured as for any other endpoint: by environment variables. These tests need it
and a daemon, which may be installed elsewhere: `tox -e boto3`.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from ssl import create_default_context
from typing import Any

import pytest

from tests.aws_sdk.conftest import TYPES, arn_of, client_variables
from tests.conftest import Daemon, start_daemon

boto3 = pytest.importorskip("boto3", "1.36", reason="needs boto3: run `tox -e boto3`")
botocore_exceptions = pytest.importorskip("botocore.exceptions")

NOBODY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}],
}


def configure(monkeypatch: pytest.MonkeyPatch, daemon: Daemon, **changed: str) -> None:
    """Point boto3 at the daemon, by nothing but the environment."""
    for name, value in {**client_variables(daemon), **changed}.items():
        monkeypatch.setenv(name, value)


def new_client() -> Any:
    """A client of a session of its own, with what the environment says now."""
    return boto3.session.Session().client("elastic-inference")


@pytest.fixture
def client(fleet: Daemon, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The administrator's client."""
    configure(monkeypatch, fleet)
    return new_client()


def refusal(call: Callable[..., Any], **arguments: Any) -> tuple[int, str]:
    """HTTP status and code of a call that must fail, whose message and request id are there."""
    with pytest.raises(botocore_exceptions.ClientError) as caught:
        call(**arguments)
    answer = caught.value.response
    assert answer["Error"]["Message"]
    assert answer["ResponseMetadata"]["RequestId"]
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]


def test_types(client: Any) -> None:
    """The published ones, with the members that the model of the service has."""
    rows = client.describe_accelerator_types()["acceleratorTypes"]
    table = {one["acceleratorTypeName"]: one for one in rows}
    assert len(table) == 6
    assert table["eia2.xlarge"]["memoryInfo"] == {"sizeInMiB": 8192}
    assert table["eia2.xlarge"]["throughputInfo"] == [
        {"key": "TFLOPS16bit", "value": 32},
        {"key": "TFLOPS32bit", "value": 4},
    ]


def test_offerings(client: Any) -> None:
    """Everything is offered at the one place."""
    answer = client.describe_accelerator_offerings(
        locationType="availability-zone", acceleratorTypes=["eia1.large"]
    )
    assert answer["acceleratorTypeOfferings"] == [
        {
            "acceleratorType": "eia1.large",
            "locationType": "availability-zone",
            "location": "us-east-1a",
        }
    ]


def test_accelerators(client: Any, fleet: Daemon) -> None:
    """All, by id and by filter; our own details are not in boto3's answer."""
    ids = [one["id"] for one in fleet.ready["accelerators"]]
    answer = client.describe_accelerators()
    assert [one["acceleratorId"] for one in answer["acceleratorSet"]] == ids
    assert [one["acceleratorType"] for one in answer["acceleratorSet"]] == list(TYPES)
    assert set(answer) == {"acceleratorSet", "ResponseMetadata"}
    (row,) = client.describe_accelerators(acceleratorIds=[ids[2]])["acceleratorSet"]
    assert row["acceleratorHealth"] == {"status": "Ok"}
    for name in ("accelerator-type", "accelerator-types"):
        filters = [{"name": name, "values": ["eia2.large"]}]
        found = client.describe_accelerators(filters=filters)["acceleratorSet"]
        assert [one["acceleratorId"] for one in found] == ids[1:]
    instance = row["attachedResource"].rpartition("/")[2]
    filters = [{"name": "instance-id", "values": [instance]}]
    assert len(client.describe_accelerators(filters=filters)["acceleratorSet"]) == len(ids)


@pytest.mark.parametrize(("size", "pages"), [(1, 3), (2, 2), (3, 1), (100, 1)])
def test_paginator(client: Any, fleet: Daemon, size: int, pages: int) -> None:
    """boto3's own paginator finds every accelerator once."""
    paginator = client.get_paginator("describe_accelerators")
    found = list(paginator.paginate(PaginationConfig={"PageSize": size}))
    ids = [row["acceleratorId"] for page in found for row in page["acceleratorSet"]]
    assert ids == [one["id"] for one in fleet.ready["accelerators"]]
    assert len(found) == pages


def test_tags(client: Any, fleet: Daemon) -> None:
    """Whatever a URL has a use for, signed and encoded as boto3 does; twice in one second too."""
    arn, tags = arn_of(fleet), {"owner": "ann", "a b/c+d&e=f%?#ü": "x:y"}
    for _ in range(2):
        client.tag_resource(resourceArn=arn, tags=tags)
        assert client.list_tags_for_resource(resourceArn=arn)["tags"] == tags
    assert client.list_tags_for_resource(resourceArn=arn_of(fleet, 1))["tags"] == {}
    client.untag_resource(resourceArn=arn, tagKeys=list(tags))
    assert client.list_tags_for_resource(resourceArn=arn)["tags"] == {}


def test_tags_outlive_the_daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are the accelerator's, which keeps its id."""
    daemon = start_daemon(tmp_path / "home", "--port", "0")
    try:
        configure(monkeypatch, daemon)
        new_client().tag_resource(resourceArn=arn_of(daemon), tags={"kept": "yes"})
    finally:
        assert daemon.stop() == 0
    daemon = start_daemon(tmp_path / "home", "--port", "0")
    try:
        configure(monkeypatch, daemon)
        answer = new_client().list_tags_for_resource(resourceArn=arn_of(daemon))
    finally:
        assert daemon.stop() == 0
    assert answer["tags"] == {"kept": "yes"}
    assert (tmp_path / "home" / "daemon" / "tags.json").stat().st_mode & 0o777 == 0o600


def test_wrong_calls(client: Any, fleet: Daemon) -> None:
    """Each is the exception that the model of the service names."""
    bad, missing = (400, "BadRequestException"), (404, "ResourceNotFoundException")
    nowhere = arn_of(fleet).rpartition("/")[0] + "/eia-" + 32 * "0"
    assert refusal(client.describe_accelerator_offerings, locationType="planet") == bad
    assert refusal(client.describe_accelerators, maxResults=101) == bad
    assert refusal(client.describe_accelerators, nextToken="AAAA") == bad
    assert refusal(client.describe_accelerators, filters=[{"name": "x", "values": []}]) == bad
    assert refusal(client.describe_accelerators, acceleratorIds=["eia-0"]) == missing
    assert refusal(client.list_tags_for_resource, resourceArn="eia-0") == bad
    assert refusal(client.list_tags_for_resource, resourceArn=nowhere) == missing
    assert refusal(client.tag_resource, resourceArn=nowhere, tags={"a": "b"}) == missing
    tags = {"aws:reserved": "x"}
    assert refusal(client.tag_resource, resourceArn=arn_of(fleet), tags=tags) == bad
    with pytest.raises(client.exceptions.BadRequestException):
        client.describe_accelerator_offerings(locationType="planet")


def test_other_callers(client: Any, fleet: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong secret, and a user whose policy allows nothing."""
    configure(monkeypatch, fleet, AWS_SECRET_ACCESS_KEY="0" * 40)
    wrong = refusal(new_client().describe_accelerators)
    assert wrong == (403, "UnrecognizedClientException")
    policy = fleet.home / "nobody.json"
    policy.write_text(json.dumps(NOBODY))
    printed = fleet.command("user", "add", "nobody", "--policy", str(policy))
    key = dict(line.split(": ") for line in printed.splitlines())
    configure(
        monkeypatch,
        fleet,
        AWS_ACCESS_KEY_ID=key["access_key_id"],
        AWS_SECRET_ACCESS_KEY=key["secret_access_key"],
    )
    nobody, arn = new_client(), arn_of(fleet)
    denied = (403, "AccessDeniedException")
    assert refusal(nobody.describe_accelerators) == denied
    assert refusal(nobody.describe_accelerator_types) == denied
    assert refusal(nobody.describe_accelerator_offerings, locationType="region") == denied
    assert refusal(nobody.list_tags_for_resource, resourceArn=arn) == denied
    assert refusal(nobody.tag_resource, resourceArn=arn, tags={"a": "b"}) == denied
    assert refusal(nobody.untag_resource, resourceArn=arn, tagKeys=["a"]) == denied


def test_presigned_url(client: Any, fleet: Daemon) -> None:
    """An address that boto3 signed opens without a key."""
    url = client.generate_presigned_url(
        "list_tags_for_resource", Params={"resourceArn": arn_of(fleet)}, ExpiresIn=60
    )
    context = create_default_context(cafile=fleet.ready["ca_file"])
    with urllib.request.urlopen(url, context=context, timeout=10) as answer:
        assert json.load(answer) == {"tags": {}}
