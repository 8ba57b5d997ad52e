"""Gluon's parameter files, read and written without MXNet.

A list of arrays, each with its sizes, context and type before its numbers, then their names.
Source: ``NDArray::Save`` and ``Load`` in MXNet 1.9.1's src/ndarray/ndarray.cc. Numbers are
little-endian. An array that is no dense one (sparse) is copied as it is.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from doconv_cli.files import messages as format_messages
from doconv_cli.files.formats.array_file import ArrayFile, Other, Stored, Written
from doconv_cli.files.layers.entries import RAW, Entry, OpenFile
from doconv_core import messages

_LIST = 0x112
_FIRST, _SECOND, _NUMPY = 0xF993FAC8, 0xF993FAC9, 0xF993FACA  # versions of an array
_DENSE = 0
_INDICES = {_DENSE: 0, 1: 1, 2: 2}  # arrays of indices that dense, row-sparse and CSR ones have
_TYPES = {0: ("float32", 4), 1: ("float64", 8), 2: ("float16", 2), 3: ("uint8", 1),
          4: ("int32", 4), 5: ("int8", 1), 6: ("int64", 8), 7: ("bool", 1), 8: ("int16", 2),
          9: ("uint16", 2), 10: ("uint32", 4), 11: ("uint64", 8), 12: ("bfloat16", 2)}  # fmt: skip
_FLAGS = {name: flag for flag, (name, _) in _TYPES.items()}
_AXES = 64
_LONGEST = 1 << 20  # bytes of a name
_CPU = struct.pack("<ii", 1, 0)


class GluonFile(ArrayFile):
    """What ``block.save_parameters``, ``ParameterDict.save`` or ``mx.nd.save`` wrote."""

    separators = "._"
    source = "gluon"
    dtypes = ("float16", "float32", "float64")

    def read(self, path: Path) -> dict[str, Stored]:
        reader = _Reader(OpenFile(path), path)
        magic, _, count = reader.unpack("<QQQ")
        if magic != _LIST:
            raise reader.refuse()
        arrays = []
        for _ in range(count):  # each has bytes, so that a wrong number ends with the file
            arrays.append(reader.array())
        (named,) = reader.unpack("<Q")
        if count and not named:
            raise ValueError(messages.files.bad_file(path, "its arrays have no names"))
        if named != count:
            raise reader.refuse()
        contents: dict[str, Stored] = {}
        for array in arrays:
            name = reader.name()
            if name in contents:
                raise ValueError(messages.files.bad_file(path, f"{name!r} is given twice"))
            contents[name] = array
        if reader.position != reader.source.size:
            raise reader.refuse()
        return contents

    def write(self, contents: list[Written], temporary: Path) -> None:
        with temporary.open("wb") as file:
            file.write(struct.pack("<QQQ", _LIST, 0, len(contents)))
            for new in contents:
                file.writelines(_pieces(new.content))  # keeps no array while the next is made
            file.write(struct.pack("<Q", len(contents)))
            for new in contents:
                name = new.key.encode("utf-8", "surrogateescape")
                file.write(struct.pack("<Q", len(name)) + name)


def _pieces(content: Stored) -> Iterator[bytes | memoryview]:
    """An array with what stands before its numbers."""
    if isinstance(content, Other):
        yield from content.node.pieces()
        return
    sizes = struct.pack(f"<i{len(content.shape)}q", len(content.shape), *content.shape)
    yield struct.pack("<Ii", _SECOND, _DENSE) + sizes + _CPU
    yield struct.pack("<i", _FLAGS[content.dtype])
    yield from content.pieces()


class _Reader:
    """Goes through a file without reading its numbers."""

    def __init__(self, source: OpenFile, path: Path) -> None:
        self.source, self.path, self.position = source, path, 0

    def refuse(self) -> ValueError:
        return ValueError(messages.files.bad_file(self.path, format_messages.NOT_GLUON))

    def unpack(self, form: str) -> tuple[Any, ...]:
        return struct.unpack(form, self._bytes(struct.calcsize(form)))

    def name(self) -> str:
        (length,) = self.unpack("<Q")
        if length > _LONGEST:
            raise self.refuse()
        return self._bytes(length).decode("utf-8", "surrogateescape")

    def array(self) -> Stored:
        start = self.position
        (version,) = self.unpack("<I")
        if version in (_FIRST, _SECOND, _NUMPY):
            kind = self.unpack("<i")[0] if version != _FIRST else _DENSE
            indices = _INDICES.get(kind)
            if indices is None:
                raise self.refuse()
            if indices:  # what MXNet writes here is not the number of what it stores
                self._shape()
            shape = self._shape()
        else:  # the oldest files begin with the number of axes
            if version > _AXES:
                raise self.refuse()
            shape, indices = self.unpack(f"<{version}I"), 0
        nothing = -1 in shape if version == _NUMPY else not shape or 0 in shape
        if nothing and not indices:  # an array that was never filled ends here
            return Other(self._region(start))
        self.unpack("<ii")
        dtype, itemsize = self._type()
        beside = [(self._type()[1], math.prod(self._shape())) for _ in range(indices)]
        begin = self.position
        numbers = math.prod(shape)
        if indices:  # by row, or one by one
            numbers = beside[-1][1] * (math.prod(shape[1:]) if indices == 1 else 1)
        nbytes = numbers * itemsize
        for size in (nbytes, *(size * count for size, count in beside)):
            self._skip(size)
        if indices or dtype not in RAW:
            return Other(self._region(start))
        return Entry(dtype, shape, self.source, begin, nbytes)

    def _type(self) -> tuple[str, int]:
        (flag,) = self.unpack("<i")
        if flag not in _TYPES:
            raise self.refuse()
        return _TYPES[flag]

    def _shape(self) -> tuple[int, ...]:
        (axes,) = self.unpack("<i")
        if not -1 <= axes <= _AXES:
            raise self.refuse()
        shape = self.unpack(f"<{max(axes, 0)}q")
        if any(not -1 <= size < 2**60 for size in shape):
            raise self.refuse()
        return (-1,) if axes < 0 else shape

    def _region(self, start: int) -> Entry:
        return Entry("bytes", (), self.source, start, self.position - start)

    def _bytes(self, count: int) -> bytes:
        start = self.position
        self._skip(count)
        buffer = bytearray(count)
        self.source.read_into(buffer, start)
        return bytes(buffer)

    def _skip(self, count: int) -> None:
        if not 0 <= count <= self.source.size - self.position:
            raise self.refuse()
        self.position += count
