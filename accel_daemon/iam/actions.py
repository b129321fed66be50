"""The actions of this service that policies can name, by what each is about. Pure.

The tables of permissions of the control endpoint and of the accelerators say who asks for which; a
test holds this list against them.
"""

from __future__ import annotations

SERVICE_PREFIX = "elastic-inference:"

ABOUT_AN_ACCELERATOR = (
    "elastic-inference:Connect",
    "elastic-inference:FindMissing",
    "elastic-inference:GetCapabilities",
    "elastic-inference:ListGraphs",
    "elastic-inference:ListTagsForResource",
    "elastic-inference:LoadGraph",
    "elastic-inference:Reflect",
    "elastic-inference:Run",
    "elastic-inference:TagResource",
    "elastic-inference:Unload",
    "elastic-inference:UntagResource",
    "elastic-inference:UploadGraph",
)
# Asked with the resource "*", which no pattern but "*" names.
ABOUT_NO_RESOURCE = (
    "elastic-inference:ClearFaults",
    "elastic-inference:DescribeAcceleratorOfferings",
    "elastic-inference:DescribeAcceleratorTypes",
    "elastic-inference:DescribeAccelerators",
    "elastic-inference:GetMetrics",
    "elastic-inference:GetStatus",
    "elastic-inference:InjectFault",
    "elastic-inference:ListFaults",
)
ACTIONS = ABOUT_AN_ACCELERATOR + ABOUT_NO_RESOURCE
