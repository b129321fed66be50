"""boto3's `sts` client against a daemon, and what its credentials do: `tox -e boto3`."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from ssl import create_default_context
from typing import Any

import pytest

from tests.aws_sdk.conftest import client_variables
from tests.conftest import Daemon, start_daemon

boto3 = pytest.importorskip("boto3", "1.36", reason="needs boto3: run `tox -e boto3`")
botocore_exceptions = pytest.importorskip("botocore.exceptions")

DESCRIBE = {
    "Version": "2012-10-17",
    "Statement": {"Effect": "Allow", "Action": "elastic-inference:Describe*", "Resource": "*"},
}


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with a role `lab` that the administrator may assume, and that may describe."""
    running = start_daemon(tmp_path_factory.mktemp("home"), "--port", "0")
    policy = running.home / "describe.json"
    policy.write_text(json.dumps(DESCRIBE))
    running.command("role", "add", "lab", "--policy", str(policy), "--trust", "administrator")
    yield running
    assert running.stop() == 0


@pytest.fixture
def session(office: Daemon, monkeypatch: pytest.MonkeyPatch) -> Any:
    """boto3 as the administrator, configured by nothing but the environment."""
    variables = {
        **client_variables(office),
        "AWS_ENDPOINT_URL_STS": office.ready["control"],
        "AWS_CONFIG_FILE": str(office.home / "config"),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return boto3.session.Session()


def role_arn(office: Daemon) -> str:
    """The role's ARN."""
    return f"arn:aws:iam::{office.ready['account']}:role/lab"


def refusal(call: Callable[..., Any], **arguments: Any) -> tuple[int, str]:
    """HTTP status and code of a call that must fail."""
    with pytest.raises(botocore_exceptions.ClientError) as caught:
        call(**arguments)
    answer = caught.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]


def test_who_am_i(session: Any, office: Daemon) -> None:
    """The daemon's user."""
    identity = session.client("sts").get_caller_identity()
    assert identity["Arn"] == f"arn:aws:iam::{office.ready['account']}:user/administrator"
    assert identity["Account"] == office.ready["account"]


def test_assumed_role_may_what_the_role_may(session: Any, office: Daemon) -> None:
    """Describing, and not tagging; the API takes the session token from boto3 as it sends it."""
    answer = session.client("sts").assume_role(
        RoleArn=role_arn(office), RoleSessionName="night-run", DurationSeconds=900
    )
    credentials = answer["Credentials"]
    assumed = boto3.session.Session(
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
    )
    accelerators = assumed.client("elastic-inference").describe_accelerators()["acceleratorSet"]
    (accelerator,) = office.ready["accelerators"]
    assert [one["acceleratorId"] for one in accelerators] == [accelerator["id"]]
    kind = "elastic-inference-accelerator"
    region, account = office.ready["region"], office.ready["account"]
    arn = f"arn:aws:elastic-inference:{region}:{account}:{kind}/{accelerator['id']}"
    tags = {"resourceArn": arn, "tags": {"a": "b"}}
    client = assumed.client("elastic-inference")
    assert refusal(client.tag_resource, **tags) == (403, "AccessDeniedException")
    url = client.generate_presigned_url("describe_accelerator_types", ExpiresIn=60)
    context = create_default_context(cafile=office.ready["ca_file"])
    with urllib.request.urlopen(url, context=context, timeout=10) as opened:
        assert len(json.load(opened)["acceleratorTypes"]) == 6
    assert "X-Amz-Security-Token=" in url


def test_profile_that_assumes_a_role(
    session: Any, office: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As people write it into ~/.aws/config: boto3 assumes the role by itself."""
    config = office.home / "config"
    config.write_text(
        "[profile lab]\n"
        f"role_arn = {role_arn(office)}\n"
        "credential_source = Environment\n"
        "role_session_name = from-config\n"
    )
    monkeypatch.setenv("AWS_PROFILE", "lab")
    client = boto3.session.Session(profile_name="lab").client("sts")
    assert client.get_caller_identity()["Arn"].endswith(":assumed-role/lab/from-config")


def test_session_of_the_user(session: Any) -> None:
    """GetSessionToken, whose credentials get no others that way."""
    credentials = session.client("sts").get_session_token()["Credentials"]
    temporary = boto3.session.Session(
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
    ).client("sts")
    assert temporary.get_caller_identity()["Arn"].endswith(":user/administrator")
    assert refusal(temporary.get_session_token) == (403, "AccessDenied")


def test_refusals(session: Any, office: Daemon) -> None:
    """With the codes that scripts look for."""
    client = session.client("sts")
    arguments = {"RoleArn": role_arn(office), "RoleSessionName": "night-run"}
    denied = {**arguments, "RoleArn": role_arn(office) + "-not"}
    assert refusal(client.assume_role, **denied) == (403, "AccessDenied")
    malformed = (400, "MalformedPolicyDocument")
    assert refusal(client.assume_role, **arguments, Policy="{}") == malformed
    too_long = (400, "ValidationError")
    assert refusal(client.assume_role, **arguments, DurationSeconds=3601) == too_long
