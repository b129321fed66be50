"""The accelerators as boto3 sees them: which there are, and by their tags whose they are."""

from __future__ import annotations

from typing import Any

import boto3


class Inventory:
    """What Amazon's elastic-inference API tells and keeps about the accelerators."""

    def __init__(self) -> None:
        # A session of its own: boto3's default one keeps the first credentials it finds.
        self._client: Any = boto3.session.Session().client("elastic-inference")

    def healthy(self) -> list[str]:
        """The ARNs of the accelerators that are well."""
        pages = self._client.get_paginator("describe_accelerators").paginate()
        rows = [row for page in pages for row in page["acceleratorSet"]]
        return [_arn(row) for row in rows if row["acceleratorHealth"]["status"] == "Ok"]

    def claim(self, arn: str, project: str) -> None:
        """Write on an accelerator whose it is."""
        self._client.tag_resource(resourceArn=arn, tags={"project": project})

    def project(self, arn: str) -> str | None:
        """Whose an accelerator is."""
        tags = self._client.list_tags_for_resource(resourceArn=arn)["tags"]
        return str(tags["project"]) if "project" in tags else None


def accelerator_id(arn: str) -> str:
    """The id at the end of an accelerator's ARN."""
    return arn.rpartition("/")[2]


def _arn(row: dict[str, Any]) -> str:
    region, account = row["attachedResource"].split(":")[3:5]
    kind = "elastic-inference-accelerator"
    return f"arn:aws:elastic-inference:{region}:{account}:{kind}/{row['acceleratorId']}"
