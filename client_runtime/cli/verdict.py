"""What limits an accelerator's calls, in words: the rules by which `accel bench` judges. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from client_runtime.cli.latencies import Part
from client_runtime.cli.quantities import bytes_text, seconds_text

# Below this a call's time on the wire is the round trip and not its bytes.
SMALL_CALL_BYTES = 64 * 1024
# Less than this much of a call is no limit, but one part among several.
CLEAR_SHARE = 0.4
# A first call that takes as long as so many others is worth a word, when a person notices it.
SLOW_FIRST_CALLS = 20
SLOW_FIRST_SECONDS = 0.5
# Two sides that differ by less are equally fast.
EVEN = 1.1
# What is shorter was not measured: no clock here ticks so often.
SHORTEST_SECONDS = 1e-9


@dataclass(frozen=True)
class Facts:
    """What is judged. Times in seconds.

    Attributes:
        parts: where a call's time goes, by the names of `latencies.PARTS`.
        p50: of a call on the accelerator.
        first_call: the call that sent and loaded the model.
        call_bytes: of all feeds and fetches of a call.
        local_p50: of the same call with the local TensorFlow; None where it was not measured.
    """

    parts: Mapping[str, Part]
    p50: float
    first_call: float
    call_bytes: int
    local_p50: float | None = None


@dataclass(frozen=True)
class Verdict:
    """The part that limits, its share of a call (0 to 1), and the sentences that say so."""

    limit: str
    share: float
    sentences: tuple[str, ...]

    @property
    def text(self) -> str:
        """All sentences."""
        return " ".join(self.sentences)


_ADVICE = {
    "compute": "a faster accelerator or a smaller model would help, a faster network would not",
    "paced": "the accelerator waits until the type that it emulates would have answered; a type "
    "with more throughput or a smaller model would help",
    "queue": "the accelerator is shared; fewer calls at one time, or another accelerator, would "
    "help",
    "load": "the graph is loaded again and again; an accelerator with more memory would keep it",
    "serialize": "this machine is busy turning feeds into messages; smaller feeds would help",
    "parse": "this machine is busy turning messages into fetches; fetching less would help",
}
_SUBJECTS = {
    "compute": "compute",
    "paced": "the emulated type's throughput",
    "queue": "the queue",
    "load": "loading",
    "serialize": "preparing messages",
    "parse": "reading the answer",
    "wire": "the wire",
}


def judge(facts: Facts) -> Verdict:
    """What limits, then what else is worth knowing."""
    limit = max(facts.parts, key=lambda name: facts.parts[name].share)
    share = facts.parts[limit].share
    remarks = (_first_call(facts), _comparison(facts))
    return Verdict(
        limit, share, (_limit(limit, share, facts), *(remark for remark in remarks if remark))
    )


def _limit(limit: str, share: float, facts: Facts) -> str:
    advice = _wire_advice(facts.call_bytes) if limit == "wire" else _ADVICE[limit]
    if share < CLEAR_SHARE:
        return (
            f"Nothing limits alone; most goes to {_SUBJECTS[limit]}, {share:.0%} of a call: "
            f"{advice}."
        )
    subject = _SUBJECTS[limit]
    return f"{subject[0].upper()}{subject[1:]} limits: {share:.0%} of a call; {advice}."


def _wire_advice(call_bytes: int) -> str:
    if call_bytes < SMALL_CALL_BYTES:
        return (
            f"a call carries only {bytes_text(call_bytes)}, so it is the way there and back: more "
            "rows in one call, or more calls at one time, would help more than a faster accelerator"
        )
    return (
        f"a call carries {bytes_text(call_bytes)}; a smaller or compressed feed would help more "
        "than a faster accelerator"
    )


def _first_call(facts: Facts) -> str:
    slow = max(SLOW_FIRST_SECONDS, SLOW_FIRST_CALLS * facts.p50)
    if facts.first_call < slow or facts.p50 < SHORTEST_SECONDS:
        return ""
    others = int(facts.first_call / facts.p50)
    return (
        f"First call: sending and loading the model took {seconds_text(facts.first_call)}, as long "
        f"as {others} calls after it; keep the predictor between calls."
    )


def _comparison(facts: Facts) -> str:
    if facts.local_p50 is None or min(facts.local_p50, facts.p50) < SHORTEST_SECONDS:
        return ""
    ratio = facts.local_p50 / facts.p50
    if ratio >= EVEN:
        return f"The accelerator answers {ratio:.1f} times as fast as TensorFlow on this machine."
    if ratio <= 1 / EVEN:
        return f"TensorFlow on this machine answers {1 / ratio:.1f} times as fast."
    return "TensorFlow on this machine is as fast."
