"""``doconv convert``: what it takes the groups from, and what it does not believe."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="PyTorch's files need torch")
import torch
from torch import nn

from tests.cli.command import fail, succeed
from tests.cli.torch_models import SUFFIXES, load, save

ONES = torch.ones


def network(*layers: nn.Module) -> dict[str, Any]:
    return nn.Sequential(*layers).state_dict()


DEPTHWISE = network(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, groups=8))
RESNEXT = network(
    nn.Conv2d(3, 64, 7),
    nn.Conv2d(64, 128, 1),
    nn.Conv2d(128, 128, 3, groups=32),
    nn.Conv2d(128, 64, 1),
)
RESNET = network(
    nn.Conv2d(3, 64, 7), nn.BatchNorm2d(64), nn.Conv2d(64, 128, 3), nn.Conv2d(128, 128, 3)
)
GRAY = network(nn.Conv2d(1, 8, 3), nn.Conv2d(8, 16, 3))
CONCATENATED = network(nn.Conv2d(3, 64, 3), nn.Conv2d(96, 80, 3))  # of inputs from elsewhere

REFUSED = {
    "depthwise": (DEPTHWISE, "--groups 2=depthwise"),
    "ResNeXt": (RESNEXT, "--groups 2=32"),
    "gray, or depthwise": (GRAY, "--groups 0=depthwise"),
}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(("state", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_groups_that_nothing_fits_are_refused_with_the_likely_ones(
    tmp_path: Path, state: dict[str, Any], said: str, suffix: str
) -> None:
    file, out = save(state, tmp_path / f"file{suffix}"), tmp_path / f"out{suffix}"
    error = fail(2, "convert", file, out, "--groups", "1")
    assert "cannot be right for 1 layer" in error
    assert f"Likely: {said};" in error
    succeed("convert", file, out, *said.split(), "--groups", "1", "--verify")
    name = said.split()[1].partition("=")[0]
    succeed("convert", file, out, "--groups", f"{name}=1", "--groups", "1")  # if it is named
    assert load(out)[f"{name}.D"].shape[0] == state[f"{name}.weight"].shape[1]


@pytest.mark.parametrize("state", [RESNET, CONCATENATED], ids=["ResNet", "concatenated inputs"])
def test_ordinary_networks_take_one_word(tmp_path: Path, state: dict[str, Any]) -> None:
    file, out = save(state, tmp_path / "file.pt"), tmp_path / "out.pt"
    succeed("convert", file, out, "--groups", "1", "--verify")
    for key, array in load(out).items():
        if key.endswith("D"):
            assert array.shape[0] == state[key.replace("D", "weight")].shape[1]


def test_what_is_no_convolution_is_left_alone_unless_named(tmp_path: Path) -> None:
    state = OrderedDict(
        {
            "pos_embed.weight": ONES(1, 197, 768),
            "cls.weight": ONES(1, 1, 64),
            "long.weight": ONES(2, 4, 2000),
            "proj.weight": ONES(768, 3, 16, 16),
            "wav.weight": ONES(8, 3, 10),
        }
    )
    file, out = save(state, tmp_path / "file.pt"), tmp_path / "out.pt"
    done = succeed("convert", file, out, "--groups", "1", "--json")
    assert done.json["converted"] == ["proj", "wav"]
    assert [note.split()[0] for note in done.json["notes"]] == ["'pos_embed'", "'cls'", "'long'"]
    assert "note: 'pos_embed' (1x197x768) was left alone" in done.err
    done = succeed("convert", file, out, "--groups", "cls=1", "--json")
    assert done.json["converted"] == ["cls"]


def test_a_part_of_the_file_can_be_converted(tmp_path: Path) -> None:
    torch.save({"model": RESNET, "ema": RESNET.copy()}, tmp_path / "file.pt")
    options = ("--groups", "1", "--only", "ema", "--json")
    done = succeed("convert", tmp_path / "file.pt", tmp_path / "out.pt", *options)
    assert done.json["converted"] == ["ema/0", "ema/2", "ema/3"]
