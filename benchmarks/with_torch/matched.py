"""DO-Conv with the plain step's size: tells the direction of its steps from their length."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmarks.accuracy.run import Recipe
from doconv_torch.layers.hosts import is_convolution


class MatchedSGD(torch.optim.SGD):
    """SGD on W and D of a plain network's convolutions, each kernel's step no longer than plain's.

    Beside every over-parameterized kernel goes a plain one, with the same gradients and its own
    momentum: what it would have moved is the longest that the kernel may move. Where the step is
    longer, W's and D's steps are scaled by the ratio (to first order, the kernel's by the same).

    Args:
        model: plain; its weights are the composed kernels at all times.
        rate: the learning rate.
        recipe: momentum and weight decay; the decay acts on W and D.
    """

    def __init__(self, model: nn.Module, rate: float, recipe: Recipe) -> None:
        convolutions = [
            m for m in model.modules() if is_convolution(m) and m.weight[0, 0].numel() > 1
        ]
        self.kernels = [_Kernel(conv.weight, conv.groups) for conv in convolutions]
        weights = {id(each.weight) for each in self.kernels}
        parameters = [p for p in model.parameters() if id(p) not in weights]
        parameters += [p for each in self.kernels for p in (each.W, each.D)]
        options = {"momentum": recipe.momentum, "weight_decay": recipe.weight_decay}
        super().__init__(parameters, rate, **options)
        self.beside = torch.optim.SGD([each.plain for each in self.kernels], rate, **options)

    def zero_grad(self, set_to_none: bool = True) -> None:
        super().zero_grad(set_to_none)
        for each in self.kernels:
            each.weight.grad = None

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        before = [each.pull_back() for each in self.kernels]
        super().step()
        self.beside.param_groups[0]["lr"] = self.param_groups[0]["lr"]
        self.beside.step()
        for each, (W, D) in zip(self.kernels, before, strict=True):
            longest = (each.plain - each.weight).norm()
            length = (each.composed() - each.weight).norm()
            if length > longest:
                each.W.copy_(W + (longest / length) * (each.W - W))
                each.D.copy_(D + (longest / length) * (each.D - D))
            each.weight.copy_(each.composed())


class _Kernel:
    """A convolution's weight, with W (g, O/g, I/g, S) and D (g, I/g, K, S) beside it."""

    def __init__(self, weight: nn.Parameter, groups: int) -> None:
        O, I = weight.shape[:2]
        K = weight[0, 0].numel()
        self.weight = weight
        self.shape = (groups, O // groups, I, K)
        self.W = nn.Parameter(weight.detach().reshape(self.shape).clone())
        self.D = nn.Parameter(weight.new_zeros(groups, I, K, K))
        self.plain = nn.Parameter(weight.detach().clone())

    def pull_back(self) -> tuple[Tensor, Tensor]:
        """Give W, D and the plain kernel their gradients; returns copies of W and D."""
        assert self.weight.grad is not None
        gradient = self.weight.grad.reshape(self.shape)
        self.W.grad = gradient + torch.einsum("goik,giks->gois", gradient, self.D)
        self.D.grad = torch.einsum("goik,gois->giks", gradient, self.W)
        self.plain.copy_(self.weight)
        self.plain.grad = self.weight.grad
        return self.W.clone(), self.D.clone()

    def composed(self) -> Tensor:
        kernel = self.W + torch.einsum("gois,giks->goik", self.W, self.D)
        return kernel.reshape(self.weight.shape)
