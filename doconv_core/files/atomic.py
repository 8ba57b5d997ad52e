"""Writing a file, or a folder of files, whole or not at all: beside it first, then one rename."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from doconv_core import messages

_NAME_BYTES = 255  # what file systems allow
_STALE = re.compile(
    r"\.doconv-(?P<host>[0-9a-f]{8})-(?P<process>\d{1,10})-[0-9a-f]{8}-.*", re.DOTALL
)


@contextmanager
def replacing(path: str | os.PathLike[str], mode: int | None = None) -> Iterator[Path]:
    """Give the body a temporary file to write; when it ends well, that becomes ``path``.

    A reader finds the old file or the new one, never a part. The temporary file lies in the same
    folder and ends in the same suffixes, for libraries that choose a format by them. A symbolic
    link stays, and what it points to is replaced. What a killed process of this machine left in
    the folder is removed.

    Args:
        path: the file to be.
        mode: a new file's permissions; None for those of the umask. A file that was there keeps
            its own.

    Yields:
        The temporary file, empty, which nobody else can read until it is whole.

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
    target = _target(path)
    if target.is_dir():
        raise IsADirectoryError(messages.files.is_a_folder(path))
    if target.exists() and not target.is_file():  # /dev/null must not become a file
        raise OSError(messages.files.is_no_file(path))
    temporary = _temporary(target)
    try:
        # Unlike mkstemp, which gives 0600, this leaves the permissions to the umask.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        if target.exists():
            mode = stat.S_IMODE(target.stat().st_mode)
        elif mode is None:
            mode = stat.S_IMODE(temporary.stat().st_mode)
        temporary.chmod(0o600)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(mode)
        os.replace(temporary, target)
    except OSError as error:
        _rename_error(error, temporary, path)
        raise
    finally:
        with suppress(FileNotFoundError):  # after the rename there is nothing left to remove
            temporary.unlink()
    _sync_folder(target.parent)


@contextmanager
def making_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """The same for a new folder: the body fills a temporary one, which then becomes ``path``.

    Raises:
        OSError: there is something at ``path`` already (an empty folder is taken), it lies in no
            folder, or writing fails; nothing is left then.
    """
    target = _target(path)
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise FileExistsError(messages.files.is_there(path))
    temporary = _temporary(target)
    try:
        temporary.mkdir()
        yield temporary
        for file in temporary.iterdir():
            with file.open("rb+") as opened:
                os.fsync(opened.fileno())
        _sync_folder(temporary)
        os.replace(temporary, target)
    except OSError as error:
        _rename_error(error, temporary, path)
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _sync_folder(target.parent)


def _target(path: str | os.PathLike[str]) -> Path:
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(messages.files.no_such_folder(path))
    _remove_stale(target.parent)
    return target


def _temporary(target: Path) -> Path:
    start = f".doconv-{_host()}-{os.getpid()}-{secrets.token_hex(4)}-"
    # The end of the name, in whole characters, as far as it fits.
    end = os.fsencode(target.name)[len(start) - _NAME_BYTES :].decode("utf-8", "ignore")
    return target.with_name(start + end)


def _host() -> str:
    return f"{zlib.crc32(socket.gethostname().encode()):08x}"


def _remove_stale(folder: Path) -> None:
    """Remove what killed processes left; only those of this machine can be known to be dead."""
    with suppress(OSError):  # a folder that cannot be listed, or a file of somebody else's
        for entry in folder.iterdir():
            match = _STALE.fullmatch(entry.name)
            if match and match["host"] == _host() and _is_dead(int(match["process"])):
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry, ignore_errors=True)
                else:
                    entry.unlink(missing_ok=True)


def _is_dead(process: int) -> bool:
    if os.name != "posix":  # there a signal 0 would end it
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


def _rename_error(error: OSError, temporary: Path, path: str | os.PathLike[str]) -> None:
    """Let an error of the system name the file that the caller knows."""
    if error.errno and (error.filename is None or str(error.filename).startswith(str(temporary))):
        error.filename = os.fspath(path)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself outlive a power cut, where the system can."""
    with suppress(OSError):  # Windows cannot open a folder; the file is complete either way
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
