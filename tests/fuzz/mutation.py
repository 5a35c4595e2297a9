"""Bytes made wrong on purpose: what a broken sender, a broken disk or a hostile peer would make of good ones."""

import struct
from collections.abc import Callable
from random import Random

ODD_NUMBERS = (0, 1, 2, 7, 0x7F, 0xFF, 0x101, 0x7FFF, 0xFFFE, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)
MOST_AT_ONCE = 6


def mutated(content: bytes, chance: Random, within: int | None = None) -> bytes:
    """`content` after one to six changes drawn by chance, in its first `within` bytes (None: anywhere)."""
    for _ in range(chance.randint(1, MOST_AT_ONCE)):
        limit = len(content) if within is None else min(within, len(content))
        content = chance.choice(CHANGES)(content, chance.randrange(limit + 1), chance)
    return content


def _flip(content: bytes, at: int, chance: Random) -> bytes:
    return content[:at] + bytes(byte ^ (1 << chance.randrange(8)) for byte in content[at : at + 1]) + content[at + 1 :]


def _number(content: bytes, at: int, chance: Random) -> bytes:
    """A number of two or four bytes, in either order, where a length may lie."""
    form = chance.choice(("<H", ">H", "<L", ">L"))
    size = struct.calcsize(form)
    return content[:at] + struct.pack(form, chance.choice(ODD_NUMBERS) % 256**size) + content[at + size :]


def _cut(content: bytes, at: int, _chance: Random) -> bytes:
    return content[:at]


def _remove(content: bytes, at: int, chance: Random) -> bytes:
    return content[:at] + content[at + chance.randint(1, 64) :]


def _insert(content: bytes, at: int, chance: Random) -> bytes:
    return content[:at] + chance.randbytes(chance.randint(1, 64)) + content[at:]


def _repeat(content: bytes, at: int, chance: Random) -> bytes:
    return content[:at] + content[at : at + chance.randint(1, 256)] * chance.randint(2, 40) + content[at:]


def _move(content: bytes, at: int, chance: Random) -> bytes:
    piece, target = content[at : at + chance.randint(2, 128)], chance.randrange(len(content) + 1)
    return content[:target] + piece + content[target + len(piece) :]


CHANGES: tuple[Callable[[bytes, int, Random], bytes], ...] = (
    _flip,
    _flip,
    _number,
    _number,
    _cut,
    _remove,
    _insert,
    _repeat,
    _move,
)
