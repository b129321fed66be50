"""The accelerator types: what Amazon published of each, in one table for everyone. Pure.

`host` is our own type: the whole device, of which nothing was published.
"""

from __future__ import annotations

from dataclasses import dataclass

MEBIBYTE = 1 << 20
TERA = 10**12


@dataclass(frozen=True)
class PublishedType:
    """One type as it was sold.

    Attributes:
        name: for instance "eia2.medium".
        mebibytes: of accelerator memory.
        tera_flops_16, tera_flops_32: throughput in 10^12 operations a second, by float width.
    """

    name: str
    mebibytes: int
    tera_flops_16: int
    tera_flops_32: int

    @property
    def memory_bytes(self) -> int:
        """Accelerator memory in bytes."""
        return self.mebibytes * MEBIBYTE

    def seconds(self, flops_16: int, flops_32: int) -> float:
        """How long operations take at the published throughput, by float width."""
        return (flops_16 / self.tera_flops_16 + flops_32 / self.tera_flops_32) / TERA


PUBLISHED_TYPES = (
    PublishedType("eia1.medium", 1024, 8, 1),
    PublishedType("eia1.large", 2048, 16, 2),
    PublishedType("eia1.xlarge", 4096, 32, 4),
    PublishedType("eia2.medium", 2048, 8, 1),
    PublishedType("eia2.large", 4096, 16, 2),
    PublishedType("eia2.xlarge", 8192, 32, 4),
)
HOST_TYPE = "host"
TYPES = (HOST_TYPE, *(one.name for one in PUBLISHED_TYPES))


def published_type(name: str) -> PublishedType | None:
    """The published type of this name; None for `host` and for names that there are not."""
    return next((one for one in PUBLISHED_TYPES if one.name == name), None)


def fitting_type(needed_bytes: int) -> str:
    """The smallest published type whose memory holds so many bytes, else `host`.

    Of types with equal memory, the one with less throughput is the smaller.
    """
    fitting = [one for one in PUBLISHED_TYPES if one.memory_bytes >= needed_bytes]
    if not fitting:
        return HOST_TYPE
    return min(fitting, key=lambda one: (one.mebibytes, one.tera_flops_32)).name
