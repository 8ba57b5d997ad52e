"""What goes wrong with files: one line, an exit code, and every file as it was."""

from __future__ import annotations

import errno
import io
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="PyTorch's files need torch")
import safetensors.torch
import torch
from torch import nn

from doconv_cli.files.layers import layers
from doconv_cli.files.layers.entries import Made
from tests.cli.command import fail
from tests.cli.torch_models import (
    SUFFIXES,
    official_model,
    plain_model,
    save,
    trained,
)

ROOT = Path(__file__).parents[2]


class Payload:
    """What a pickle can hide: a call that happens when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("writer", ["torch", "pickle"])
def test_code_in_a_file_is_not_run(tmp_path: Path, writer: str) -> None:
    (tmp_path / "files").mkdir()
    file, trace = tmp_path / "files" / "file.pt", tmp_path / "trace"
    content = {"0.weight": torch.ones(2, 2, 3, 3), "payload": Payload(trace)}
    if writer == "torch":
        torch.save(content, file)
    else:
        file.write_bytes(pickle.dumps(content))
    said = {
        "torch": "at 'payload' it holds an object of 'builtins.getattr'",
        "pickle": "not a file",
    }
    assert said[writer] in fail(1, "fold", file, file.with_name("out.pt"))
    assert not trace.exists()


STATE = trained(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1))).state_dict()
THEIRS = {key: value for key, value in official_model().state_dict().items() if "stem" in key}


def changed(state: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """A state with other arrays; None takes one out."""
    return {key: value for key, value in {**state, **changes}.items() if value is not None}


ONES = torch.ones
BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "no weight": (changed(STATE, {"0.weight": None}), "layer '0' must have weight and D"),
    "no D": (changed(STATE, {"0.D": None, "0.W_extra": ONES(4, 3, 1)}), "weight and D"),
    "D of other K": (changed(STATE, {"0.D": ONES(3, 4, 9)}), "arrays of layer '0' must fit"),
    "D of other S": (changed(STATE, {"0.D": ONES(3, 9, 10)}), "arrays of layer '0' must fit"),
    "D of other I": (changed(STATE, {"0.D": ONES(4, 9, 9)}), "arrays of layer '0' must fit"),
    "D without columns": (changed(STATE, {"0.D": ONES(3, 9, 0)}), "must fit"),
    "W_extra": (changed(STATE, {"0.W_extra": ONES(4, 3, 2)}), "arrays of layer '0' must fit"),
    "weight of two axes": (changed(STATE, {"0.weight": ONES(4, 3)}), "must fit"),
    "weight of no channels": (changed(STATE, {"0.weight": ONES(4, 0, 3, 3)}), "must fit"),
    "bias": (changed(STATE, {"0.bias": ONES(3)}), "arrays of layer '0' must fit"),
    "NaN": (changed(STATE, {"0.D": torch.full((3, 9, 9), torch.nan)}), "`D` must be finite"),
    "overflow": (
        {"0.weight": ONES(1, 1, 2).half() * 6e4, "0.D": ONES(1, 2, 2).half()},
        "does not fit its type",
    ),
    "nothing to fold": ({"0.weight": ONES(4, 3, 3, 3)}, "has no DO-Conv layer"),
    "no tensors": ({"epoch": 3}, "has no DO-Conv layer"),
    "official without D": (changed(THEIRS, {"stem.D": None}), "must have W and D"),
    "official without W": (changed(THEIRS, {"stem.W": None}), "must have"),
    "official of other S": (changed(THEIRS, {"stem.W": ONES(8, 3, 8)}), "fit each other"),
    "official of another d_diag": (
        changed(THEIRS, {"stem.d_diag": ONES(1, 9, 9)}),
        "`d_diag` must have shape (3, 9, 9)",
    ),
    "both kinds of arrays": (changed(THEIRS, {"stem.weight": ONES(1)}), "must fit"),
    "an array twice": (
        changed(STATE, {"0.parametrizations.weight.original": ONES(4, 3, 3, 3)}),
        "layer '0' has its weight under two keys",
    ),
}


@pytest.mark.parametrize(("state", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_a_state_that_cannot_be_folded_is_refused(
    tmp_path: Path, state: dict[str, Any], message: str
) -> None:
    file = tmp_path / "file.pt"
    torch.save(state, file)
    hint = ("--kernel-size", "3x3") if "stem.D" in state else ()
    assert message in fail(1, "fold", file, tmp_path / "out.pt", *hint)


def damaged_torch() -> dict[str, tuple[bytes, str]]:
    buffer = io.BytesIO()
    torch.save(STATE, buffer)
    data = buffer.getvalue()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as other:
        other.writestr("other/version", "3")
    number = io.BytesIO()
    torch.save(torch.ones(3), number)
    return {
        "empty": (b"", "not a file that torch.save wrote"),
        "cut off": (data[: len(data) // 2], "damaged"),
        "end cut off": (data[:-30], "damaged"),
        "text": (b"weights: none\n", "damaged"),
        "another archive": (archive.getvalue(), "not a file that torch.save wrote"),
        "one tensor": (number.getvalue(), "not a dict or a list"),
    }


def damaged_safetensors() -> dict[str, tuple[bytes, str]]:
    data = safetensors.torch.save({k: v.contiguous() for k, v in STATE.items()})
    length = int.from_bytes(data[:8], "little")
    header, rest = data[8 : 8 + length], data[8 + length :]
    twice = header.rstrip()[:-1] + b"," + header.strip()[1:]
    return {
        "empty": (b"", "cut off"),
        "header cut off": (data[:50], "cut off"),
        "data cut off": (data[:-1], "incomplete"),
        "header longer than the file": (b"\xff" * 8 + data[8:], "cut off"),
        "header not json": (data[:8] + b"[" + data[9:], "json"),
        "every key twice": (len(twice).to_bytes(8, "little") + twice + rest, "given twice"),
        "NUL in a name": (data.replace(b'"0.D"', b'"\0.D"'), "json"),
    }


@pytest.mark.parametrize("command", ["inspect", "fold", "convert"])
@pytest.mark.parametrize(
    ("suffix", "data", "message"),
    [
        pytest.param(suffix, *case, id=f"{suffix} {name}")
        for suffix, cases in ((".pt", damaged_torch()), (".safetensors", damaged_safetensors()))
        for name, case in cases.items()
    ],
)
def test_a_damaged_file_is_refused(
    tmp_path: Path, command: str, suffix: str, data: bytes, message: str
) -> None:
    file = tmp_path / f"file{suffix}"
    file.write_bytes(data)
    out = () if command == "inspect" else (tmp_path / f"out{suffix}",)
    error = fail(1, command, file, *out)
    assert str(file) in error
    assert message in error


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "folder.pt"
    folder.mkdir()
    file = save(STATE, tmp_path / "file.pt")
    assert "is a folder" in fail(1, "fold", folder, tmp_path / "out.pt")
    assert "No such file" in fail(1, "fold", tmp_path / "missing.pt", tmp_path / "out.pt")
    assert "is a folder" in fail(1, "fold", file, folder)
    assert "folder does not exist" in fail(1, "fold", file, tmp_path / "missing" / "out.pt")


def test_the_same_file_by_another_name_is_refused(tmp_path: Path) -> None:
    file, link = save(STATE, tmp_path / "file.pt"), tmp_path / "link.pt"
    link.symlink_to(file)
    assert "another file than FILE" in fail(2, "fold", file, link)


def test_a_key_that_convert_would_make_is_not_overwritten(tmp_path: Path) -> None:
    file = save({"0.weight": ONES(4, 3, 3, 3), "0.D": ONES(4)}, tmp_path / "file.pt")
    error = fail(1, "convert", file, tmp_path / "out.pt", "--groups", "1")
    assert "it has another '0.D'" in error


USAGE = {
    "unknown format": (("fold", "file.txt", "out.txt"), "must end in one of .pt"),
    "other format": (("fold", "file.pt", "out.safetensors"), "must be of the format"),
    "the same file": (("fold", "file.pt", "file.pt"), "another file than FILE"),
    "misspelt layer": (("fold", "file.pt", "out.pt", "--transposed", "4"), "'4' fits no layer"),
    "no kernel size": (("fold", "theirs.pt", "out.pt"), "does not tell the kernel size of 1"),
    "wrong kernel size": (("fold", "theirs.pt", "out.pt", "--kernel-size", "3x4"), "9 elements"),
    "not square": (("fold", "odd.pt", "out.pt", "--kernel-size", "square"), "3 elements"),
    "no size": (("fold", "theirs.pt", "out.pt", "--kernel-size", "a=big"), "cannot be 'a=big'"),
    "no groups": (("convert", "plain.pt", "out.pt"), "groups of its 5 convolutions"),
    "zero groups": (("convert", "plain.pt", "out.pt", "--groups", "0"), "cannot be '0'"),
    "wrong groups": (("convert", "plain.pt", "out.pt", "--groups", "stem=3"), "must divide"),
    "wrong bias": (("convert", "plain.pt", "out.pt", "--groups", "wider=1"), "is it transposed"),
    "not depthwise": (("convert", "plain.pt", "out.pt", "--groups", "depthwise"), "not depthwise"),
    "nothing plain": (("convert", "file.pt", "out.pt", "--groups", "1"), "no plain convolution"),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "message"), USAGE.values(), ids=USAGE.keys())
def test_what_was_asked_wrongly_has_exit_code_2(
    tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    save(STATE, tmp_path / "file.pt")
    save(THEIRS, tmp_path / "theirs.pt")
    save({"0.W": ONES(2, 2, 3), "0.D": ONES(2, 3, 3)}, tmp_path / "odd.pt")
    save(plain_model().state_dict(), tmp_path / "plain.pt")
    command, file, out, *rest = arguments
    assert message in fail(2, command, tmp_path / file, tmp_path / out, *rest)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("existing", [True, False])
@pytest.mark.parametrize("failing", ["pieces", "fsync"])
def test_a_full_disk_leaves_all_files_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str, existing: bool, suffix: str
) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    file, out = save(STATE, tmp_path / f"file{suffix}"), tmp_path / f"out{suffix}"
    if existing:
        out.write_text("old")
    monkeypatch.setattr(*((Made, failing) if failing == "pieces" else (os, failing)), full)
    assert "No space left on device" in fail(1, "fold", file, out)


@pytest.mark.skipif(os.name != "posix", reason="limits of a process as on POSIX")
def test_a_file_that_reaches_a_real_limit_leaves_nothing(tmp_path: Path) -> None:
    file = save(STATE, tmp_path / "file.pt")
    code = (
        "import resource, sys\n"
        "import torch\n"
        "from tests.cli.command import app\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "app(sys.argv[1:])\n"
    )
    command = [sys.executable, "-c", code, "fold", str(file), str(tmp_path / "out.pt")]
    # `make coverage` would write its records under the same limit.
    variables = {k: v for k, v in os.environ.items() if k != "COVERAGE_PROCESS_CONFIG"}
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [f"error: '{tmp_path / 'out.pt'}': File too large"]
    assert [path.name for path in tmp_path.iterdir()] == ["file.pt"]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("existing", [True, False])
def test_verify_looks_before_the_file_becomes_OUT(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, existing: bool
) -> None:
    file, out = save(STATE, tmp_path / f"file{suffix}"), tmp_path / f"out{suffix}"
    if existing:
        out.write_text("old")
    fold = layers.fold_in_pieces

    def wrong(*layer: Any) -> Any:
        kernel = fold(*layer)
        kernel[0, 0] *= 1 + 2**-22  # two units in the last place, in one channel
        return kernel

    monkeypatch.setattr(layers, "fold_in_pieces", wrong)
    error = fail(1, "fold", file, out, "--verify")
    assert "the written kernel differs by" in error
