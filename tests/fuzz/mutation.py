"""Makes bad input out of good input: changes of bytes, of texts, of JSON and of protobuf messages.

Every change is drawn from the `random.Random` that is handed in, so a seed repeats an input, and
Hypothesis, which can hand in one of its own, makes a failing input smaller.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

Chance = random.Random

NUMBERS: tuple[int | float, ...] = (
    *(0, 1, -1, 2, 4, 63, 64, 65, 127, 128, 255, 256, 900, 901, 1024, 4096, 65_535, 65_536),
    *(2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 10**30),
    *(10**400, -(2**63), 0.5, -0.0, 1e308, 5e-324),
    *(float("nan"), float("inf"), float("-inf")),
)
TEXTS: tuple[str, ...] = (
    *("", " ", "0", "-1", "*", "?", "/", "//", ".", "..", "../../etc/passwd", "a" * 300, "é", "￿"),
    *("\0", "\n", "\r\n", "\x1b[2J", "\x7f", "\x85", "\u2028", "\U0001f600", "\ud800", "\udcff"),
    *("null", "NaN", "1e999", "%00", "%2e%2e%2f", "%", "%zz", "+", "&", "=", ";", ",", ":", "::"),
    *("<a>", "]]>", "&amp;", "${", "${aws:username}", "${*}", "$", "{}", "[]", "arn:aws:::", "'"),
    *("١٢٣", "１２", "a b", "eia-", "eia-" + "0" * 32, "x" * 4097, "9" * 5000, "A" * 70_000),
)
_RARE: tuple[Any, ...] = (None, True, False, [], {}, [[]], {"": ""}, [None], {"a": {"a": {}}})


def several(chance: Chance) -> range:
    """How many changes to make: mostly one or two, at times a handful."""
    return range(chance.choice((1, 1, 1, 2, 2, 3, 6)))


def change_bytes(chance: Chance, data: bytes) -> bytes:
    """The bytes with a few of them flipped, cut out, doubled, moved or replaced."""
    for _ in several(chance):
        data = chance.choice(_BYTE_CHANGES)(chance, data)
    return data


def change_text(chance: Chance, text: str) -> str:
    """The text with parts of it cut out, doubled, moved or replaced."""
    for _ in several(chance):
        start, end = _extent(chance, len(text))
        part = chance.choice(
            (
                "",
                text[start:end] * 2,
                chance.choice(TEXTS),
                chr(chance.choice((chance.randrange(128), chance.randrange(0x110000)))),
                text[start:end].swapcase(),
                text[start:end][::-1],
            )
        )
        text = text[:start] + part + text[end:]
    return text


def change_json(chance: Chance, document: Any) -> Any:
    """The document with nodes replaced, removed, doubled, renamed or exchanged."""
    document = json.loads(json.dumps(document))
    for _ in several(chance):
        document = _change_node(chance, document)
    return document


def json_text(chance: Chance, document: Any) -> str:
    """The document changed and written as JSON; at times what is written is changed as well."""
    text = json.dumps(change_json(chance, document), ensure_ascii=chance.random() < 0.7)
    kind = chance.randrange(12)
    if kind == 0:
        return change_text(chance, text)
    if kind == 1:
        depth = chance.choice((10, 100, 999, 20_000))
        opened = chance.choice(("[", '{"a":'))
        start, end = _extent(chance, len(text))
        return text[:start] + opened * depth + text[end:]
    if kind == 2:
        return text.replace("}", "," + text[1:-1] + "}", 1)  # members that are there twice
    return text


def json_bytes(chance: Chance, document: Any) -> bytes:
    """The same as bytes, which need not be UTF-8."""
    data = json_text(chance, document).encode("utf-8", "surrogatepass")
    return change_bytes(chance, data) if chance.random() < 0.15 else data


def change_message(chance: Chance, data: bytes) -> bytes:
    """A protobuf message with fields, lengths and numbers changed, at any depth."""
    fields = read_fields(data)
    if not fields or chance.random() < 0.1:
        return change_bytes(chance, data)
    for _ in several(chance):
        place = chance.randrange(len(fields))
        number, kind, value = fields[place]
        match chance.randrange(6):
            case 0:
                del fields[place]
            case 1:
                fields.insert(chance.randrange(len(fields) + 1), fields[place])
            case 2:
                fields[place] = (chance.choice((0, 1, 2, 3, 4, 7, 19_000, 2**29 - 1)), kind, value)
            case 3:
                fields[place] = (number, chance.randrange(8), value)
            case _:
                fields[place] = (number, kind, _change_value(chance, value))
        if not fields:
            break
    return b"".join(_write_field(chance, *field) for field in fields)


def read_fields(data: bytes) -> list[tuple[int, int, int | bytes]]:
    """The fields of a message: number, wire type, value; as far as it can be read."""
    fields: list[tuple[int, int, int | bytes]] = []
    position = 0
    while position < len(data):
        key, position = _read_varint(data, position)
        kind, number = key & 7, key >> 3
        if kind == 0:
            value, position = _read_varint(data, position)
            fields.append((number, kind, value))
            continue
        length = {1: 8, 5: 4}.get(kind, 0)
        if kind == 2:
            length, position = _read_varint(data, position)
        if kind not in (1, 2, 5) or position + length > len(data):
            return []
        fields.append((number, kind, data[position : position + length]))
        position += length
    return fields


def varint(value: int) -> bytes:
    """A number as protobuf writes it."""
    out = bytearray()
    value &= 2**70 - 1
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def one_of(chance: Chance, seeds: Sequence[Any]) -> Any:
    """One of the seeds."""
    return seeds[chance.randrange(len(seeds))]


def _extent(chance: Chance, length: int) -> tuple[int, int]:
    start = chance.randrange(length + 1)
    return start, min(length, start + chance.choice((0, 1, 1, 2, 4, 16, 64, length)))


def _flip(chance: Chance, data: bytes) -> bytes:
    if not data:
        return data
    place = chance.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1 :]


def _replace(chance: Chance, data: bytes) -> bytes:
    start, end = _extent(chance, len(data))
    new = chance.choice((b"", b"\0", b"\xff", b"\x80", b"\xff" * 9, b"\x7f\xff\xff\xff", b"\r\n"))
    return data[:start] + new + data[end:]


def _double(chance: Chance, data: bytes) -> bytes:
    start, end = _extent(chance, len(data))
    return data[:end] + data[start:end] * chance.choice((1, 1, 3, 50)) + data[end:]


def _cut(chance: Chance, data: bytes) -> bytes:
    return data[: chance.randrange(len(data) + 1)]


def _noise(chance: Chance, data: bytes) -> bytes:
    start, end = _extent(chance, len(data))
    return data[:start] + chance.randbytes(end - start) + data[end:]


_BYTE_CHANGES: tuple[Callable[[Chance, bytes], bytes], ...] = (
    _flip,
    _replace,
    _double,
    _cut,
    _noise,
)


def _change_node(chance: Chance, document: Any) -> Any:
    places = list(_places(document))
    if not places:
        return _value(chance, document)
    holder, key = places[chance.randrange(len(places))]
    match chance.randrange(7):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder[change_text(chance, key)] = holder.pop(key)
        case 1 | 2 if isinstance(holder, list):
            holder.extend([holder[key]] * chance.choice((1, 1, 2, 70)))
        case 3:
            other, place = places[chance.randrange(len(places))]
            # A copy, because the exchange could make a document that holds itself.
            holder[key] = json.loads(json.dumps(other[place]))
        case 4:
            holder[key] = [holder[key]]
        case _:
            holder[key] = _value(chance, holder[key])
    return document


def _places(node: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    open_nodes = [node]
    while open_nodes and len(found) < 500:
        one = open_nodes.pop()
        if isinstance(one, dict | list):
            for key in list(one) if isinstance(one, dict) else range(len(one)):
                found.append((one, key))
                open_nodes.append(one[key])
    return found


def _value(chance: Chance, old: Any) -> Any:
    if isinstance(old, str) and chance.random() < 0.5:
        return change_text(chance, old)
    if isinstance(old, int | float) and chance.random() < 0.5:
        return chance.choice(NUMBERS)
    kind = chance.randrange(4)
    if kind < 2:
        return chance.choice(TEXTS)
    return chance.choice(NUMBERS) if kind == 2 else json.loads(json.dumps(chance.choice(_RARE)))


def _change_value(chance: Chance, value: int | bytes) -> int | bytes:
    if isinstance(value, int):
        if chance.random() < 0.3:
            return value + chance.choice((-1, 1))
        return int(chance.choice([one for one in NUMBERS if isinstance(one, int)]))
    nested = read_fields(value)
    if nested and chance.random() < 0.6:
        return change_message(chance, value)
    if chance.random() < 0.3:
        return chance.choice(TEXTS).encode("utf-8", "surrogatepass")
    return change_bytes(chance, value)


def _write_field(chance: Chance, number: int, kind: int, value: int | bytes) -> bytes:
    key = varint(number << 3 | kind)
    if isinstance(value, int):
        return key + varint(value)
    if kind != 2:
        return key + value
    length = len(value) if chance.random() > 0.03 else int(chance.choice((0, 2**32, 2**63, 5)))
    return key + varint(length) + value


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    value, shift = 0, 0
    while position < len(data):
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    return value, position
