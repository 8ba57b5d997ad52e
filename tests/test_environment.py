"""constraints/environment.sh on machines that have little: a PATH with what a case names."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "constraints" / "environment.sh"
TOOLS = ("sh", "rm", "touch", "mkdir", "cp")

PYTHON = """#!/bin/sh
echo "python $*" >> "$LOG"
case "$1 $2" in
    "-c "*) exit "$HAS_VENV" ;;
    "-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
    "-m pip") exit "$PIP" ;;
esac
"""
UV = """#!/bin/sh
echo "uv $*" >> "$LOG"
case "$1" in
    venv) mkdir -p "$6/bin" ;;
    pip) exit "$PIP" ;;
esac
"""


class Machine:
    """A PATH of its own; what was called on it."""

    def __init__(self, folder: Path, programs: dict[str, str]) -> None:
        self.folder, self.bin = folder, folder / "bin"
        self.bin.mkdir(parents=True)
        for tool in TOOLS:
            found = shutil.which(tool)
            assert found
            (self.bin / tool).symlink_to(found)
        for name, text in programs.items():
            (self.bin / name).write_text(text)
            (self.bin / name).chmod(0o755)
        self.log = folder / "log"

    def make(self, **variables: str) -> subprocess.CompletedProcess[str]:
        self.log.write_text("")
        variables = {"HAS_VENV": "0", "PIP": "0", "LOG": str(self.log)} | variables
        return subprocess.run(
            ["sh", SCRIPT, ".venv-x", ".made", "--constraint", "pins.txt", "a package"],
            cwd=self.folder,
            env={"PATH": str(self.bin), "HOME": str(self.folder / "nowhere"), **variables},
            capture_output=True,
            text=True,
            check=False,
        )

    def called(self) -> list[str]:
        return self.log.read_text().splitlines()

    def has(self, name: str) -> bool:
        return (self.folder / ".venv-x" / name).exists()


BOTH = {"python3.11": PYTHON, "uv": UV}


@pytest.mark.parametrize(
    ("programs", "variables", "said"),
    [
        ({}, {}, "python3.11 is not here: install Python 3.11 (or uv, which brings it)"),
        ({}, {"PYTHON": "python3.12"}, "python3.12 is not here"),
        ({"python3.11": PYTHON}, {"HAS_VENV": "1"}, "install its venv module (python3.11-venv)"),
    ],
    ids=["no Python", "not the one asked for", "no venv module"],
)
def test_what_is_missing_is_said_in_one_sentence(
    programs: dict[str, str], variables: dict[str, str], said: str, tmp_path: Path
) -> None:
    machine = Machine(tmp_path, programs)
    done = machine.make(**variables)
    assert done.returncode == 1
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not machine.has("")


@pytest.mark.parametrize(
    ("programs", "expected"),
    [
        ({"python3.11": PYTHON}, ["python -m venv", "python -m pip install --quiet"]),
        (BOTH, ["uv venv --quiet --seed --python 3.11", "uv pip install --quiet --python"]),
    ],
    ids=["Python", "uv, where it is"],
)
@pytest.mark.parametrize("folder", ["plain", "with a space"])
def test_the_same_versions_are_installed(
    programs: dict[str, str], expected: list[str], folder: str, tmp_path: Path
) -> None:
    machine = Machine(tmp_path / folder, programs)
    assert machine.make().returncode == 0
    made, installed = machine.called()[-2:]
    assert made.startswith(expected[0])
    assert installed.startswith(expected[1])
    assert installed.endswith("--constraint pins.txt a package")
    assert machine.has(".made")


@pytest.mark.parametrize("programs", [{"python3.11": PYTHON}, BOTH], ids=["Python", "uv"])
def test_what_was_interrupted_is_made_again(programs: dict[str, str], tmp_path: Path) -> None:
    machine = Machine(tmp_path, programs)
    (tmp_path / ".venv-x" / "half").mkdir(parents=True)  # no .created: it was not finished
    assert machine.make(PIP="3").returncode == 3
    assert machine.has(".created")
    assert not machine.has("half")
    assert not machine.has(".made")
    assert machine.make().returncode == 0  # what is there is filled, not made again
    assert not [call for call in machine.called() if "venv --quiet" in call or "-m venv" in call]
    assert machine.has(".made")
