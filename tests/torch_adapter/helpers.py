"""Small models and the random D that makes a mistake visible."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import doconv_torch
from doconv_torch.model.walk import over_parameterized

CLASSES = [
    (doconv_torch.DOConv1d, nn.Conv1d),
    (doconv_torch.DOConv2d, nn.Conv2d),
    (doconv_torch.DOConv3d, nn.Conv3d),
    (doconv_torch.DOConvTranspose1d, nn.ConvTranspose1d),
    (doconv_torch.DOConvTranspose2d, nn.ConvTranspose2d),
    (doconv_torch.DOConvTranspose3d, nn.ConvTranspose3d),
]


class ConvSame(nn.Conv2d):
    """A subclass with a forward of its own, as image models have them."""

    def forward(self, input: Tensor) -> Tensor:
        padded = nn.functional.pad(input, (0, 1, 0, 1))
        return self._conv_forward(padded, self.weight, self.bias)


def network(seed: int = 0) -> nn.Sequential:
    """A plain network with every common part; takes (B, 3, 8, 8)."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False),
        nn.Conv2d(8, 12, 1),
        nn.ReLU(),
        nn.Conv2d(12, 6, 3, stride=2),
        nn.ConvTranspose2d(6, 4, 2, stride=2),
        nn.Flatten(),
        nn.Linear(144, 5),
    )


def images(batch: int = 2, seed: int = 1, **options: Any) -> Tensor:
    return torch.randn(batch, 3, 8, 8, generator=torch.Generator().manual_seed(seed), **options)


def train(model: nn.Module, size: float = 0.1, seed: int = 2) -> nn.Module:
    """Give D and W_extra values, as training would."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in over_parameterized(model):
            for array in (layer.D, layer.W_extra):
                if array is not None:
                    array.copy_(size * torch.randn(array.shape, generator=generator))
    return model


def trained_network(**options: Any) -> nn.Sequential:
    return train(doconv_torch.convert(network(), **options))


def everything(model: nn.Module) -> dict[str, tuple[Any, ...]]:
    """What must not change: all values, gradients, version counters, flags, and randomness."""
    facts: dict[str, tuple[Any, ...]] = {"random state": (torch.get_rng_state().tolist(),)}
    for name, module in model.named_modules():
        facts[f"module {name}"] = (type(module), module.training, sorted(vars(module)))
    for name, tensor in model.state_dict(keep_vars=True).items():
        grad = None if tensor.grad is None else tensor.grad.tolist()
        facts[name] = (tensor.tolist(), grad, tensor.requires_grad, id(tensor), tensor._version)
    return facts


def outputs_after(model: nn.Module, *steps: Callable[[nn.Module], nn.Module]) -> list[Tensor]:
    """The output of an evaluated model, and after each step."""
    x, found = images(), []
    for step in (lambda model: model, *steps):
        model = step(model)
        found.append(model.eval()(x).detach())
    return found


def counted(model: nn.Module, *inputs: Any) -> dict[str, int]:
    """Multiply-accumulates per module, by torch's own counter."""

    def multiplications(*shapes: Any, out_shape: tuple[int, ...]) -> int:
        return 2 * math.prod(out_shape)

    # It leaves out elementwise products, by which depthwise kernels are composed.
    with FlopCounterMode(
        display=False, custom_mapping={torch.ops.aten.mul: multiplications}
    ) as counter:
        model.eval()(*inputs)
    root = type(model).__name__
    flops = {name: sum(kinds.values()) for name, kinds in counter.get_flop_counts().items()}
    return {name.removeprefix(f"{root}."): count // 2 for name, count in flops.items()}
