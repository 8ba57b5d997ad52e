"""Damage, by a seed: what disks, networks and attackers do to a file."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63, 2**64 - 1)


def mutants(data: bytes, seed: int, count: int) -> Iterator[bytes]:
    """Files that differ from a sound one in one to four places."""
    rng = random.Random(seed)
    for _ in range(count):
        changed = bytearray(data)
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            rng.choice(_DAMAGES)(rng, changed)
        yield bytes(changed)


def _where(rng: random.Random, data: bytearray) -> int:
    """Anywhere; half of the time among the first or last bytes, where headers are."""
    size = max(1, len(data))
    near = rng.randrange(min(size, 2000))
    return rng.choice((rng.randrange(size), rng.randrange(size), near, size - 1 - near))


def _flip(rng: random.Random, data: bytearray) -> None:
    if data:
        data[_where(rng, data)] ^= 1 << rng.randrange(8)


def _byte(rng: random.Random, data: bytearray) -> None:
    if data:
        data[_where(rng, data)] = rng.randrange(256)


def _number(rng: random.Random, data: bytearray) -> None:
    size, start = rng.choice((1, 2, 4, 8)), _where(rng, data)
    value = rng.choice(_NUMBERS) % 256**size
    data[start : start + size] = value.to_bytes(size, "little")


def _digits(rng: random.Random, data: bytearray) -> None:
    """Another number where one is written out."""
    found = [match.span() for match in re.finditer(rb"\d+", data)]
    if found:
        start, end = rng.choice(found)
        data[start:end] = str(rng.choice((*_NUMBERS, -1))).encode()


def _cut(rng: random.Random, data: bytearray) -> None:
    del data[_where(rng, data) :]


def _remove(rng: random.Random, data: bytearray) -> None:
    start = _where(rng, data)
    del data[start : start + rng.choice((1, 2, 8, 64, 1000))]


def _repeat(rng: random.Random, data: bytearray) -> None:
    start = _where(rng, data)
    part = data[start : start + rng.choice((1, 4, 16, 200, 2000))]
    data[start:start] = part * rng.choice((1, 1, 2, 50))


def _move(rng: random.Random, data: bytearray) -> None:
    size = rng.choice((1, 4, 16, 200))
    source, target = _where(rng, data), _where(rng, data)
    data[target : target + size] = data[source : source + size]


def _zeros(rng: random.Random, data: bytearray) -> None:
    start, size = _where(rng, data), rng.choice((1, 8, 100, 4096))
    data[start : start + size] = bytes(len(data[start : start + size]))


_DAMAGES = (
    _flip,
    _flip,
    _byte,
    _byte,
    _number,
    _number,
    _digits,
    _cut,
    _remove,
    _repeat,
    _move,
    _zeros,
)
