"""Bytes, durations, counts and shapes as people read them. Pure."""

from __future__ import annotations

from accel_protocol import dtypes
from client_runtime.models.saved_model import TensorInfo

_BYTE_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def bytes_text(count: float) -> str:
    """A number of bytes with three digits, for instance "1.25 MiB"."""
    power = 0
    while round(count, 2) >= 1000 and power < len(_BYTE_UNITS) - 1:
        count /= 1024
        power += 1
    return f"{count:.0f} B" if power == 0 else f"{three_digits(count)} {_BYTE_UNITS[power]}"


def seconds_text(seconds: float) -> str:
    """A duration with three digits, in ms or s, for instance "35.2 ms"."""
    if seconds < 0.9995:
        return f"{three_digits(seconds * 1e3)} ms"
    return f"{three_digits(seconds)} s"


def three_digits(value: float) -> str:
    """A number with three digits where it has fewer than four before the point."""
    size = abs(value)
    places = 2 if size < 9.995 else 1 if size < 99.95 else 0
    return f"{value:.{places}f}"


def uptime_text(seconds: float) -> str:
    """A long duration in its two largest units, for instance "1 h 03 min"."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600:02} h"


def shape_text(info: TensorInfo) -> str:
    """A feed's dtype and shape, "?" where they are unknown, for instance "uint8 [1, ?, ?, 3]"."""
    dtype = "?" if info.dtype not in dtypes.supported() else dtypes.name_of(info.dtype)
    if info.shape is None:
        return f"{dtype} [?…]"
    return f"{dtype} [{', '.join('?' if size < 0 else str(size) for size in info.shape)}]"
