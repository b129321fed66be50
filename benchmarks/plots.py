"""Pictures, where matplotlib is installed: latency by payload and models, calls by clients."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.interleaving import pooled, summary
from benchmarks.targets import Group

Curves = dict[str, list[tuple[int, float, float, float]]]
"""By contestant: x, and the median, tenth and ninetieth percentile of y."""


def is_possible() -> bool:
    """Whether there is a matplotlib."""
    return importlib.util.find_spec("matplotlib") is not None


def curves(groups: Mapping[str, Group], pattern: str) -> Curves:
    """The curves of all groups whose name matches; the pattern's first group is x."""
    found: Curves = {}
    for name, group in groups.items():
        if (match := re.fullmatch(pattern, name)) is None:
            continue
        for who, rounds in group.measured.items():
            y = summary(pooled(rounds))
            found.setdefault(who, []).append((int(match[1]), y.median, y.p10, y.p90))
    return {who: sorted(points) for who, points in found.items()}


def write(groups: Mapping[str, Group], folder: Path) -> list[Path]:
    """Draw what there is as SVG; answers the files."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {
        "latency.svg": (r"payload-(\d+)", "bytes in", "seconds"),
        "models.svg": (r"models-(\d+)", "models that a caller goes round", "seconds a call"),
        "throughput-tiny.svg": (r"tiny-(\d+)-clients", "clients", "calls/s, tiny model"),
        "throughput-mobilenet.svg": (r"mobilenet-(\d+)-clients", "clients", "calls/s, MobileNetV2"),
    }
    written = []
    for name, (pattern, x, y) in wanted.items():
        if found := curves(groups, pattern):
            _draw(found, x, y, folder / name)
            written.append(folder / name)
    return written


def _draw(found: Curves, x: str, y: str, path: Path) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "benchmarks"  # the same figures give the same file
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    for who, points in found.items():
        xs: list[Any]
        xs, medians, lows, highs = (list(column) for column in zip(*points, strict=True))
        axes.plot(xs, medians, marker="o", label=who)
        axes.fill_between(xs, lows, highs, alpha=0.15)
    axes.set(xscale="log", yscale="log", xlabel=x, ylabel=y)
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
