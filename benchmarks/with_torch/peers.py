"""Ways to train a convolution that ours is compared with, re-expressed for comparison only.

Each function turns the k x k convolutions of a plain network (k > 1) into its own kind of layer.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import doconv_torch


def _replace(model: nn.Module, make: Callable[[nn.Conv2d], nn.Module]) -> nn.Module:
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Conv2d and child.kernel_size != (1, 1):
                setattr(module, name, make(child))
    return model


class Official(nn.Module):
    """DO-Conv as the authors' code composes it: an identity array added to D, one einsum."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv
        K = conv.weight[0, 0].numel()
        self.D = nn.Parameter(torch.zeros(conv.in_channels, K, K))
        identity = torch.eye(K).repeat(conv.in_channels, 1, 1)
        self.identity = nn.Parameter(identity, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        conv, K = self.conv, self.D.shape[1]
        W = conv.weight.reshape(conv.out_channels // conv.groups, conv.in_channels, K)
        kernel = torch.einsum("ims,ois->oim", self.D + self.identity, W)
        return conv._conv_forward(x, kernel.reshape(conv.weight.shape), conv.bias)


class DBBLike(nn.Module):
    """Parallel branches, as Diverse Branch Blocks (arXiv 2103.13425) train them.

    k x k; 1x1; 1x1 then k x k; 1x1 then average: each with a batch norm, added up. The batch
    norms of the middle are left out, which makes it cheaper than the original.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        i, o, g, stride = conv.in_channels, conv.out_channels, conv.groups, conv.stride
        k, padding = conv.kernel_size, conv.padding
        self.main = conv
        self.point = nn.Conv2d(i, o, 1, stride, groups=g, bias=False)
        self.enter = nn.Conv2d(i, i, 1, groups=g, bias=False)
        self.deep = nn.Conv2d(i, o, k, stride, padding, groups=g, bias=False)
        self.mean_enter = nn.Conv2d(i, o, 1, groups=g, bias=False)
        self.mean = nn.AvgPool2d(k, stride, padding)
        self.norms = nn.ModuleList(nn.BatchNorm2d(o) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        branches = (
            self.main(x),
            self.point(x),
            self.deep(self.enter(x)),
            self.mean(self.mean_enter(x)),
        )
        outputs = [norm(branch) for norm, branch in zip(self.norms, branches, strict=True)]
        return outputs[0] + outputs[1] + outputs[2] + outputs[3]


class OREPALike(nn.Module):
    """One kernel composed online of several branches, as OREPA (arXiv 2204.00826) does.

    k x k; 1x1; 1x1 spread over an average; 1x1 then k x k: each with a scale per output channel.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv
        o, a, *_ = conv.weight.shape
        self.point = nn.Parameter(torch.randn(o, a) * 0.01)
        self.mean = nn.Parameter(torch.randn(o, a) * 0.01)
        self.inner = nn.Parameter(torch.randn(conv.groups, a, a) * 0.01)
        self.deep = nn.Parameter(torch.randn_like(conv.weight) * 0.01)
        self.scales = nn.Parameter(torch.ones(4, o, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        conv, g = self.conv, self.conv.groups
        kh, kw = conv.kernel_size
        point = F.pad(self.point[..., None, None], (kw // 2, (kw - 1) // 2, kh // 2, (kh - 1) // 2))
        mean = (self.mean / (kh * kw))[..., None, None].expand_as(conv.weight)
        deep = self.deep.unflatten(0, (g, -1))
        deep = torch.einsum("gobij,gba->goaij", deep, self.inner)
        s = self.scales
        kernel = s[0] * conv.weight + s[1] * point + s[2] * mean + s[3] * deep.flatten(0, 1)
        return conv._conv_forward(x, kernel, conv.bias)


def feature(model: nn.Module) -> nn.Module:
    """Our layers by feature composition."""
    model = doconv_torch.convert(model)
    for module in model.modules():
        if hasattr(module, "composition"):
            module.composition = "feature"
    return model


PEERS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "DO-Conv": doconv_torch.convert,
    "official way": lambda model: _replace(model, Official),
    "feature composition": feature,
    "DBB-like": lambda model: _replace(model, DBBLike),
    "OREPA-like": lambda model: _replace(model, OREPALike),
}
