"""The IDX format, in which MNIST and its like come."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

UNSIGNED_BYTES = 8


def read(path: Path) -> NDArray[np.uint8]:
    """An array of unsigned bytes from an IDX file, gzipped or not.

    Raises:
        ValueError: the file is not IDX, holds another type, or is shorter or longer than it says.

    Source: "The IDX file format", http://yann.lecun.com/exdb/mnist/: two zero bytes, the type, the
        number of axes; the axes' lengths, four bytes each, big end first; the values.
    """
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    zero, kind, axes = content[:2], content[2:3], content[3] if len(content) > 3 else 0
    if zero != b"\0\0" or kind != bytes([UNSIGNED_BYTES]) or not axes:
        raise ValueError(f"{path} is no IDX file of unsigned bytes: it begins {content[:4]!r}")
    start = 4 + 4 * axes
    shape = np.frombuffer(content[4:start], ">u4").astype(int)
    if len(content) - start != shape.prod():
        raise ValueError(
            f"{path} should hold {' x '.join(map(str, shape))} values. "
            f"Received: {len(content) - start}"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def find(folder: Path, name: str) -> NDArray[np.uint8]:
    """Read ``name`` or ``name.gz`` of a folder.

    Raises:
        FileNotFoundError: neither is there.
    """
    for path in (folder / name, folder / f"{name}.gz"):
        if path.exists():
            return read(path)
    raise FileNotFoundError(f"{folder} holds no {name}, nor {name}.gz: `make data` brings it")
