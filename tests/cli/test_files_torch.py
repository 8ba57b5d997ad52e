"""``doconv inspect``, ``fold`` and ``convert`` on PyTorch's files."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="PyTorch's files need torch")
import safetensors.torch
import torch
from torch import nn

import doconv_torch
from doconv_cli.files.layers import composing
from doconv_cli.files.verbs import verify
from tests.cli.command import fail, succeed
from tests.cli.torch_models import (
    GROUPS_AND_KINDS,
    SUFFIXES,
    assert_same,
    load,
    plain_model,
    save,
    trained,
)

# --- fold --------------------------------------------------------------------------------

MODELS: dict[str, Callable[[], nn.Module]] = {
    "every-kind": lambda: trained(plain_model()),
    "D_mul": lambda: trained(plain_model(), D_mul=14),
    "bfloat16": lambda: trained(plain_model()).bfloat16(),
    "float16": lambda: trained(plain_model()).half(),
    "float64": lambda: trained(plain_model()).double(),
    "1d": lambda: trained(nn.Sequential(nn.Conv1d(4, 6, 5, groups=2))),
    "3d": lambda: trained(nn.Sequential(nn.Conv3d(2, 4, (1, 2, 3)))),
    "root": lambda: trained(nn.Conv2d(3, 4, 3)),
    "pointwise-layer": lambda: nn.Sequential(
        trained(nn.Conv2d(3, 4, 3)), doconv_torch.DOConv2d(4, 2, 1)
    ),
}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS.keys())
def test_a_folded_file_is_the_state_of_the_folded_model(
    tmp_path: Path, make: Callable[[], nn.Module], suffix: str
) -> None:
    model = make()
    file = save(model.state_dict(), tmp_path / f"file{suffix}")
    out = tmp_path / f"out{suffix}"
    hint = ("--transposed", "up") if "up.D" in load(file) else ()
    done = succeed("fold", file, out, "--verify", "--json", *hint)
    assert done.err == ""
    assert_same(load(out), doconv_torch.fold(model).state_dict())
    assert 0 <= done.json["largest_ulps"] <= 0.5
    folded = {name for name, m in model.named_modules() if getattr(m, "D", None) is not None}
    assert set(done.json["folded"]) == folded


@pytest.mark.parametrize("elements", [1, 60])
@pytest.mark.parametrize("options", [{}, {"D_mul": 14}], ids=["D_mul=K", "D_mul=14"])
def test_layers_larger_than_a_piece_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, int], elements: int
) -> None:
    model = trained(plain_model(), **options)
    file, out = save(model.state_dict(), tmp_path / "file.pt"), tmp_path / "out.pt"
    offsets = [row["offset"] or 0 for row in succeed("inspect", file, "--json").json["layers"]]
    for module in (composing, verify):  # which take so many at a time
        monkeypatch.setattr(module, "ELEMENTS", elements)
    succeed("fold", file, out, "--verify")
    assert_same(load(out), doconv_torch.fold(model).state_dict())
    again = [row["offset"] or 0 for row in succeed("inspect", file, "--json").json["layers"]]
    assert again == pytest.approx(offsets, rel=1e-12)


def test_a_parametrized_layer_is_folded_to_its_plain_keys(tmp_path: Path) -> None:
    class Same(nn.Conv2d):
        pass

    model = trained(nn.Sequential(Same(3, 6, 3)), subclasses="parametrize")
    file = save(model.state_dict(), tmp_path / "file.pt")
    succeed("fold", file, tmp_path / "out.pt")
    assert_same(load(tmp_path / "out.pt"), doconv_torch.fold(model).state_dict())


def test_everything_else_in_the_file_is_kept(tmp_path: Path) -> None:
    model = trained(plain_model())
    content = {
        "epoch": 7,
        "state_dict": model.state_dict(),
        "optimizer": torch.optim.SGD(model.parameters(), 0.1, momentum=0.9).state_dict(),
        "args": {"lr": 0.1, "names": ["a", "b"]},
    }
    file = save(content, tmp_path / "file.pth.tar")
    succeed("fold", file, tmp_path / "out.pth.tar", "--transposed", "up")
    out = load(tmp_path / "out.pth.tar")
    assert list(out) == list(content)
    state = out.pop("state_dict")
    del content["state_dict"]
    content["optimizer"]["param_groups"][0]["params"] = list(range(12))  # without five D's
    assert out == content
    expected = doconv_torch.fold(model).state_dict()
    assert_same(state, expected)
    assert type(state) is OrderedDict
    assert state._metadata == model.state_dict()._metadata


def test_several_state_dicts_are_folded_each_under_its_name(tmp_path: Path) -> None:
    model, ema = trained(plain_model()), trained(plain_model())
    file = tmp_path / "file.pt"
    save({"model": model.state_dict(), "model_ema": ema.state_dict()}, file)
    done = succeed("fold", file, tmp_path / "out.pt", "--transposed", "*/up", "--json")
    assert {"model/stem", "model_ema/stem"} < set(done.json["folded"])
    out = load(tmp_path / "out.pt")
    assert_same(out["model"], doconv_torch.fold(model).state_dict())
    assert_same(out["model_ema"], doconv_torch.fold(ema).state_dict())


def test_metadata_of_safetensors_are_kept(tmp_path: Path) -> None:
    file = save(trained(plain_model()).state_dict(), tmp_path / "file.safetensors")
    succeed("fold", file, tmp_path / "out.safetensors", "--transposed", "up")
    with safetensors.safe_open(tmp_path / "out.safetensors", "pt") as out:
        assert out.metadata() == {"format": "pt"}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_kernels_are_rounded_once_to_the_asked_type(tmp_path: Path, dtype: str) -> None:
    model = trained(plain_model())
    file = save(model.state_dict(), tmp_path / "file.pt")
    done = succeed("fold", file, tmp_path / "out.pt", "--dtype", dtype, "--verify", "--json")
    assert done.json["largest_ulps"] <= 0.5
    out = load(tmp_path / "out.pt")
    assert out["stem.weight"].dtype is getattr(torch, dtype)
    assert out["norm.weight"].dtype is torch.float32
    assert out["pointwise.weight"].dtype is torch.float32
    exact = doconv_torch.fold(copy.deepcopy(model).double()).state_dict()["stem.weight"]
    eps = torch.finfo(getattr(torch, dtype)).eps
    torch.testing.assert_close(out["stem.weight"].double(), exact, rtol=eps / 2, atol=0)


STRICT_LOADERS = {
    ".pt": "state = torch.load(path, weights_only=True)",
    ".safetensors": "import safetensors.torch; state = safetensors.torch.load_file(path)",
}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_folded_file_loads_strictly_where_doconv_is_not_installed(
    tmp_path: Path, suffix: str
) -> None:
    model = trained(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 4, 3)))
    file = save(model.state_dict(), tmp_path / f"file{suffix}")
    out = tmp_path / f"out{suffix}"
    succeed("fold", file, out)
    code = f"""
import sys
for name in ("doconv_core", "doconv_torch", "doconv_cli"):
    sys.modules[name] = None  # importing it now raises ImportError
import torch
from torch import nn
path = sys.argv[1]
model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 4, 3)).eval()
{STRICT_LOADERS[suffix]}
print(model.load_state_dict(state, strict=True))
torch.save(model(torch.ones(1, 3, 9, 9)), sys.argv[2])
"""
    command = [sys.executable, "-I", "-c", code, str(out), str(tmp_path / "output")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "All keys matched" in done.stdout
    expected = doconv_torch.fold(model).eval()(torch.ones(1, 3, 9, 9))
    assert torch.equal(torch.load(tmp_path / "output"), expected)


# --- ordinary or transposed --------------------------------------------------------------


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_layers_that_may_be_transposed_are_not_guessed(tmp_path: Path, suffix: str) -> None:
    model = trained(
        nn.Sequential(
            nn.Conv2d(4, 4, 3),
            nn.ConvTranspose2d(4, 4, 3),
            nn.Conv2d(4, 4, 3, groups=4),  # of its D either way
            nn.Conv2d(4, 5, 3),
        )
    )
    file = save(dict(model.state_dict()), tmp_path / f"file{suffix}")  # without what torch records
    out = tmp_path / f"out{suffix}"
    error = fail(2, "fold", file, out)
    assert "2 layers" in error
    assert "'0', '1'; pass --transposed" in error
    shown = succeed("inspect", file, "--json")
    assert [row["ambiguous"] for row in shown.json["layers"]] == [True, True, False, False]
    assert "2 layers may be transposed" in shown.err
    assert succeed("fold", file, out, "--transposed", "1", "--verify").err == ""
    assert_same(load(out), doconv_torch.fold(model).state_dict())


def test_none_can_be_said_to_be_transposed(tmp_path: Path) -> None:
    model = trained(nn.Sequential(nn.Conv2d(4, 4, 3)))
    file = save(dict(model.state_dict()), tmp_path / "file.safetensors")
    succeed("fold", file, tmp_path / "out.safetensors", "--transposed", "none")
    assert_same(load(tmp_path / "out.safetensors"), doconv_torch.fold(model).state_dict())


def test_a_D_that_is_the_same_for_all_channels_needs_no_saying(tmp_path: Path) -> None:
    model = doconv_torch.convert(nn.Sequential(nn.ConvTranspose2d(4, 4, 3)))
    file = save(dict(model.state_dict()), tmp_path / "file.safetensors")
    assert succeed("fold", file, tmp_path / "out.safetensors").err == ""
    assert_same(load(tmp_path / "out.safetensors"), doconv_torch.fold(model).state_dict())


def test_what_a_state_dict_records_is_believed(tmp_path: Path) -> None:
    model = trained(nn.Sequential(nn.ConvTranspose2d(4, 4, 3), nn.Conv2d(4, 4, 3)))
    file = save(model.state_dict(), tmp_path / "file.pt")
    assert succeed("fold", file, tmp_path / "out.pt").err == ""
    assert_same(load(tmp_path / "out.pt"), doconv_torch.fold(model).state_dict())


# --- convert -----------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_converted_file_is_the_state_of_the_converted_model(tmp_path: Path, suffix: str) -> None:
    plain = plain_model()
    file, out = save(plain.state_dict(), tmp_path / f"file{suffix}"), tmp_path / f"out{suffix}"
    done = succeed("convert", file, out, *GROUPS_AND_KINDS, "--verify", "--json")
    assert done.json["largest_ulps"] == 0
    converted = doconv_torch.convert(plain)
    assert_same(load(out), converted.state_dict())
    parameters = [sum(p.numel() for p in m.parameters()) for m in (plain, converted)]
    norm = sum(p.numel() for p in plain.norm.parameters())
    before, after = done.json["parameters_before"], done.json["parameters_after"]
    assert [before + norm, after + norm] == parameters


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_convert_then_fold_gives_the_file_back(tmp_path: Path, suffix: str) -> None:
    file = save(plain_model().state_dict(), tmp_path / f"file{suffix}")
    middle, out = tmp_path / f"middle{suffix}", tmp_path / f"out{suffix}"
    succeed("convert", file, middle, *GROUPS_AND_KINDS)
    succeed("fold", middle, out)
    assert_same(load(out), load(file))


def test_only_layers_whose_groups_were_said_are_converted(tmp_path: Path) -> None:
    file = save(plain_model().state_dict(), tmp_path / "file.pt")
    done = succeed("convert", file, tmp_path / "out.pt", "--groups", "stem=1", "--json")
    assert done.json["converted"] == ["stem"]
    assert load(tmp_path / "out.pt").keys() - load(file).keys() == {"stem.D"}


def test_depthwise_layers_of_many_widths_take_one_word(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(6, 6, 3, groups=6))
    file = save(model.state_dict(), tmp_path / "file.pt")
    succeed("convert", file, tmp_path / "out.pt", "--groups", "depthwise")
    assert_same(load(tmp_path / "out.pt"), doconv_torch.convert(model).state_dict())


# --- inspect -----------------------------------------------------------------------------


def test_inspect_shows_every_convolution(tmp_path: Path) -> None:
    model = trained(plain_model())
    nn.init.zeros_(model.grouped.D)
    with torch.no_grad():
        model.stem.D.copy_(0.5 * torch.eye(9).expand(3, 9, 9))
    file = save({"model": model.state_dict()}, tmp_path / "file.pt")
    done = succeed("inspect", file, "--json", "--transposed", "up")
    rows = {row["name"]: row for row in done.json["layers"]}
    assert list(rows) == [n for n, m in model.named_modules() if hasattr(m, "kernel_size")]
    assert [row["kind"] for row in rows.values()] == [
        "DO-Conv", "DO-GConv", "DO-DConv", "plain", "DO-Conv, transposed", "DO-Conv, transposed",
    ]  # fmt: skip
    assert [row["groups"] for row in rows.values()] == [1, 2, 6, None, 1, 2]
    stem = rows["stem"]
    assert stem == {
        "name": "stem", "kind": "DO-Conv", "kernel_size": [3, 3], "groups": 1, "W": [8, 3, 9],
        "D": [3, 9, 9], "D_mul": 9, "offset": 0.5, "ambiguous": False, "dtype": "float32",
        "parameters": 8 * 27 + 3 * 81, "folded_parameters": 8 * 27,
    }  # fmt: skip
    assert rows["grouped"]["offset"] == 0
    assert 0.1 < rows["depthwise"]["offset"] < 1
    norm = sum(p.numel() for p in model.norm.parameters())
    assert done.json["parameters"] + norm == sum(p.numel() for p in model.parameters())
    folded = doconv_torch.fold(model)
    assert done.json["folded_parameters"] + norm == sum(p.numel() for p in folded.parameters())


def test_inspect_prints_a_table(tmp_path: Path) -> None:
    file = save(trained(plain_model()).state_dict(), tmp_path / "file.pt")
    table = succeed("inspect", file, "--transposed", "up").out
    for text in ("stem", "DO-GConv", "8x3x9", "|D|/|identity|", "6 convolutions"):
        assert text in table
