"""Models and checkpoints of PyTorch for the tests of the commands on files."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

import doconv_torch

SUFFIXES = [".pt", ".safetensors"]


def plain_model() -> nn.Sequential:
    """Every kind of convolution; only `up` has the shapes of an ordinary layer as well."""
    torch.manual_seed(0)
    return nn.Sequential(
        OrderedDict(
            stem=nn.Conv2d(3, 8, 3, bias=False),
            norm=nn.BatchNorm2d(8),
            act=nn.ReLU(),
            grouped=nn.Conv2d(8, 6, (2, 3), groups=2),
            depthwise=nn.Conv2d(6, 12, 2, groups=6, bias=False),
            pointwise=nn.Conv2d(12, 4, 1),
            up=nn.ConvTranspose2d(4, 4, 2, stride=2),
            wider=nn.ConvTranspose2d(4, 6, 2, groups=2),
        )
    )


GROUPS = ("--groups", "grouped=2", "--groups", "depthwise=6", "--groups", "wider=2")
GROUPS_AND_KINDS = (*GROUPS, "--groups", "1", "--transposed", "up", "--transposed", "wider")


def trained(model: nn.Module, **options: Any) -> nn.Module:
    model = doconv_torch.convert(model, **options)
    for name, parameter in model.named_parameters():
        if name.split(".")[-1] in ("D", "W_extra"):
            nn.init.normal_(parameter, std=0.1)
    return model


def save(state: dict[str, Any], path: Path) -> Path:
    if path.suffix == ".safetensors":
        state = {key: tensor.contiguous() for key, tensor in state.items()}
        safetensors.torch.save_file(state, path, metadata={"format": "pt"})
    else:
        torch.save(state, path)
    return path


def load(path: Path) -> dict[str, Any]:
    if path.suffix == ".safetensors":
        return safetensors.torch.load_file(path)
    return torch.load(path, weights_only=True)


def assert_same(actual: dict[str, Any], expected: dict[str, Any]) -> None:
    assert actual.keys() == expected.keys()
    for key, tensor in expected.items():
        assert actual[key].dtype == tensor.dtype, key
        assert torch.equal(actual[key], tensor), key


class Official(nn.Module):
    """The authors' layer, from its published rule: a reshape, D per channel, a reshape back."""

    def __init__(self, I: int, O: int, size: tuple[int, int], groups: int = 1, S: int = 0) -> None:
        super().__init__()
        K = size[0] * size[1]
        S = S or K
        self.sizes = I, O, size, groups
        self.W = nn.Parameter(torch.randn(O, I // groups, S))
        if K > 1:
            self.D = nn.Parameter(torch.randn(I, K, S) * 0.1)
            whole = torch.cat([torch.eye(K).repeat(1, S // K), torch.zeros(K, S % K)], 1)
            self.d_diag = nn.Parameter(whole.repeat(I, 1, 1), requires_grad=False)
        self.bias = nn.Parameter(torch.randn(O))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        I, O, size, groups = self.sizes
        W = self.W.double()
        if hasattr(self, "D"):
            D = self.D.double() + self.d_diag.double()
            W = (D @ W.reshape(O // groups, I, -1, 1)).squeeze(-1)
        kernel = W.reshape(O, I // groups, *size)
        return nn.functional.conv2d(x, kernel, self.bias.double(), groups=groups)


def official_model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        OrderedDict(
            stem=Official(3, 8, (3, 3)),
            wide=Official(8, 6, (1, 4), S=9),
            pointwise=Official(6, 4, (1, 1)),
            depthwise=Official(4, 4, (2, 2), groups=4),
            grouped=Official(4, 6, (2, 2), groups=2, S=6),
        )
    )
