"""boto3 finds and tags an accelerator, and the predictor uses that very one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError
from digit_counter import count_digits
from inventory import Inventory, accelerator_id

EMPTY_PAGE = np.full((128, 128, 3), 255, np.uint8)
ONLY_LISTING = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": "elastic-inference:DescribeAccelerators", "Resource": "*"}
    ],
}


@pytest.mark.usefixtures("aws_environment")
def test_describe_tag_and_connect(accelerator: Any) -> None:
    """From boto3's list to an inference."""
    inventory = Inventory()
    (arn,) = inventory.healthy()
    assert accelerator_id(arn) in accelerator.accelerator_ids
    assert inventory.project(arn) is None
    inventory.claim(arn, "digits")
    assert inventory.project(arn) == "digits"
    assert count_digits(EMPTY_PAGE, accelerator_id(arn)) == 0


@pytest.mark.usefixtures("aws_environment")
def test_an_unhealthy_one_is_left_out(accelerator: Any) -> None:
    """The program sees what a broken accelerator looks like, and sees it recover."""
    inventory = Inventory()
    with accelerator.inject_fault("unhealthy"):
        assert inventory.healthy() == []
    assert len(inventory.healthy()) == 1


@pytest.mark.usefixtures("aws_environment")
@pytest.mark.accelerator_policy(ONLY_LISTING)
def test_a_user_who_may_only_look() -> None:
    """boto3 gets AWS's own kind of refusal."""
    inventory = Inventory()
    (arn,) = inventory.healthy()
    with pytest.raises(ClientError) as caught:
        inventory.claim(arn, "digits")
    assert caught.value.response["Error"]["Code"] == "AccessDeniedException"
