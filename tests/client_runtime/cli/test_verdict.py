"""What limits, in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_runtime.cli.latencies import PARTS, Part
from client_runtime.cli.verdict import Facts, judge


def facts(p50: float = 0.1, size: int = 1 << 20, first: float = 0.1, **shares: float) -> Facts:
    """Facts with these shares of a call."""
    parts = {name: Part(shares.get(name, 0) * p50, shares.get(name, 0)) for name in PARTS}
    return Facts(parts, p50, first, size)


@pytest.mark.parametrize(
    ("given_", "limit", "says"),
    [
        (facts(wire=0.71, compute=0.29), "wire", "The wire limits: 71% of a call"),
        (facts(wire=0.71), "wire", "smaller or compressed feed would help more than a faster"),
        (facts(wire=0.71, size=4096), "wire", "carries only 4.00 KiB"),
        (facts(wire=0.71, size=4096), "wire", "more rows in one call"),
        (facts(compute=0.9), "compute", "Compute limits: 90% of a call"),
        (facts(compute=0.9), "compute", "a faster network would not"),
        (facts(queue=0.6, compute=0.4), "queue", "the accelerator is shared"),
        (facts(paced=0.8), "paced", "The emulated type's throughput limits: 80% of a call"),
        (facts(load=0.6), "load", "loaded again and again"),
        (facts(serialize=0.6), "serialize", "this machine"),
        (facts(parse=0.6), "parse", "fetching less"),
        (facts(wire=0.35, compute=0.34, queue=0.31), "wire", "Nothing limits alone"),
    ],
)
def test_limits(given_: Facts, limit: str, says: str) -> None:
    """The largest part is named with its share, and with what would help."""
    verdict = judge(given_)

    assert verdict.limit == limit
    assert says in verdict.text


@pytest.mark.parametrize(
    ("p50", "first", "says"),
    [
        (0.01, 3.0, "First call: sending and loading the model took 3.00 s, as long as 300 calls"),
        (0.01, 0.4, None),
        (1.0, 3.0, None),
        (0.0, 3.0, None),
    ],
)
def test_slow_first_calls_are_told(p50: float, first: float, says: str | None) -> None:
    """Only when a person notices it, and many calls would be as long."""
    text = judge(facts(p50=p50, first=first, compute=1)).text

    assert says in text if says else "First call" not in text


@pytest.mark.parametrize(
    ("local", "says"),
    [
        (0.35, "The accelerator answers 3.5 times as fast as TensorFlow on this machine."),
        (0.04, "TensorFlow on this machine answers 2.5 times as fast."),
        (0.105, "TensorFlow on this machine is as fast."),
        (None, ""),
    ],
)
def test_comparison(local: float | None, says: str) -> None:
    """Who is faster, and by how much; nothing where it was not measured."""
    base = facts(compute=1)
    text = judge(Facts(base.parts, base.p50, base.first_call, base.call_bytes, local)).text

    assert text.endswith(says)
    assert ("this machine" in text) == (local is not None)


@given(
    st.dictionaries(st.sampled_from(PARTS), st.floats(0, 1)),
    st.floats(0, 10),
    st.floats(0, 100),
    st.none() | st.floats(0, 10),
)
def test_there_is_always_a_verdict(
    shares: dict[str, float], p50: float, first: float, local: float | None
) -> None:
    """Whatever was measured, one part is named, and it is one of the largest."""
    base = facts(p50=p50, first=first, **shares)
    verdict = judge(Facts(base.parts, p50, first, 0, local))

    assert verdict.share == max(part.share for part in base.parts.values())
    assert verdict.text.endswith(".")
