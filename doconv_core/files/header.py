"""A safetensors file's header, read with the checks that the library leaves out.

safetensors 0.8.0 lets pass: a name given twice (the later one wins silently), names with NUL, and
empty arrays of sizes that NumPy cannot hold. Nothing but the header is read here, and nothing is
allocated for what it claims.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from typing import Any, BinaryIO, NamedTuple, TypeGuard

from doconv_core import messages
from doconv_core.files.reading import file_size

_LONGEST = 100_000_000  # bytes; the library's own limit
_METADATA = "__metadata__"
_BITS = {"F64": 64, "F32": 32, "F16": 16, "BF16": 16, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8,
         "F4": 4, "I64": 64, "I32": 32, "I16": 16, "I8": 8, "U64": 64, "U32": 32, "U16": 16,
         "U8": 8, "BOOL": 8, "C64": 64}  # fmt: skip


class ArrayEntry(NamedTuple):
    """Where an array lies.

    Attributes:
        dtype: the format's name of its type, such as "F32" or "BF16".
        shape: its sizes.
        begin: first byte in the file.
        end: the byte after its last.
    """

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


class Header(NamedTuple):
    """What a header says.

    Attributes:
        arrays: name to place, in the header's order.
        metadata: the file's free texts.
    """

    arrays: dict[str, ArrayEntry]
    metadata: dict[str, str]


def read_header(file: BinaryIO, path: str | os.PathLike[str]) -> Header:
    """Read and check the header of a safetensors file.

    Args:
        file: the file, opened.
        path: its name, for error messages.

    Raises:
        ValueError: the file is cut off, not safetensors, its names or sizes are not sound, or its
            arrays do not lie one behind the other to the file's end.
    """

    def refuse(fault: str) -> ValueError:
        return ValueError(messages.files.bad_file(path, fault))

    size = file_size(file)
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > min(size - 8, _LONGEST):
        raise refuse("it is cut off, or not a safetensors file")
    try:
        header = json.loads(file.read(length), object_pairs_hook=_without_repeats)
    except _RepeatedError as repeated:
        raise refuse(f"{repeated.args[0]!r} is given twice") from repeated
    except (ValueError, RecursionError) as fault:
        raise refuse("its header is not json") from fault
    if not isinstance(header, dict):
        raise refuse("its header is not a json object")
    metadata = header.pop(_METADATA, {})
    if not _is_texts(metadata):
        raise refuse("its metadata are not texts")
    arrays = {}
    for name, entry in header.items():
        if not name.isprintable():
            raise refuse(f"an array's name has unprintable characters: {name!r}")
        entry = entry if isinstance(entry, dict) else {}
        shape, dtype, place = (entry.get(key) for key in ("shape", "dtype", "data_offsets"))
        if not _is_shape(shape):
            raise refuse(f"the sizes of {name!r} are not sound")
        if not isinstance(dtype, str) or dtype not in _BITS:
            raise refuse(f"{name!r} is of the unknown type {dtype!r}")
        if not _is_place(place):
            raise refuse(f"the place of {name!r} is not sound")
        if math.prod(shape) * _BITS[dtype] != 8 * (place[1] - place[0]):
            raise refuse(f"the sizes of {name!r} do not fit its bytes")
        start = 8 + length
        arrays[name] = ArrayEntry(dtype, tuple(shape), start + place[0], start + place[1])
    position = 8 + length
    for name, own in sorted(arrays.items(), key=lambda item: item[1][2:]):
        if own.begin != position:
            raise refuse(f"{name!r} does not begin where the array before it ends")
        position = own.end
    if position != size:
        raise refuse("it is incomplete, or has bytes that are of no array")
    return Header(arrays, metadata)


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


def _is_shape(shape: Any) -> TypeGuard[list[int]]:
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        return False
    sizes: list[int] = shape
    # An empty array has no data to contradict its other sizes.
    return math.prod(max(size, 1) for size in sizes) < 2**60


def _is_place(place: Any) -> TypeGuard[list[int]]:
    if not isinstance(place, list) or not all(type(byte) is int for byte in place):
        return False
    return len(place) == 2 and 0 <= place[0] <= place[1]
