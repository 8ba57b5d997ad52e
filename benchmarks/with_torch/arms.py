"""What a study does to a PyTorch network and its optimizer, by the arm's name.

An arm that draws numbers draws them after the network, so that all arms of a seed start from one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.optim import SGD, Optimizer

from benchmarks.accuracy.run import Recipe
from benchmarks.with_torch.matched import MatchedSGD
from doconv_torch import DOConv2d, convert

Arm = Callable[[nn.Module, float, Recipe], tuple[nn.Module, Optimizer]]


def plain(model: nn.Module, rate: float, recipe: Recipe) -> tuple[nn.Module, Optimizer]:
    """As it is."""
    return model, _sgd(model.parameters(), rate, recipe)


def do_conv(
    model: nn.Module,
    rate: float,
    recipe: Recipe,
    *,
    D_mul: int | None = None,
    start: Callable[[DOConv2d], None] | None = None,
    frozen: bool = False,
    multiplier: float = 1.0,
    decay: bool = True,
    half: int | None = None,
) -> tuple[nn.Module, Optimizer]:
    """Converted.

    Args:
        model: the plain network.
        rate: of all but D.
        recipe: of the study.
        D_mul: columns of W; K by default.
        start: writes W and D.
        frozen: whether D is not trained.
        multiplier: of D's learning rate.
        decay: whether weight decay acts on D too.
        half: 0 converts the first half of the 3x3 convolutions, 1 the second.
    """
    model = convert(model, D_mul=D_mul, where=None if half is None else _half(model, half))
    layers = [m for m in model.modules() if isinstance(m, DOConv2d)]
    if start is not None:
        for layer in layers:
            start(layer)
    Ds = [layer.D.requires_grad_(not frozen) for layer in layers]
    if multiplier == 1 and decay:
        return model, _sgd(model.parameters(), rate, recipe)
    others = [p for p in model.parameters() if not any(p is D for D in Ds)]
    group = {"params": Ds, "lr": multiplier * rate}
    if not decay:
        group["weight_decay"] = 0.0
    return model, _sgd([{"params": others}, group], rate, recipe)


def matched(model: nn.Module, rate: float, recipe: Recipe) -> tuple[nn.Module, Optimizer]:
    """Over-parameterized at the optimizer, no step longer than the plain one."""
    return model, MatchedSGD(model, rate, recipe)


@torch.no_grad()
def random_D(layer: DOConv2d) -> None:
    """D random instead of the identity; the kernel's variance is about what it was."""
    K, S = layer.D.shape[1:]
    bound = math.sqrt(3 / S)
    layer.D.uniform_(-bound, bound).sub_(torch.eye(K, S, device=layer.D.device))


@torch.no_grad()
def authors_start(layer: DOConv2d) -> None:
    """All columns of W are drawn, as wide as the authors' layer draws them; D is the identity."""
    W, extra = layer.weight, layer.W_extra
    assert extra is not None
    bound = 1 / math.sqrt(W.shape[1] * layer.D.shape[2])
    for array in (W, extra):
        array.uniform_(-bound, bound)


def _half(model: nn.Module, half: int) -> Callable[[str, nn.Module], bool]:
    names = [
        name
        for name, m in model.named_modules()
        if isinstance(m, nn.Conv2d) and math.prod(m.kernel_size) > 1
    ]
    middle = len(names) // 2
    chosen = (names[:middle], names[middle:])[half]
    return lambda name, layer: name in chosen


def _sgd(parameters: Iterable[Any], rate: float, recipe: Recipe) -> Optimizer:
    return SGD(parameters, rate, recipe.momentum, weight_decay=recipe.weight_decay)


K = 9
"""All spatial convolutions of these networks are 3x3."""

ARMS: dict[str, Arm] = {
    "plain": plain,
    "DO-Conv": do_conv,
    "D random": partial(do_conv, start=random_D),
    "D random, frozen": partial(do_conv, start=random_D, frozen=True),
    "D_mul 2K": partial(do_conv, D_mul=2 * K),
    "D_mul 4K": partial(do_conv, D_mul=4 * K),
    "D_mul K + 3": partial(do_conv, D_mul=K + 3),
    "D_mul 2K, authors' start": partial(do_conv, D_mul=2 * K, start=authors_start),
    "D_mul K + 3, authors' start": partial(do_conv, D_mul=K + 3, start=authors_start),
    "first half": partial(do_conv, half=0),
    "second half": partial(do_conv, half=1),
    "no decay on D": partial(do_conv, decay=False),
    "D's rate x 0.1": partial(do_conv, multiplier=0.1),
    "D's rate x 0.3": partial(do_conv, multiplier=0.3),
    "D's rate x 3": partial(do_conv, multiplier=3.0),
    "norm-matched": matched,
}
"""D's rate x 1 is DO-Conv."""
