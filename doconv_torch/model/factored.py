"""One weight of a network that stays plain: the kernel between steps, W and D within one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from doconv_core import DOConvSpec
from doconv_torch.model.training import New
from doconv_torch.tensors.composition import compose_into, pull_back_
from doconv_torch.tensors.initialization import apart_generator, reset_arrays


@dataclass
class Factored:
    """One weight of the network, which changes between two arrays: a step updates W."""

    spec: DOConvSpec
    weight: nn.Parameter
    D: nn.Parameter
    W_extra: nn.Parameter | None
    kernel: Tensor
    """What ``weight`` holds between steps."""
    W: Tensor
    """What it holds within one."""
    beside: list[nn.Parameter]
    """The parameters of the layer as they are listed."""
    version: int
    """Of ``weight``, when it was last known to be what W and D compose to."""

    @property
    def ours(self) -> dict[str, nn.Parameter]:
        """What joins the optimizer, by name."""
        return {"D": self.D} if self.W_extra is None else {"D": self.D, "W_extra": self.W_extra}

    @property
    def new(self) -> New:
        return New(self.weight, self.ours, [*self.beside, *self.ours.values()])

    @property
    def factors(self) -> dict[str, Tensor]:
        """What its state is."""
        return {"W": self.W, **{name: each.detach() for name, each in self.ours.items()}}

    @property
    def is_foreign(self) -> bool:
        """Whether somebody else wrote to ``weight``, moved or replaced its array."""
        moved = self.weight.data_ptr() != self.kernel.data_ptr()
        return moved or self.weight._version != self.version

    def pull_back(self) -> None:
        """Let W, D and W_extra have the gradient of the kernel, and ``weight`` be W."""
        for each in self.ours.values():
            each.grad = None  # of an earlier evaluation, if the model cleared its own only
        if self.weight.grad is not None:
            found = pull_back_(self.weight.grad, self.W, self.D, self.spec, self.W_extra)
            for each, grad in zip(self.ours.values(), found, strict=True):
                each.grad = grad.contiguous()  # as autograd leaves it in a layer

    def compose(self) -> None:
        """Make ``weight`` the kernel."""
        self.weight.data = self.kernel
        compose_into(self.weight, self.W, self.D, self.spec, self.W_extra)
        self.version = self.weight._version

    def take_over(self) -> None:
        """Follow ``weight`` to where its array is now."""
        self.kernel, self.version = self.weight.data, self.weight._version
        self.W = torch.empty_like(self.kernel).copy_(self.W)
        for each in self.ours.values():
            each.data = each.data.to(self.kernel)

    def adopt(self) -> bool:
        """Keep what ``weight`` holds now; whether that is not what W and D compose to."""
        self.take_over()
        composed = torch.empty_like(self.kernel)
        compose_into(composed, self.W, self.D, self.spec, self.W_extra)
        if torch.equal(composed, self.kernel):
            return False
        # Another machine rounds W and D of a checkpoint to a kernel of its own. (In half precision
        # that cannot be told from what somebody wrote.)
        rounding = (self.spec.S + 2) * torch.finfo(composed.dtype).eps
        close = rounding * float(composed.abs().max())
        if rounding < 1e-3 and torch.allclose(composed, self.kernel, 0, close):
            return False
        self.W.copy_(self.kernel)
        reset_arrays(self.spec, self.W, self.D, self.W_extra, apart_generator())
        return True

    def restore(self, factors: Mapping[str, Tensor]) -> None:
        """Go on from another state, and with it the network's kernel."""
        self.take_over()
        for name, array in self.factors.items():
            array.copy_(factors[name])
        self.compose()
