"""The commands on files of PyTorch with CondConv layers: they neither guess nor touch them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import doconv_torch
from doconv_torch import CondConv2d
from tests.cli.command import fail, succeed
from tests.cli.torch_models import SUFFIXES, load, save, trained


def network(**options: Any) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(4, 6, 3),
        CondConv2d(6, 8, 3, **options),
        CondConv2d(8, 8, 3, bias=False, **options),
        CondConv2d(8, 8, 1),
    )


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_plain_ones_pass_through_convert_and_fold(suffix: str, tmp_path: Path) -> None:
    plain = network()
    file = save(plain.state_dict(), tmp_path / f"plain{suffix}")
    listed = succeed("inspect", file, "--json").json
    assert [layer["name"] for layer in listed["layers"]] == ["0"]
    succeed("convert", file, tmp_path / f"out{suffix}", "--groups", "1")
    out = load(tmp_path / f"out{suffix}")
    assert out.keys() == plain.state_dict().keys() | {"0.D"}
    model = trained(plain, where=lambda name, _: name == "0")
    file = save(model.state_dict(), tmp_path / f"trained{suffix}")
    succeed("fold", file, tmp_path / f"folded{suffix}")
    plain.load_state_dict(load(tmp_path / f"folded{suffix}"))
    x = torch.randn(2, 4, 9, 9)
    torch.testing.assert_close(plain(x), model(x))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_over_parameterized_ones_are_refused(suffix: str, tmp_path: Path) -> None:
    model = doconv_torch.convert(network())
    file = save(model.state_dict(), tmp_path / f"trained{suffix}")
    error = fail(1, "fold", file, tmp_path / f"out{suffix}")
    assert "cannot fold layer '1' in a file" in error
