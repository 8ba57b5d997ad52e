"""Writing a file whole or not at all, and what a file is when nothing can be written."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from doconv_core.files.atomic import _host, making_folder, replacing

ROOT = Path(__file__).parents[2]
POSIX = pytest.mark.skipif(os.name != "posix", reason="permissions and links as on POSIX")


def write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text)


def test_a_reader_sees_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "model.weights.h5"
    path.write_text("old")
    with replacing(path) as temporary:
        assert temporary.parent == path.parent
        assert temporary.name.endswith(".weights.h5")
        temporary.write_text("half")
        assert path.read_text() == "old"
        temporary.write_text("whole")
    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("failing", ["write", "fsync", "replace"])
@pytest.mark.parametrize("existing", [True, False])
def test_a_full_disk_leaves_everything_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, existing: bool, failing: str
) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "file"
    if existing:
        path.write_text("old")
    owner = (Path, "write_text") if failing == "write" else (os, failing)
    monkeypatch.setattr(*owner, full)
    with pytest.raises(OSError, match="No space left") as caught:
        write(path, "new")
    assert caught.value.filename == str(path)
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == [path] * existing
    assert not existing or path.read_text() == "old"


def test_an_interrupt_leaves_everything_as_it_was(tmp_path: Path) -> None:
    def write_half() -> None:
        with replacing(tmp_path / "file") as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert not list(tmp_path.iterdir())


def test_a_folder_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def write_half() -> None:
        with making_folder(tmp_path / "folder") as temporary:
            (temporary / "file").write_text("half")
            raise OSError(errno.ENOSPC, "full", str(temporary / "file"))

    with pytest.raises(OSError, match="full") as caught:
        write_half()
    assert caught.value.filename == str(tmp_path / "folder")
    assert not list(tmp_path.iterdir())


@POSIX
@pytest.mark.parametrize(
    ("process", "here", "stays"),
    [
        (2**22 + 1, True, False),  # above Linux's greatest
        (os.getpid(), True, True),
        (2**22 + 1, False, True),
        (9_999_999_999, True, True),
    ],
    ids=["dead", "alive", "on another machine", "of no system"],
)
@pytest.mark.parametrize("folder", [False, True], ids=["file", "folder"])
def test_what_a_killed_process_left_is_removed_by_the_next(
    process: int, here: bool, stays: bool, folder: bool, tmp_path: Path
) -> None:
    left = tmp_path / f".doconv-{_host() if here else '0' * 8}-{process}-{'a' * 8}-file"
    left.mkdir() if folder else left.touch()
    write(tmp_path / "file", "new")
    assert left.exists() == stays


def test_a_folder_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="is a folder, not a file"):
        write(tmp_path, "new")
    with pytest.raises(FileNotFoundError, match="its folder does not exist"):
        write(tmp_path / "missing" / "file", "new")


@POSIX
def test_a_device_or_pipe_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a file"):
        write(tmp_path / "pipe", "new")
    assert (tmp_path / "pipe").is_fifo()


@POSIX
@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_a_new_file_has_the_permissions_of_the_umask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        write(tmp_path / "file", "new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o666 & ~mask


@POSIX
def test_a_replaced_file_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    path.chmod(0o640)
    write(path, "new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@POSIX
@pytest.mark.parametrize("dangling", [False, True])
def test_a_link_stays_and_what_it_points_to_is_replaced(tmp_path: Path, dangling: bool) -> None:
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere" / "file", tmp_path / "link"
    if not dangling:
        target.write_text("old")
    link.symlink_to(target)
    write(link, "new")
    assert link.is_symlink()
    assert not target.is_symlink()
    assert target.read_text() == "new"
    assert list(target.parent.iterdir()) == [target]


def test_without_safetensors_the_core_imports_and_the_error_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['safetensors'] = None\n"
        "import doconv_core\n"
        "from doconv_core import checkpoint\n"
        "try: checkpoint.save('x', {})\n"
        "except ImportError as error: print(error)\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True)
    assert "pip install safetensors" in done.stdout
