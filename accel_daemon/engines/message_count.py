"""Counts the messages inside a serialized protobuf message, before it is parsed.

Two bytes on the wire can become a message of more than a hundred bytes in memory. Counting them
first, without building anything, keeps a small file from becoming all of a host's memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from mmap import mmap
from typing import Any

_VARINT, _FIXED64, _BYTES, _GROUP, _GROUP_END, _FIXED32 = range(6)
_LEAST_BYTES = 2  # of a message inside another one: its tag and its length


def count_messages(data: bytes | mmap, descriptor: Any, most: int) -> int:
    """How many messages are in a serialized message; counting ends above `most`.

    Unknown fields and what does not parse count as nothing: the parser skips or refuses them.

    Args:
        data: the serialized message.
        descriptor: its protobuf descriptor.
        most: where counting may end.
    """
    if len(data) // _LEAST_BYTES <= most:
        return 0  # there is no room for more
    count = 0
    waiting = [(0, len(data), descriptor)]
    while waiting and count <= most:
        position, end, kind = waiting.pop()
        inner = _message_fields(kind)
        while position < end and count <= most:
            tag, position = _varint(data, position, end)
            wire = tag & 7
            if wire == _BYTES:
                length, position = _varint(data, position, end)
                if tag >> 3 in inner:
                    count += 1
                    waiting.append((position, min(position + length, end), inner[tag >> 3]))
                position += length
            elif wire == _VARINT:
                _, position = _varint(data, position, end)
            elif wire in (_FIXED32, _FIXED64):
                position += 4 if wire == _FIXED32 else 8
            elif wire not in (_GROUP, _GROUP_END):  # what is in a group counts as if it were not
                break
    return count


@cache
def _message_fields(descriptor: Any) -> Mapping[int, Any]:
    """The message types of a message's fields, by number."""
    return {f.number: f.message_type for f in descriptor.fields if f.message_type is not None}


def _varint(data: bytes | mmap, position: int, end: int) -> tuple[int, int]:
    """A number and where it ends; at the end of the data zero."""
    value = shift = 0
    while position < end and shift < 70:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    return 0, end
