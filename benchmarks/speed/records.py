"""A line for each table that was measured: results/speed/steps.jsonl, committed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.frame.program import RESULTS
from doconv_core.files.atomic import replacing

PATH = RESULTS / "speed" / "steps.jsonl"

Record = dict[str, Any]
"""``machine``, ``versions``, ``native``, ``framework``, ``work``, ``threads``, ``rounds``,
``plain_seconds``, and ``ratios``: those of :class:`benchmarks.frame.timing.Ratio` by way."""

KEY = ("machine", "framework", "work", "threads")
"""What there is one record of."""


def read(path: Path = PATH) -> list[Record]:
    """All of them, in the order in which they were measured first."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def write(record: Record, path: Path = PATH) -> None:
    """Put a record in, in the place of one with the same key."""
    found = {_key(each): each for each in read(path)}
    found[_key(record)] = record
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text("".join(json.dumps(each) + "\n" for each in found.values()))


def has(path: Path, **key: Any) -> bool:
    """Whether there is one with this key."""
    return any(_key(each) == tuple(key[name] for name in KEY) for each in read(path))


def _key(record: Record) -> tuple[Any, ...]:
    return tuple(record[name] for name in KEY)
