"""A safetensors file's header, read with the checks that the library leaves out.

safetensors 0.8.0 lets pass: a name given twice (the later one wins silently), names with NUL, and
empty arrays of sizes that NumPy cannot hold. Data offsets and types are left to the library.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

from doconv_core import messages

_LONGEST = 100_000_000  # bytes; the library's own limit
_METADATA = "__metadata__"


class Header(NamedTuple):
    """What a header says.

    Attributes:
        dtypes: array name to the format's name of its type, such as "F32" or "BF16".
        metadata: the file's free texts.
    """

    dtypes: dict[str, str]
    metadata: dict[str, str]


def read_header(data: bytes, path: str | os.PathLike[str]) -> Header:
    """Read and check the header of a safetensors file.

    Args:
        data: the whole file.
        path: its name, for error messages.

    Raises:
        ValueError: the file is cut off, not safetensors, or its names or sizes are not sound.
    """

    def refuse(fault: str) -> ValueError:
        return ValueError(messages.files.bad_file(path, fault))

    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(len(data) - 8, _LONGEST):
        raise refuse("it is cut off, or not a safetensors file")
    try:
        header = json.loads(data[8 : 8 + length], object_pairs_hook=_without_repeats)
    except _RepeatedError as repeated:
        raise refuse(f"{repeated.args[0]!r} is given twice") from repeated
    except (ValueError, RecursionError) as fault:
        raise refuse("its header is not json") from fault
    if not isinstance(header, dict):
        raise refuse("its header is not a json object")
    metadata = header.pop(_METADATA, {})
    if not _is_texts(metadata):
        raise refuse("its metadata are not texts")
    dtypes = {}
    for name, entry in header.items():
        if not name.isprintable():
            raise refuse(f"an array's name has unprintable characters: {name!r}")
        if not isinstance(entry, dict) or not _is_shape(entry.get("shape")):
            raise refuse(f"the sizes of {name!r} are not sound")
        dtypes[name] = str(entry.get("dtype"))
    return Header(dtypes, metadata)


class _RepeatedError(Exception):
    """A key that a json object has twice."""


def _without_repeats(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _RepeatedError(key)
        found[key] = value
    return found


def _is_texts(metadata: Any) -> bool:
    if not isinstance(metadata, dict):
        return False
    return all(isinstance(text, str) for text in metadata.values())


def _is_shape(shape: Any) -> bool:
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        return False
    sizes: list[int] = shape
    # An empty array has no data to contradict its other sizes.
    return math.prod(max(size, 1) for size in sizes) < 2**60
