"""Opening files that may be anything: only regular files, and never more than is there."""

from __future__ import annotations

import os
import stat
from typing import BinaryIO

from doconv_core import messages


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a file for reading; a pipe would block for ever and a device has no end.

    Raises:
        OSError: it is a folder, a device or a pipe, is not there, or cannot be read.
    """
    # Not blocking, for else opening a pipe waits until somebody writes to it.
    descriptor = os.open(
        path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    )
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(messages.files.is_a_folder(path))
        if not stat.S_ISREG(mode):
            raise OSError(messages.files.is_no_file(path))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """The whole file, read once, so that a file replaced meanwhile is never read as a mixture.

    Raises:
        OSError: as :func:`open_regular`.
    """
    with open_regular(path) as file:
        return file.read()


def file_size(file: BinaryIO) -> int:
    """Bytes in an open file, or in a buffer; reading starts at the beginning again."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    return size
