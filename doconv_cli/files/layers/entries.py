"""Arrays as they lie in files: read one at a time, when they are needed, and copied in pieces."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from doconv_core.files.reading import open_regular

Array = NDArray[Any]

PIECE = 1 << 20
"""Bytes that are copied at a time."""

RAW = {"float16": "<f2", "bfloat16": "<u2", "float32": "<f4", "float64": "<f8"}
"""A convolution's types, and what NumPy stores their bytes as: it has no bfloat16."""


class _Window(io.RawIOBase):
    """A part of a file, as a file."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._whole, self._start, self._size, self._position = file, start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._position = offset + {0: 0, 1: self._position, 2: self._size}[whence]
        if self._position < 0:
            raise ValueError("before the beginning")
        return self._position

    def readinto(self, buffer: Any) -> int:
        count = max(0, min(len(buffer), self._size - self._position))
        self._whole.seek(self._start + self._position)
        data = self._whole.read(count)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


class OpenFile:
    """A file whose parts are read at any time; it stays the same file if it is replaced.

    Args:
        path: the file.
        start: the first byte of it that counts.
        size: how many do; None for all to its end.
    """

    def __init__(self, path: Path, start: int = 0, size: int | None = None) -> None:
        self.path = path
        whole: BinaryIO = open_regular(path)
        length = os.fstat(whole.fileno()).st_size
        self.size = length - start if size is None else size
        self._file = self._whole = whole
        if not 0 <= start <= start + self.size <= length:
            raise ValueError(f"{str(path)!r} is shorter than what refers to it says")
        if size is not None:
            self._file = cast("BinaryIO", io.BufferedReader(_Window(whole, start, size)))

    def __del__(self) -> None:
        if hasattr(self, "_whole"):
            self._file.close()
            self._whole.close()

    @property
    def file(self) -> BinaryIO:
        """The file, at its beginning."""
        self._file.seek(0)
        return self._file

    def read_into(self, buffer: Any, offset: int) -> None:
        """Fill a buffer from there on; OSError where the file has meanwhile become shorter."""
        view = memoryview(buffer).cast("B")
        self._file.seek(offset)
        done = 0
        while done < len(view):
            count = self._file.readinto(view[done:])  # type: ignore[attr-defined]
            if not count:
                raise OSError(f"{str(self.path)!r} was changed while it was read")
            done += count


@dataclass(frozen=True)
class Entry:
    """An array in a file.

    Attributes:
        dtype: the name of its type; those of RAW can be computed with, others only copied.
        shape: its sizes.
        source: the file.
        offset: its first byte there.
        nbytes: how many it has.
        strides: in elements, where the file has them in another order than C's.
    """

    dtype: str
    shape: tuple[int, ...]
    source: OpenFile
    offset: int
    nbytes: int
    strides: tuple[int, ...] | None = None

    def raw(self) -> Array:
        """The whole array, the caller's own, as RAW says; 16 bits of bfloat16 stay as they are."""
        kind = np.dtype(RAW[self.dtype])
        if self.strides is None:
            array = np.empty(self.shape, kind)
            self.source.read_into(array.reshape(-1).view(np.uint8), self.offset)
            return array
        flat = np.empty(self.nbytes // kind.itemsize, kind)
        self.source.read_into(flat.view(np.uint8), self.offset)
        strides = [stride * kind.itemsize for stride in self.strides]
        return np.array(np.lib.stride_tricks.as_strided(flat, self.shape, strides), order="C")

    def numpy(self) -> Array:
        """The whole array, exactly; bfloat16 as float32."""
        return widened(self.raw(), self.dtype)

    def pieces(self) -> Iterator[memoryview]:
        """Its bytes, in the file's order."""
        buffer = memoryview(bytearray(min(PIECE, self.nbytes)))
        for start in range(0, self.nbytes, PIECE):
            piece = buffer[: min(PIECE, self.nbytes - start)]
            self.source.read_into(piece, self.offset + start)
            yield piece


@dataclass(frozen=True)
class Made:
    """An array that is computed when it is written.

    Attributes:
        dtype: one of RAW's.
        shape: its sizes.
        make: gives it, as RAW says.
    """

    dtype: str
    shape: tuple[int, ...]
    make: Callable[[], Array]

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * np.dtype(RAW[self.dtype]).itemsize

    def pieces(self) -> Iterator[memoryview]:
        """Its bytes, in C order."""
        array = np.ascontiguousarray(self.make())
        assert array.shape == self.shape
        assert array.dtype == np.dtype(RAW[self.dtype])
        data = array.reshape(-1).view(np.uint8).data
        for start in range(0, len(data), PIECE):
            yield data[start : start + PIECE]


Content = Entry | Made


def zeros(shape: tuple[int, ...], dtype: str) -> Made:
    """An array of zeros."""
    return Made(dtype, shape, lambda: np.zeros(shape, RAW[dtype]))


def held(array: Array, dtype: str) -> Made:
    """An array that is in memory already, in float32 or wider for bfloat16."""
    return Made(dtype, array.shape, lambda: narrowed(array, dtype))


def widened(raw: Array, dtype: str) -> Array:
    """From an array's stored form to numbers; bfloat16 to float32."""
    return (raw.astype(np.uint32) << 16).view(np.float32) if dtype == "bfloat16" else raw


def narrowed(numbers: Array, dtype: str) -> Array:
    """From numbers that a type holds exactly to its stored form."""
    if dtype != "bfloat16":
        return numbers.astype(RAW[dtype])
    bits = np.ascontiguousarray(numbers, np.float32).view(np.uint32) >> 16
    return bits.astype(np.uint16).reshape(numbers.shape)
