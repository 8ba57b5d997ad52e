"""Memory: of an inspected file its header, of a folded one its largest array."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="PyTorch's files need torch")
import torch
from torch import nn

from tests.cli.command import fail, succeed
from tests.cli.torch_models import SUFFIXES, load, official_model, plain_model, save, trained

ROOT = Path(__file__).parents[2]
MIB = 1 << 20
CONSTANT = 40 * MIB  # what composing a piece takes, and more for allocators


def peak(*arguments: str | Path) -> int:
    """Bytes that a process of its own took at most."""
    code = r"""
import pathlib, re, sys
from doconv_cli.main import app
try: app(sys.argv[1:])
except SystemExit as end: assert not end.code, end.code
# not getrusage, which counts whoever started the process too
status = pathlib.Path("/proc/self/status").read_text()
print(re.search(r"VmHWM:\s+(\d+)", status)[1], file=sys.stderr)
"""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, env=env)
    return int(done.stderr.splitlines()[-1]) << 10


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> int:
    """Of the command itself."""
    file = save(trained(nn.Conv2d(3, 4, 3)).state_dict(), tmp_path_factory.mktemp("base") / "a.pt")
    return peak("fold", file, file.with_name("out.pt"), "--verify")


LAYERS = {  # its arrays, and the bytes of the largest
    "large layers": ({"a": (2400, 2400, 4), "b": (2400, 2400, 4)}, 2400 * 2400 * 4 * 4),
    "many layers": ({f"{i}": (800, 720, 4) for i in range(12)}, 800 * 720 * 4 * 4),
    "a large D": ({"a": (4000, 1, 49)}, 4000 * 49 * 49 * 4),
}


@pytest.mark.skipif(sys.platform != "linux", reason="how Linux counts memory")
@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(("layers", "largest"), LAYERS.values(), ids=LAYERS.keys())
def test_memory_is_bounded_by_the_largest_array(
    tmp_path: Path, layers: dict[str, tuple[int, int, int]], largest: int, suffix: str, base: int
) -> None:
    state: dict[str, Any] = {}
    for name, (O, I, K) in layers.items():
        k = int(K**0.5)
        state[f"{name}.weight"] = torch.zeros(O, I, k, k)
        state[f"{name}.D"] = torch.rand(O if I == 1 else I, K, K)
    file, out = tmp_path / f"file{suffix}", tmp_path / f"out{suffix}"
    save(state, file)
    assert file.stat().st_size > 30 * MIB
    assert peak("inspect", file) < base + CONSTANT / 2
    assert peak("fold", file, out, "--transposed", "none") < base + 1.5 * largest + CONSTANT


def test_max_bytes_raises_the_limits(tmp_path: Path) -> None:
    state = trained(nn.Conv2d(3, 4, 3)).state_dict()
    text = "x" * (33 << 20)
    file, out = save({"model": state, "log": text}, tmp_path / "file.pt"), tmp_path / "out.pt"
    error = fail(2, "fold", file, out)
    assert "raise it by --max-bytes" in error
    succeed("fold", file, out, "--max-bytes", str(1 << 26))
    assert load(out)["log"] == text


# --- inspect --plot -----------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_a_plot_is_drawn(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("matplotlib", reason="draws it")
    file = save(trained(plain_model(), D_mul=14).state_dict(), tmp_path / "a$b_[bold].pt")
    out = tmp_path / f"out{suffix}"
    succeed("inspect", file, "--plot", out)
    assert out.read_bytes().startswith({".png": b"\x89PNG", ".svg": b"<?xml"}[suffix])
    if suffix == ".svg":
        text = out.read_text()
        for said in ("|D| / |identity|", "kernel minus W, stem", "a$b_[bold].pt"):
            assert f"<!-- {said} -->" in text


def test_a_plot_of_the_authors_layers_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="draws it")
    file = save(official_model().state_dict(), tmp_path / "official.pt")
    succeed("inspect", file, "--plot", tmp_path / "out.svg")
    text = (tmp_path / "out.svg").read_text()
    assert "<!-- stem -->" in text
    assert "<!-- grouped -->" in text


@pytest.mark.parametrize(
    ("state", "name", "said"),
    [
        (trained(nn.Conv2d(3, 4, 3)).state_dict(), "out.doc", "must end in one of"),
        (nn.Conv2d(3, 4, 3).state_dict(), "out.png", "no layer with a D"),
    ],
    ids=["no picture", "no D"],
)
def test_a_plot_that_cannot_be_drawn_is_refused(
    tmp_path: Path, state: dict[str, Any], name: str, said: str
) -> None:
    pytest.importorskip("matplotlib", reason="draws it")
    file = save(state, tmp_path / "file.pt")
    assert said in fail(2, "inspect", file, "--plot", tmp_path / name)
