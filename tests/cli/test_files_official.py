"""The commands on checkpoints of the authors' own PyTorch layers."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="PyTorch's files need torch")
import torch
from torch import nn

import doconv_torch
from tests.cli.command import succeed
from tests.cli.torch_models import (
    SUFFIXES,
    load,
    official_model,
    save,
)


def host_model() -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            stem=nn.Conv2d(3, 8, 3),
            wide=nn.Conv2d(8, 6, (1, 4)),
            pointwise=nn.Conv2d(6, 4, 1),
            depthwise=nn.Conv2d(4, 4, 2, groups=4),
            grouped=nn.Conv2d(4, 6, 2, groups=2),
        )
    )


SIZES = ("--kernel-size", "wide=1x4", "--kernel-size", "square")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("command", ["fold", "convert"])
def test_an_official_checkpoint_becomes_the_host_s(
    tmp_path: Path, command: str, suffix: str
) -> None:
    theirs = official_model()
    state = theirs.state_dict()
    if suffix == ".pt":  # the older spelling
        state = {key.replace("d_diag", "D_diag"): value for key, value in state.items()}
    file, out = save(state, tmp_path / f"file{suffix}"), tmp_path / f"out{suffix}"
    done = succeed(command, file, out, *SIZES, "--verify", "--json")
    assert done.json["largest_ulps"] <= 0.5
    changed = done.json["converted" if command == "convert" else "folded"]
    assert set(changed) == set(theirs._modules)
    ours = host_model()
    if command == "convert":
        columns = {"stem": 9, "wide": 9, "pointwise": None, "depthwise": 4, "grouped": 6}
        for name, D_mul in columns.items():
            layer = getattr(ours, name)
            setattr(ours, name, doconv_torch.DOConv2d.from_conv(layer, D_mul=D_mul))
    ours.load_state_dict(load(out), strict=True)
    x = torch.randn(2, 3, 12, 12, dtype=torch.float64)
    torch.testing.assert_close(ours.double()(x), theirs(x), rtol=1e-5, atol=1e-5)


def test_an_official_layer_keeps_its_D_where_it_can(tmp_path: Path) -> None:
    theirs = official_model().state_dict()
    file = save(theirs, tmp_path / "file.pt")
    succeed("convert", file, tmp_path / "out.pt", *SIZES)
    out = load(tmp_path / "out.pt")
    assert torch.equal(out["stem.D"], theirs["stem.D"])
    assert torch.equal(out["depthwise.D"], theirs["depthwise.D"])
    # It pairs outputs with other channels' D, so it starts anew; the columns of W that no copy
    # of the identity reaches stay, so that they can be trained.
    assert not out["grouped.D"].any()
    assert torch.equal(out["grouped.W_extra"], theirs["grouped.W"][..., 4:])


def test_inspect_tells_official_layers(tmp_path: Path) -> None:
    file = save(official_model().state_dict(), tmp_path / "file.pt")
    rows = {row["name"]: row for row in succeed("inspect", file, "--json").json["layers"]}
    assert rows["stem"]["kind"] == "official DO-Conv"
    assert rows["grouped"]["kind"] == "official DO-GConv"
    assert rows["stem"]["kernel_size"] is None
    assert rows["pointwise"]["kernel_size"] == [1, 1]
    assert rows["wide"]["D"] == [8, 4, 9]
    assert "-" in succeed("inspect", file).out
