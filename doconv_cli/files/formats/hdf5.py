"""HDF5 files that may be anybody's: what they hold, without following them elsewhere.

An HDF5 file can name other files, whose bytes would then be read as its own, and can claim arrays
of any size. Neither is read here before it was checked.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import h5py

from doconv_cli.files.formats.limits import Limits

_DEEPEST = 64


def datasets(group: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Every dataset, with its path.

    Raises:
        ValueError: something lies in another file, or groups are nested without end.
    """
    if depth > _DEEPEST:
        raise ValueError("its groups are nested too deeply")
    for name in group:
        link = group.get(name, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            raise ValueError(f"{path + name!r} lies in another file")
        if isinstance(link, h5py.SoftLink):
            raise ValueError(f"{path + name!r} is a link")
        item = group[name]
        if isinstance(item, h5py.Group):
            yield from datasets(item, f"{path}{name}/", depth + 1)
        elif isinstance(item, h5py.Dataset):
            if item.is_virtual or item.external:
                raise ValueError(f"{path + name!r} lies in another file")
            yield path + name, item


def check(file: Any, size: int, limits: Limits) -> None:
    """Look at every dataset before anything is read.

    Args:
        file: the open h5py.File.
        size: its bytes.
        limits: how large they may become.

    Raises:
        ValueError: as :func:`datasets`, or one claims bytes that are not there.
        UsageError: they would become larger than the limits.
    """
    claimed = 0
    for path, item in datasets(file):
        stored = item.id.get_storage_size()
        if stored > size or (
            item.chunks is None and stored < item.nbytes and item.nbytes > 1 << 16
        ):
            raise ValueError(f"{path!r} claims more bytes than there are")
        claimed += item.nbytes
    limits.check_expanded(claimed, size)


def check_file(source: Path | IO[bytes], size: int, limits: Limits) -> None:
    """:func:`check` for a file by its path, or in an archive.

    What cannot be opened passes: it is the reader's to refuse.
    """
    try:
        file = h5py.File(source, "r")
    except Exception:  # whatever a damaged file leads to
        return
    with file:
        try:
            check(file, size, limits)
        except (OSError, RuntimeError, KeyError, TypeError, AttributeError) as fault:
            raise ValueError("its weights are damaged") from fault
