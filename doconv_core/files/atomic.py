"""Writing a file whole or not at all: beside it first, then one rename."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from doconv_core import messages


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give the body a temporary file to write; when it ends well, that becomes ``path``.

    A reader finds the old file or the new one, never a part. The temporary file lies in the same
    folder and ends in the same suffixes, for libraries that choose a format by them. A symbolic
    link stays, and what it points to is replaced. The new file has the old one's permissions, or
    those of the umask.

    Args:
        path: the file to be.

    Yields:
        The temporary file, empty.

    Raises:
        OSError: ``path`` is a folder or a device, or lies in no folder, or writing fails (a full
            disk); ``path`` is then as it was and the temporary file is gone.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "notes.txt"
        >>> with replacing(path) as temporary:
        ...     _ = temporary.write_text("all of it")
        >>> path.read_text()
        'all of it'
    """
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(messages.files.is_a_folder(path))
    if target.exists() and not target.is_file():  # /dev/null must not become a file
        raise OSError(messages.files.is_no_file(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(messages.files.no_such_folder(path))
    temporary = target.with_name(f".{secrets.token_hex(4)}{target.name[-200:]}")
    try:
        # Unlike mkstemp, which gives 0600, this leaves the permissions to the umask.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        if target.exists():
            mode = stat.S_IMODE(target.stat().st_mode)
        else:
            mode = stat.S_IMODE(temporary.stat().st_mode)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(mode)
        os.replace(temporary, target)
    except OSError as error:
        if error.errno and error.filename in (None, str(temporary)):  # nobody knows that name
            error.filename = os.fspath(path)
        raise
    finally:
        with suppress(FileNotFoundError):  # after the rename there is nothing left to remove
            temporary.unlink()
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself outlive a power cut, where the system can."""
    with suppress(OSError):  # Windows cannot open a folder; the file is complete either way
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
