"""A small assembler for seccomp programs: from rules to the kernel's instructions. Pure.

A rule refuses system calls by name, always or when conditions on their arguments hold. Only the
lower halves of arguments are looked at: those that rules ask about are `int` in the kernel, which
ignores the upper halves as well.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from accel_daemon.sandbox.syscalls import Machine

# Offsets in the kernel's `struct seccomp_data`, on machines that store the lower half first.
NUMBER_OFFSET, ARCHITECTURE_OFFSET, ARGUMENTS_OFFSET = 0, 4, 16

LOAD_WORD = 0x20  # BPF_LD | BPF_W | BPF_ABS
AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
JUMP_IF_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
JUMP_IF_ANY_BIT = 0x45  # BPF_JMP | BPF_JSET | BPF_K
RETURN = 0x06  # BPF_RET | BPF_K

ALLOW = 0x7FFF_0000
ERRNO = 0x0005_0000
KILL_PROCESS = 0x8000_0000


@dataclass(frozen=True)
class Instruction:
    """One `struct sock_filter`."""

    code: int
    if_true: int
    if_false: int
    operand: int

    def packed(self) -> bytes:
        """As the kernel reads it."""
        return struct.pack("=HBBI", self.code, self.if_true, self.if_false, self.operand)


@dataclass(frozen=True)
class AnyBit:
    """Holds when an argument has at least one of these bits."""

    argument: int
    bits: int


@dataclass(frozen=True)
class NoBit:
    """Holds when an argument has none of these bits."""

    argument: int
    bits: int


@dataclass(frozen=True)
class Other:
    """Holds when the masked argument is none of these values."""

    argument: int
    values: tuple[int, ...]
    mask: int = 0xFFFF_FFFF


@dataclass(frozen=True)
class OneOf:
    """Holds when the masked argument is one of these values."""

    argument: int
    values: tuple[int, ...]
    mask: int = 0xFFFF_FFFF


Condition = AnyBit | NoBit | Other | OneOf


@dataclass(frozen=True)
class Rule:
    """System calls that are refused, with this errno, when all conditions hold."""

    names: tuple[str, ...]
    when: tuple[Condition, ...] = ()
    errno: int = errno.EPERM


def assemble(machine: Machine, rules: Sequence[Rule]) -> tuple[Instruction, ...]:
    """The program: what no rule refuses is allowed.

    Another architecture's calls, which the same processor may offer under other numbers, end the
    process; those of a second set of the same architecture do not exist.
    """
    program = [
        _load(ARCHITECTURE_OFFSET),
        Instruction(JUMP_IF_EQUAL, 1, 0, machine.audit_architecture),
        _return(KILL_PROCESS),
        _load(NUMBER_OFFSET),
    ]
    if machine.foreign_bit:
        program += [
            Instruction(JUMP_IF_ANY_BIT, 0, 1, machine.foreign_bit),
            _return(ERRNO | errno.ENOSYS),
        ]
    for rule in rules:
        for number in _numbers(machine, rule.names):
            program += _block(number, rule)
    return (*program, _return(ALLOW))


def packed(program: Iterable[Instruction]) -> bytes:
    """The program as an array of `struct sock_filter`."""
    return b"".join(one.packed() for one in program)


def _numbers(machine: Machine, names: Iterable[str]) -> list[int]:
    return [machine.numbers[name] for name in names if name in machine.numbers]


def _block(number: int, rule: Rule) -> list[Instruction]:
    """Begins with the call's number loaded, and ends so when it does not refuse."""
    inside = [_return(ERRNO | rule.errno)]
    for condition in reversed(rule.when):
        inside = [*_condition(condition, len(inside)), *inside]
    if rule.when:
        inside.append(_load(NUMBER_OFFSET))
    return [Instruction(JUMP_IF_EQUAL, 0, len(inside), number), *inside]


def _condition(condition: Condition, skipped: int) -> list[Instruction]:
    """Goes on behind itself when it holds, else `skipped` instructions further."""
    load = _load(ARGUMENTS_OFFSET + 8 * condition.argument)
    if isinstance(condition, AnyBit):
        return [load, Instruction(JUMP_IF_ANY_BIT, 0, skipped, condition.bits)]
    if isinstance(condition, NoBit):
        return [load, Instruction(JUMP_IF_ANY_BIT, skipped, 0, condition.bits)]
    left = range(len(condition.values) - 1, -1, -1)
    tests = zip(left, condition.values, strict=True)
    masked = [load, Instruction(AND, 0, 0, condition.mask)]
    if isinstance(condition, Other):
        return [*masked, *(Instruction(JUMP_IF_EQUAL, n + skipped, 0, value) for n, value in tests)]
    return [
        *masked,
        *(Instruction(JUMP_IF_EQUAL, n, 0 if n else skipped, value) for n, value in tests),
    ]


def _load(offset: int) -> Instruction:
    return Instruction(LOAD_WORD, 0, 0, offset)


def _return(value: int) -> Instruction:
    return Instruction(RETURN, 0, 0, value)
