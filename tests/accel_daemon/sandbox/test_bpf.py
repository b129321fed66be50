"""The assembler, judged by a simulator of the kernel's machine that was written from its manual."""

from __future__ import annotations

import errno
import struct
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_daemon.sandbox import denied
from accel_daemon.sandbox.bpf import (
    ALLOW,
    ERRNO,
    KILL_PROCESS,
    AnyBit,
    Condition,
    Instruction,
    NoBit,
    OneOf,
    Other,
    Rule,
    assemble,
    packed,
)
from accel_daemon.sandbox.syscalls import AARCH64, MACHINES, X86_64, Machine

PID = 4711
MAX_INSTRUCTIONS = 4096  # the kernel's BPF_MAXINSNS
I386 = 0x4000_0003
FLAGS = st.one_of(st.integers(0, 15), st.sampled_from([2**n for n in range(32)]), st.integers(0))
WORDS = FLAGS.map(lambda value: value & 0xFFFF_FFFF)
REGISTERS = st.one_of(WORDS, st.integers(0, 2**64 - 1))


def simulate(program: Sequence[Instruction], number: int, arch: int, args: Sequence[int]) -> int:
    """What the kernel does with a call: the returned action."""
    data = struct.pack("=iIQ6Q", number, arch, 0, *args)
    place, accumulator = 0, 0
    while True:
        one = program[place]
        place += 1
        kind, word = one.code & 0x07, one.operand
        if kind == 0x00:  # BPF_LD | BPF_W | BPF_ABS
            assert one.code == 0x20
            (accumulator,) = struct.unpack_from("=I", data, word)
        elif kind == 0x04:  # BPF_ALU | BPF_AND
            assert one.code == 0x54
            accumulator &= word
        elif kind == 0x05:  # BPF_JMP
            holds = {0x15: accumulator == word, 0x45: bool(accumulator & word)}[one.code]
            place += one.if_true if holds else one.if_false
        else:
            assert one.code == 0x06
            return word


def expected(machine: Machine, rules: Sequence[Rule], number: int, args: Sequence[int]) -> int:
    """What rules mean, said in another way."""
    name = {value: key for key, value in machine.numbers.items()}.get(number)
    for rule in rules:
        if name in rule.names and all(holds(one, args) for one in rule.when):
            return ERRNO | rule.errno
    return ALLOW


def holds(condition: Condition, args: Sequence[int]) -> bool:
    """Whether a condition is true of a call's arguments."""
    value = args[condition.argument] & 0xFFFF_FFFF
    match condition:
        case AnyBit(_, bits):
            return bool(value & bits)
        case NoBit(_, bits):
            return not value & bits
        case OneOf(_, values, mask):
            return value & mask in values
        case Other(_, values, mask):
            return value & mask not in values


@st.composite
def conditions(draw: st.DrawFn) -> Condition:
    """Any condition."""
    argument = draw(st.integers(0, 5))
    kind = draw(st.sampled_from([AnyBit, NoBit, OneOf, Other]))
    if kind in (AnyBit, NoBit):
        return kind(argument, draw(WORDS))
    values = draw(st.lists(WORDS, min_size=1, max_size=4))
    return kind(argument, tuple(values), draw(st.one_of(st.just(0xFFFF_FFFF), WORDS)))


NAMES = st.sampled_from(sorted(X86_64.numbers))
RULES = st.builds(
    Rule,
    st.lists(NAMES, min_size=1, max_size=3).map(tuple),
    st.lists(conditions(), max_size=3).map(tuple),
    st.sampled_from([errno.EPERM, errno.ENOSYS]),
)
CALLS = st.tuples(
    st.one_of(NAMES.map(X86_64.numbers.__getitem__), st.integers(0, 600)),
    st.lists(REGISTERS, min_size=6, max_size=6),
)


@given(st.lists(RULES, max_size=8), CALLS)
def test_a_program_does_what_its_rules_say(rules: list[Rule], call: tuple[int, list[int]]) -> None:
    """For any rules and any call, and the kernel looks at the lower halves only."""
    number, args = call
    program = assemble(X86_64, rules)
    assert simulate(program, number, X86_64.audit_architecture, args) == expected(
        X86_64, rules, number, args
    )


@pytest.mark.parametrize("machine", MACHINES.values(), ids=lambda one: one.name)
@given(call=CALLS)
def test_our_rules_on_each_machine(machine: Machine, call: tuple[int, list[int]]) -> None:
    """The real tables, likewise."""
    number, args = call
    rules = denied.rules(denied.starting_groups(PID, unix_sockets=False))
    program = assemble(machine, rules)
    assert simulate(program, number, machine.audit_architecture, args) == expected(
        machine, rules, number, args
    )


@given(CALLS, st.integers(0, 2**32 - 1))
def test_another_architectures_calls_end_the_process(
    call: tuple[int, list[int]], architecture: int
) -> None:
    """Whatever their number: under i386's numbers, 11 is execve."""
    program = assemble(X86_64, ())
    for foreign in (I386, AARCH64.audit_architecture, architecture):
        if foreign != X86_64.audit_architecture:
            assert simulate(program, call[0], foreign, call[1]) == KILL_PROCESS


@given(st.integers(0, 2**30 - 1))
def test_x32_has_no_calls(number: int) -> None:
    """They have the same architecture, and a bit in their number."""
    program = assemble(X86_64, ())
    foreign = simulate(program, number | 0x4000_0000, X86_64.audit_architecture, [0] * 6)
    assert foreign == ERRNO | errno.ENOSYS


@pytest.mark.parametrize("machine", MACHINES.values(), ids=lambda one: one.name)
@pytest.mark.parametrize("unix_sockets", [True, False])
def test_the_kernel_would_take_the_program(machine: Machine, unix_sockets: bool) -> None:
    """Short enough, every jump inside it and forward, and it ends with a return."""
    program = assemble(machine, denied.rules(denied.starting_groups(PID, unix_sockets)))
    assert len(program) <= MAX_INSTRUCTIONS
    assert len(packed(program)) == 8 * len(program)
    assert program[-1].code == 0x06
    for place, one in enumerate(program):
        assert 0 <= one.if_true <= 255
        assert 0 <= one.if_false <= 255
        assert place + 1 + max(one.if_true, one.if_false) <= len(program)
