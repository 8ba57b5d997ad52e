"""The command as a process: what it prints where, its signals, and what it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="PyTorch's files need torch")
import torch
from torch import nn
from typer.testing import CliRunner

from doconv_cli import main
from tests.cli.command import fail, run, succeed
from tests.cli.torch_models import save, trained

ROOT = Path(__file__).parents[2]
POSIX = pytest.mark.skipif(os.name != "posix", reason="signals, modes and devices as on POSIX")
STATE = trained(nn.Sequential(nn.Conv2d(3, 4, 3))).state_dict()


def doconv(*arguments: str | Path, before: str = "", **options: Any) -> Any:
    """Run the command in a process of its own, after some lines of Python."""
    code = f"import sys\n{before}\nfrom doconv_cli.__main__ import main\nmain()\n"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    options = {"capture_output": True, "text": True, "timeout": 120, **options}
    return subprocess.run(command, cwd=ROOT, **options)


# --- names in files may be anything -------------------------------------------------------

NAMES = {
    "rich markup": "[/red]",
    "a style": "[bold]x[/bold]",
    "a color": "\x1b[31mred",
    "a title": "\x1b]0;owned\x07",
    "a link": "\x1b]8;;http://x\x1b\\x\x1b]8;;\x1b\\",
    "a new line": "a\nerror: none",
    "right to left": "a\u202eb",
    "a bell": "\x07",
    "C1": "\x9b31m",
    "emoji code": ":bomb:",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_names_of_layers_reach_no_terminal(tmp_path: Path, name: str) -> None:
    state = {f"{name}.{key}": value for key, value in STATE.items()}
    square = {f"{name}2.weight": torch.ones(2, 2, 3), f"{name}2.D": torch.rand(2, 3, 3)}
    file, out = tmp_path / "file.pt", tmp_path / "out.pt"
    torch.save({f"{name}s": {**state, **square}, f"{name}t": state}, file)
    for command in (
        ("inspect", file),
        ("inspect", file, "--json"),
        ("fold", file, out),
        ("fold", file, out, "--transposed", "none"),
        ("fold", file, out, "--transposed", "none", "--json"),
        ("fold", file, out, "--only", name),
    ):
        done = run(*command)
        for text in (done.out, done.err):
            assert all(c.isprintable() or c == "\n" for c in text), text
        if "--json" in command:
            json.loads(done.out)
    if name.isprintable():
        assert name in succeed("inspect", file).out


@POSIX
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_names_of_files_reach_no_terminal(tmp_path: Path, name: str) -> None:
    file = tmp_path / (name.replace("/", "").replace("\\", "") + ".pt")
    file.write_bytes(save(STATE, tmp_path / "file.pt").read_bytes())
    out = file.with_name("2" + file.name)
    for command in (("inspect", file), ("fold", file, out), ("fold", file, file)):
        done = run(*command)
        for text in (done.out, done.err):
            assert all(c.isprintable() or c == "\n" for c in text), text


def test_json_holds_no_NaN(tmp_path: Path) -> None:
    state = {**STATE, "0.D": torch.full((3, 9, 9), torch.nan)}
    done = succeed("inspect", save(state, tmp_path / "file.pt"), "--json")
    assert "NaN" not in done.out.replace(str(tmp_path), "")
    assert done.json["layers"][0]["offset"] is None


def test_nothing_is_truncated_in_a_pipe(tmp_path: Path) -> None:
    name = ".".join(["a_long_name"] * 30)
    save({f"{name}.{key}": value for key, value in STATE.items()}, tmp_path / "file.pt")
    assert name in doconv("inspect", tmp_path / "file.pt").stdout


def test_one_layer_is_one_layer(tmp_path: Path) -> None:
    done = succeed("fold", save(STATE, tmp_path / "file.pt"), tmp_path / "out.pt")
    assert done.out.startswith("folded 1 of 1 convolution, ")


def test_every_message_names_the_file(tmp_path: Path) -> None:
    state = {**STATE, "0.D": torch.ones(3, 4, 9)}
    file = save(state, tmp_path / "file.pt")
    assert repr(str(file)) in fail(1, "fold", file, tmp_path / "out.pt")


def test_names_of_many_bytes_can_be_written(tmp_path: Path) -> None:
    out = tmp_path / ("漢" * 83 + ".pt")  # 252 bytes of the 255 that a name may have
    succeed("fold", save(STATE, tmp_path / "file.pt"), out)
    assert out.exists()


# --- stdout -------------------------------------------------------------------------------


@POSIX
def test_what_cannot_be_printed_is_said_and_the_file_is_there(tmp_path: Path) -> None:
    file, out = save(STATE, tmp_path / "file.pt"), tmp_path / "out.pt"
    with Path("/dev/full").open("w") as full:
        done = doconv("fold", file, out, stdout=full, stderr=subprocess.PIPE, capture_output=False)
        listed = doconv("inspect", file, stdout=full, stderr=subprocess.PIPE, capture_output=False)
    said = "was written, but this could not be printed: No space left on device"
    assert done.stderr.splitlines() == [f"error: '{file}': '{out}' {said}"]
    assert done.returncode == listed.returncode == 1
    assert listed.stderr.count("\n") == 1
    assert out.exists()


@POSIX
@pytest.mark.parametrize("command", ["inspect", "fold", "cost"])
def test_a_closed_stdout_is_no_traceback(tmp_path: Path, command: str) -> None:
    file, out = save(STATE, tmp_path / "file.pt"), tmp_path / "out.pt"
    arguments = {"inspect": (file,), "fold": (file, out), "cost": ()}[command]
    code = "from doconv_cli.__main__ import main; main()"
    line = 'exec "$0" -c "$1" "${@:2}" >&-'
    done = subprocess.run(
        ["bash", "-c", line, sys.executable, code, command, *map(str, arguments)],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


# --- files --------------------------------------------------------------------------------


@POSIX
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o444])
def test_OUT_has_the_permissions_of_FILE(tmp_path: Path, mode: int) -> None:
    file, out = save(STATE, tmp_path / "file.pt"), tmp_path / "out.pt"
    file.chmod(mode)
    succeed("fold", file, out)
    assert stat.S_IMODE(out.stat().st_mode) == mode


@POSIX
def test_a_read_only_OUT_needs_force(tmp_path: Path) -> None:
    file, out = save(STATE, tmp_path / "file.pt"), tmp_path / "out.pt"
    out.write_text("mine")
    out.chmod(0o444)
    assert "is read-only; pass --force" in fail(2, "fold", file, out)
    succeed("fold", file, out, "--force")
    assert stat.S_IMODE(out.stat().st_mode) == 0o444


STOPPING = """
import os, signal, time
import doconv_cli.files.layers.entries as entries
pieces = entries.Made.pieces
def slow(self):
    print("writing", flush=True)
    time.sleep(60)
    return pieces(self)
entries.Made.pieces = slow
"""


@POSIX
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT", "SIGKILL"])
@pytest.mark.parametrize("existing", [False, True])
def test_a_signal_leaves_all_files_as_they_were(tmp_path: Path, name: str, existing: bool) -> None:
    file, out = save(STATE, tmp_path / "file.pt"), tmp_path / "out.pt"
    if existing:
        out.write_text("old")
    # A run in the background has SIGINT ignored, and children inherit that.
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"import sys\n{heard}\n{STOPPING}\nfrom doconv_cli.__main__ import main\nmain()\n"
    child = subprocess.Popen(
        [sys.executable, "-c", code, "fold", str(file), str(out)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdout is not None
    assert child.stdout.readline() == "writing\n"
    child.send_signal(getattr(signal, name))
    _, said = child.communicate(timeout=60)
    assert child.returncode != 0
    assert "Traceback" not in said
    left = {path.name for path in tmp_path.iterdir()} - {"file.pt", *["out.pt"] * existing}
    if name == "SIGKILL":  # nobody can clean up then; the next run does
        assert len(left) == 1
        out.unlink(missing_ok=True)
        succeed("fold", file, out)
        assert {path.name for path in tmp_path.iterdir()} == {"file.pt", "out.pt"}
    else:
        assert left == set()
        assert not existing or out.read_text() == "old"


def test_a_temporary_of_a_living_process_stays(tmp_path: Path) -> None:
    from doconv_core.files.atomic import replacing

    with replacing(tmp_path / "a.pt") as mine:
        mine.write_text("half")
        succeed("fold", save(STATE, tmp_path / "file.pt"), tmp_path / "out.pt")
        assert mine.read_text() == "half"


# --- files that are none ------------------------------------------------------------------


@POSIX
@pytest.mark.parametrize("command", ["inspect", "fold", "convert"])
@pytest.mark.parametrize(
    "suffix", [".pt", ".safetensors", ".params", ".keras", ".weights.h5", ".h5"]
)
@pytest.mark.parametrize("kind", ["device", "pipe", "loop", "socket", "nothing"])
def test_what_is_no_file_is_refused_at_once(
    tmp_path: Path, kind: str, suffix: str, command: str
) -> None:
    if suffix in (".keras", ".weights.h5"):
        pytest.importorskip("keras", reason="Keras's files need Keras")
    file = tmp_path / f"file{suffix}"
    if kind == "device":
        file.symlink_to("/dev/zero")
    elif kind == "pipe":
        os.mkfifo(file)
    elif kind == "loop":
        file.symlink_to(file)
    elif kind == "socket":
        import socket

        with socket.socket(socket.AF_UNIX) as bound:
            here = Path.cwd()
            os.chdir(tmp_path)  # its address has a limit
            try:
                bound.bind(file.name)
            finally:
                os.chdir(here)
    out = [] if command == "inspect" else [file.with_name(f"out{suffix}")]
    model = ["--model", str(file)] if suffix == ".weights.h5" else []
    start = time.monotonic()
    done = run(command, file, *out, *model)
    assert time.monotonic() - start < 30
    assert done.code == 1
    assert done.err.count("\n") == 1
    assert str(file) in done.err


# --- without what it needs ----------------------------------------------------------------


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_its_packages_the_command_is_one_line(missing: str) -> None:
    done = doconv("--help", before=f"sys.modules[{missing!r}] = None")
    assert done.returncode == 1
    assert done.stderr == (
        f"error: the doconv command needs {missing}: pip install 'doconv-layers[cli]'\n"
    )


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_no_framework_is_needed_for_files_of_arrays(tmp_path: Path, suffix: str) -> None:
    file, out = tmp_path / f"file{suffix}", tmp_path / f"out{suffix}"
    save(STATE, file)
    hidden = "\n".join(
        f"sys.modules[{name!r}] = None" for name in ("torch", "keras", "mxnet", "safetensors")
    )
    done = doconv("fold", file, out, "--verify", before=hidden)
    assert done.stderr == ""
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("typed", "completed"),
    [("doconv fo", ["fold"]), ("doconv fold --tr", ["--transposed"]), ("doconv convert --o", [
        "--only", "--official"])],
)  # fmt: skip
def test_the_shell_can_complete_it(
    monkeypatch: pytest.MonkeyPatch, typed: str, completed: list[str]
) -> None:
    """What bash asks for, once ``doconv --install-completion`` was run."""
    monkeypatch.setenv("_DOCONV_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(len(typed.split()) - 1))
    done = CliRunner().invoke(main.app, prog_name="doconv")
    assert done.stdout.split() == completed


def test_help_says_how_to_have_it_completed() -> None:
    assert "--install-completion" in CliRunner().invoke(main.app, ["--help"]).stdout
